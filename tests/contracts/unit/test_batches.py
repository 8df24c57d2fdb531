"""Batches that skip a bad entry, signed commits, permits."""

from typing import Any

import pytest
from eth_account import Account
from support.task import UNIT, Task
from support.wire import INSTRUMENTED

SECRET = "0x" + "11" * 32
OTHER = "0x" + "22" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def selector(error: str) -> str:
    from eth_utils import keccak

    return "0x" + keccak(text=error)[:4].hex()


def sign(digest: Any, secret: str = SECRET) -> bytes:
    signature = Account._sign_hash(bytes(digest), secret)
    return bytes(signature.signature)


@pytest.fixture
def signer(task: Any, chain: Any) -> Any:
    """A node whose key is known, so that it can sign without sending."""
    from brownie import accounts

    account = accounts.add(SECRET)
    chain.rpc("anvil_setBalance", str(account), hex(10**20))
    task.join(account)
    chain.travel(chain.now + 10)
    yield account
    accounts.remove(account)


def test_commit_many_skips_what_is_wrong_and_says_why(task: Any, nodes: list[Any]) -> None:
    author, voter = nodes[:2]
    ids = [task.open(author), task.open(nodes[2]), task.open(voter), task.reserve(nodes[3]), task.open(nodes[4])]
    task.commit(voter, ids[1], 2)
    c = bytes([7]) * 32
    votes = [task.sealed(id, c) for id in ids]
    votes[4] = (ids[4], votes[0][1], c)
    votes += [(99, c, c), (98, c, bytes(32))]
    receipt = task.send(task.book.commitMany, voter, votes, sender=voter)
    assert [e["id"] for e in receipt.events["Committed"]] == [ids[0]]
    assert [(e["id"], str(e["reason"])) for e in receipt.events["CommitSkipped"]] == [
        (ids[1], selector("BookAlreadyCommitted(uint256,address)")),
        (ids[2], selector("BookAuthorCannotVote(uint256,address)")),
        (ids[3], selector("BookNotOpen(uint256)")),
        (ids[4], selector("BookRecordMismatch(uint256,bytes32,bytes32)")),
        (99, selector("RegistryUnknownId(uint256)")),
        (98, selector("BookZeroCommitment()")),
    ]


def test_one_bad_account_in_a_batch_does_not_stop_the_others(task: Any, nodes: list[Any], chain: Any) -> None:
    id = task.open(nodes[0])
    stranger = chain.accounts[70]
    receipt = task.send(task.book.commitMany, nodes[1], [task.sealed(id, b"\1" * 32)], sender=stranger)
    assert str(receipt.events["CommitSkipped"]["reason"]) == selector("VaultNotVoter(address,address)")
    args = (nodes[1], nodes[1], task.sealed(id, b"\1" * 32))
    task.reverts("BookUnauthorized", stranger, call=task.book.commitFrom, args=args, sender=stranger)
    for voter in nodes[1:]:
        task.commit(voter, id, 4)
    task.to_reveal(id)
    votes = [task.opened(v, id) for v in nodes[1:]]
    wrong = (*votes[1][:2], 5, *votes[1][3:])
    receipt = task.send(task.book.revealMany, [votes[0], wrong, votes[0], *votes[2:]], sender=stranger)
    assert [e["voter"] for e in receipt.events["Revealed"]] == [nodes[1], nodes[3], nodes[4]]
    assert [str(e["reason"]) for e in receipt.events["RevealSkipped"]] == [
        selector("BookCommitmentMismatch(uint256,address,bytes24,bytes32)"),
        selector("BookAlreadyRevealed(uint256,address)"),
    ]
    task.to_end(id)
    task.finalize(id)
    receipt = task.settle(id, [stranger, *nodes])
    assert [e["voter"] for e in receipt.events["SettleSkipped"]] == [stranger, nodes[0]]
    task.solvent(nodes)


def test_batches_cost_less_than_single_calls(task: Any, nodes: list[Any]) -> None:
    ids = []
    for author in nodes[:4]:
        ids.append(task.open(author))
    voter = nodes[4]
    votes = [task.seal(task.vote(voter, id, 3)) for id in ids]
    batch = task.send(task.book.commitMany, voter, votes, sender=voter).gas_used / len(ids)
    assert INSTRUMENTED or batch <= 60_000


