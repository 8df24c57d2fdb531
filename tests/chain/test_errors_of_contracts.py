"""Every refusal of the contracts reads as a sentence with a next step: decoded by table, and met for real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from pdfed_sdk.chain.codec import CONTRACTS, Param, artifact, encode, selector, snake
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.chain.reverts import ADVICE, ERROR_STRING, PANIC, decode_revert
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import ProtocolRevert, TransactionFailed, UsageError
from pdfed_sdk.types import Role
from tests.support.federation import KEYS, UNIT, Federation, digests, record, word

ERRORS: dict[str, Param] = {
    entry["name"]: entry
    for contract in (*CONTRACTS, "TestToken")
    for entry in artifact(contract).abi
    if entry["type"] == "error"
}
SAMPLES = {"address": "0x" + "ab" * 20, "string": "kappaBps", "bool": True}


def sample(part: Param) -> Any:
    kind = str(part["type"])
    if kind == "bytes" or kind.startswith("bytes"):
        return b"\x07" * int(kind[5:] or 4)
    return SAMPLES.get(kind, 3)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_custom_error_is_a_sentence_with_a_next_step(name: str) -> None:
    entry = ERRORS[name]
    data = selector(entry) + encode(entry["inputs"], [sample(part) for part in entry["inputs"]], name)
    error = decode_revert(data, "ScoreBook.commit")
    assert error.name == name
    assert set(error.args_) == {snake(part["name"]) for part in entry["inputs"]}
    assert error.message.startswith("ScoreBook.commit: ")
    assert "{" not in error.message
    assert len(error.hint) > 5
    assert error.exit_code == 20
    template = ADVICE[name][0]
    for part in entry["inputs"]:  # nothing the contract says is dropped without a reason
        told = "{" + snake(part["name"]) + "}" in template
        assert told or name in ("ECDSAInvalidSignatureS",), part["name"]


def test_no_advice_is_left_behind() -> None:
    assert set(ADVICE) - set(ERRORS) <= {"AssemblerUnauthorized"}


def test_other_reverts_are_shown_as_far_as_they_can_be() -> None:
    text = decode_revert(ERROR_STRING + abi_encode(["string"], ["no luck" + "!" * 1000]), "Token.transfer")
    assert text.message.startswith("Token.transfer: no luck")
    assert len(text.message) < 600
    assert "overflow" in decode_revert(PANIC + (0x11).to_bytes(32, "big"), "x").message
    assert "panic 0x77" in decode_revert(PANIC + (0x77).to_bytes(32, "big"), "x").message
    assert "unknown error 0xdeadbeef" in decode_revert(bytes.fromhex("deadbeef00"), "x").message
    assert "no reason" in decode_revert(b"", "x").message
    assert "unreadable" in decode_revert(ERROR_STRING + b"\x01", "x").message
    assert "unreadable" in decode_revert(selector(ERRORS["BookTooEarly"]) + b"\x01", "x").message


def met(act: Callable[[], Any]) -> ProtocolRevert:
    with pytest.raises(ProtocolRevert) as caught:
        act()
    return caught.value


def test_refusals_met_for_real(federation: Federation) -> None:
    author, voter, stranger, sponsor = (federation.client(index) for index in (1, 2, 6, 0))
    submission_id = federation.open_submission(author, 40)

    error = met(lambda: author.register(Role.TRAINER))
    assert error.message == f"StakeVault.register: node {author.address} is registered already"
    error = met(lambda: stranger.deposit(5 * UNIT))
    assert error.name == "VaultNotRegistered"
    error = met(lambda: voter.request_unstake(501 * UNIT))
    assert (error.name, error.args_["available"], error.args_["needed"]) == (
        "VaultInsufficientStake",
        500 * UNIT,
        501 * UNIT,
    )
    assert "deposit the difference" in error.hint
    assert met(lambda: author.commit_score(submission_id, 1, b"\x01" * 32)).name == "BookAuthorCannotVote"
    assert met(lambda: stranger.commit_score(submission_id, 1, b"\x01" * 32)).name == "VaultNotValidator"
    fee = author.fee()
    error = met(lambda: author.reserve(b"\x01" * 32, b"\x02" * 32, max_fee=fee.fee - 1))
    assert (error.name, error.args_) == ("RegistryFeeTooHigh", {"fee": fee.fee, "most": fee.fee - 1})
    assert "max_fee" in error.hint
    assert met(lambda: voter.commit_score(99, 1, b"\x01" * 32)).message.endswith("there is no submission 99")
    assert met(lambda: voter.fund(UNIT)).name in ("PoolNotSponsor", "ERC20InsufficientBalance")
    assert met(lambda: sponsor.reclaim()).name == "PoolNotClosed"
    assert met(lambda: voter.settle(submission_id, [voter.address])).name == "BookNotTerminal"
    assert met(lambda: voter.claim()).name == "VaultNothingToClaim"
    with pytest.raises(UsageError, match="above zero"):
        voter.deposit(0)


def test_windows_are_told_with_their_limits(federation: Federation) -> None:
    author, voter = federation.client(1), federation.client(2)
    submission_id = federation.open_submission(author, 41)
    voter.commit_score(submission_id, 1, b"\x01" * 32)
    error = met(lambda: voter.reveal(submission_id))
    windows = voter.windows(submission_id)
    assert (error.name, error.args_["reveal_start"]) == ("BookNotRevealTime", windows.reveal_start)
    assert f"({windows.reveal_start})" in error.message
    assert "UTC" in error.message
    federation.to(windows.commit_end)
    assert met(lambda: federation.client(3).commit_score(submission_id, 1, b"\x01" * 32)).name == "BookCommitOver"


def test_bad_records_are_told(federation: Federation) -> None:
    author = federation.client(1)
    salt = word(42, 9)
    submission_id = author.reserve(digests(42).package_digest, salt).one(Reserved).id
    cases = {
        "RegistryReservationMismatch": (record(43), salt),
        "RegistryBadParentWeights": (record(42, (0, 9_999)), salt),
        "RegistryBadParent": (record(42, (7, 10_000)), salt),
        "RegistryDuplicateParent": (record(42, (0, 5_000), (0, 5_000)), salt),
        "RegistryBadParentCount": (record(42, *[(0, 2_000)] * 5), salt),
    }
    for name, (made, opened) in cases.items():
        error = met(lambda made=made, opened=opened: author.submit(submission_id, made, opened))  # type: ignore[misc]
        assert error.name == name
    other = federation.client(2)
    assert met(lambda: other.submit(submission_id, record(42), salt)).name == "RegistryNotAuthor"
    federation.to(author.windows(submission_id).submit_end)
    assert met(lambda: author.submit(submission_id, record(42), salt)).name == "RegistrySubmitWindowOver"


def test_a_revert_found_only_in_the_block_is_decoded_too(federation: Federation) -> None:
    """It passed the simulation, then somebody else's transaction came first."""
    rival = federation.client(
        2, timeout=0.2, signer=LocalSigner.from_key(KEYS[2], lock_folder=federation.folder / "other")
    )
    client = federation.client(2, timeout=3)
    genuine, sends = client.wire._carry, []

    def carry(batch: Any) -> Any:
        sending = batch.requests[0].method == "eth_sendRawTransaction"
        if sending and not sends:
            with pytest.raises(TransactionFailed, match="not mined"):
                rival.request_unstake(500 * UNIT)
            federation.anvil.mine()
        answers = genuine(batch)
        if sending:
            sends.append(answers)
            federation.anvil.mine()
        return answers

    client.wire._carry = carry  # type: ignore[method-assign]
    federation.anvil.ask("evm_setAutomine", False)
    try:
        assert met(lambda: client.request_unstake(500 * UNIT)).name == "VaultUnbondingPending"
    finally:
        federation.anvil.ask("evm_setAutomine", True)
    assert len(sends) == 2  # the nonce was taken, too