def test_a_signed_commit_is_sent_by_anyone(task: Any, nodes: list[Any], signer: Any, chain: Any) -> None:
    id = task.open(nodes[0])
    end = task.windows(id)["commitEnd"]
    call, vote = task.book.commitBySig, task.sealed(id, b"\7" * 32)
    good = sign(task.book.hashCommit(signer, vote, end))

    def refused(error: str, *values: Any, args: tuple[Any, ...], at: int | None = None) -> None:
        task.reverts(error, *values, call=call, args=args, sender=nodes[3], at=at)

    refused("BookBadSignature", signer, args=(signer, task.sealed(id, b"\6" * 32), end, good))
    refused("BookBadSignature", signer, args=(signer, (id, b"\6" * 32, vote[2]), end, good))
    refused("BookBadSignature", nodes[2], args=(nodes[2], vote, end, good))
    refused("BookBadSignature", signer, args=(signer, vote, end - 1, good))
    refused("BookBadSignature", signer, args=(signer, vote, end, good[:-1]))
    refused("BookBadSignature", signer, args=(signer, vote, end, sign(b"\0" * 32, OTHER)))
    s = int.from_bytes(good[32:64], "big")
    malleable = good[:32] + (ORDER - s).to_bytes(32, "big") + bytes([27 + 28 - good[64]])
    refused("BookBadSignature", signer, args=(signer, vote, end, malleable))
    late = sign(task.book.hashCommit(signer, vote, end + 1))
    refused("BookDeadlineTooLate", end + 1, end, args=(signer, vote, end + 1, late))
    early = chain.now + 20
    expired = sign(task.book.hashCommit(signer, vote, early))
    refused("BookSignatureExpired", early, early + 1, args=(signer, vote, early, expired), at=early + 1)
    chain.simulate(call, signer, vote, early, expired, sender=nodes[3], at=early)
    refused("BookCommitOver", args=(signer, vote, end, good), at=end)
    receipt = task.send(call, signer, vote, end, good, sender=nodes[3])
    assert INSTRUMENTED or receipt.gas_used <= 105_000
    assert task.book.voteOf(id, signer)["weight"] == 10
    refused("BookAlreadyCommitted", args=(signer, vote, end, good))


def test_a_signature_serves_one_task_only(task: Any, nodes: list[Any], signer: Any, chain: Any) -> None:
    other = Task()
    for node in (nodes[0], signer):
        other.join(node)
    chain.travel(chain.now + 10)
    id, twin = task.open(nodes[0]), other.open(nodes[0])
    assert id == twin
    deadline = chain.now + 100
    vote = task.sealed(id, b"\7" * 32)
    assert vote == other.sealed(twin, b"\7" * 32)
    signature = sign(task.book.hashCommit(signer, vote, deadline))
    args = (signer, vote, deadline, signature)
    task.reverts("BookBadSignature", signer, call=other.book.commitBySig, args=args, sender=nodes[3])


def test_the_voting_key_signs_for_its_node(task: Any, nodes: list[Any], chain: Any) -> None:
    hot = Account.from_key(OTHER).address
    node = nodes[1]
    task.send(task.vault.setVotingKey, hot, sender=node)
    id = task.open(nodes[0])
    deadline = chain.now + 100
    vote = task.sealed(id, b"\7" * 32)
    signature = sign(task.book.hashCommit(node, vote, deadline), OTHER)
    task.send(task.book.commitBySig, node, vote, deadline, signature, sender=nodes[4])
    assert task.book.voteOf(id, node)["weight"] == 10
    assert task.vault.votingKeyOf(node) == hot


def test_a_smart_account_signs_through_erc1271(task: Any, nodes: list[Any], signer: Any, chain: Any) -> None:
    wallet = chain.project.TestWallet.deploy({"from": signer}, silent=True)
    task.send(task.token.mint, wallet, 10 * UNIT, sender=signer)
    for target, data in (
        (task.token, task.token.approve.encode_input(task.vault, 10 * UNIT)),
        (task.vault, task.vault.register.encode_input(3, "0x" + "00" * 20, bytes(32))),
        (task.vault, task.vault.deposit.encode_input(10 * UNIT)),
    ):
        task.send(wallet.act, target, data, sender=signer)
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    deadline = chain.now + 100
    vote = task.sealed(id, b"\7" * 32)
    hash_ = task.book.hashCommit(wallet, vote, deadline)
    args = (wallet, vote, deadline, sign(hash_, OTHER))
    task.reverts("BookBadSignature", wallet, call=task.book.commitBySig, args=args, sender=nodes[3])
    task.send(task.book.commitBySig, wallet, vote, deadline, sign(hash_), sender=nodes[3])
    assert task.book.voteOf(id, wallet)["weight"] == 10


def test_a_smart_account_as_voting_key_signs_for_its_node(task: Any, nodes: list[Any], signer: Any, chain: Any) -> None:
    wallet = chain.project.TestWallet.deploy({"from": signer}, silent=True)
    node = nodes[1]
    task.send(task.vault.setVotingKey, wallet, sender=node)
    id = task.open(nodes[0])
    deadline = chain.now + 100
    vote = task.sealed(id, b"\7" * 32)
    hash_ = task.book.hashCommit(node, vote, deadline)
    args = (node, vote, deadline, sign(hash_, OTHER))
    task.reverts("BookBadSignature", node, call=task.book.commitBySig, args=args, sender=nodes[3])
    task.send(task.book.commitBySig, node, vote, deadline, sign(hash_), sender=nodes[3])
    assert task.book.voteOf(id, node)["weight"] == 10


@pytest.mark.parametrize("of_node", [True, False])
def test_an_account_with_code_answers_for_itself(
    task: Any, nodes: list[Any], signer: Any, chain: Any, of_node: bool
) -> None:
    """Its plain key signs no longer, be it the node's or its voting key's."""
    node, key, secret = (signer, signer, SECRET) if of_node else (nodes[1], Account.from_key(OTHER).address, OTHER)
    if not of_node:
        task.send(task.vault.setVotingKey, key, sender=node)
    id = task.open(nodes[0])
    deadline = chain.now + 100
    args = (node, task.sealed(id, b"\7" * 32), deadline)
    args += (sign(task.book.hashCommit(*args), secret),)
    chain.rpc("anvil_setCode", str(key), "0x5f5ff3")  # answers nothing
    task.reverts("BookBadSignature", node, call=task.book.commitBySig, args=args, sender=nodes[3])
    chain.rpc("anvil_setCode", str(key), "0x")
    task.send(task.book.commitBySig, *args, sender=nodes[3])


def test_permit_and_deposit_in_one_transaction(task: Any, signer: Any, chain: Any) -> None:
    from eth_account.messages import encode_typed_data

    task.send(task.token.approve, task.vault, 0, sender=signer)
    task.send(task.token.mint, signer, 4 * UNIT, sender=signer)
    deadline = chain.now + 1_000

    def permit(nonce: int, value: int) -> Any:
        fields = ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"]
        domain = {"name": "Test", "version": "1", "chainId": 31_337, "verifyingContract": str(task.token)}
        types = {"Permit": [dict(zip(("name", "type"), f.split(":"), strict=True)) for f in fields]}
        values = (str(signer), str(task.vault), value, nonce, deadline)
        message = dict(zip([f.split(":")[0] for f in fields], values, strict=True))
        return Account.sign_message(encode_typed_data(domain, types, message), SECRET)

    p = permit(0, UNIT)
    r, s = p.r.to_bytes(32, "big"), p.s.to_bytes(32, "big")
    task.send(task.vault.depositWithPermit, UNIT, deadline, p.v, r, s, sender=signer)
    assert task.account(signer)["stake"] == 11 * UNIT
    p = permit(1, UNIT)
    r, s = p.r.to_bytes(32, "big"), p.s.to_bytes(32, "big")
    task.send(task.token.permit, signer, task.vault, UNIT, deadline, p.v, r, s, sender=chain.accounts[3])  # front-run
    task.send(task.vault.depositWithPermit, UNIT, deadline, p.v, r, s, sender=signer)
    assert task.account(signer)["stake"] == 12 * UNIT
    args = (UNIT, deadline, 27, bytes(32), bytes(32))
    task.reverts("ERC20InsufficientAllowance", call=task.vault.depositWithPermit, args=args, sender=signer)
