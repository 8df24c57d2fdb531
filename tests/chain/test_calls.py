"""Our shapes are the contracts' shapes: structs, events, calls, and the exported artifacts."""

from __future__ import annotations

from typing import Any

import pytest

from pdfed_sdk.chain import calls, event_types
from pdfed_sdk.chain.calls import FactoryCalls, TaskCalls
from pdfed_sdk.chain.codec import CONTRACTS, artifact, decode, encode, fill, snake
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.errors import ChainError, UsageError
from pdfed_sdk.types import (
    Address,
    ModelDigests,
    ModelRecord,
    Parent,
    Role,
    ScoreVote,
    SealedVote,
    Status,
    SubmissionId,
    Task,
)

PLACE = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
TASK = Task(PLACE, PLACE, PLACE, PLACE)
RECORD = ModelRecord(ModelDigests(b"\x01" * 32, 0x70, b"\x02" * 32, b"\x03" * 32), (Parent(SubmissionId(0), 10_000),))
VOTE = ScoreVote(PLACE, SubmissionId(1), b"\x01" * 32, -8, b"\x02" * 32, b"\x03" * 32)
SEALED = SealedVote(SubmissionId(1), b"\x04" * 32, b"\x05" * 32)
ARGUMENTS: dict[str, Any] = {
    "roles": Role.TRAINER,
    "record": RECORD,
    "vote": VOTE,
    "voters": [PLACE],
    "hops": [calls.Hop(3, 3), calls.Hop(2, 3)],
    "votes": [VOTE, VOTE],
    "permit": (27, b"\x05" * 32, b"\x06" * 32),
    "signature": b"\x07" * 65,
    "params": calls.TaskParams(*[PLACE] * 4, *[1] * 22, objective=b"\x01" * 32, card_digest=bytes(32)),
    "genesis": RECORD.digests,
}
SEALING = ("commit", "commit_many", "commit_by_sig", "hash_commit")
SEALED_ARGUMENTS = {"vote": SEALED, "votes": [SEALED, SEALED]}
BYTES = ("metadata_digest", "reservation", "salt", "commitment", "nonce")
NUMBERS = ("submission_id", "source", "amount", "most", "max_fee", "deadline", "duration")


def methods(calls: Any) -> list[Any]:
    return [getattr(calls, name) for name in dir(calls) if not name.startswith("_") and callable(getattr(calls, name))]


@pytest.mark.parametrize(
    "method",
    [*methods(TaskCalls(TASK)), *methods(FactoryCalls(PLACE)), *methods(TokenCalls(PLACE))],
    ids=lambda method: method.__name__,
)
def test_every_call_encodes_and_decodes_by_the_abi(method: Any) -> None:
    names = [name for name in method.__annotations__ if name != "return"]
    known = {**ARGUMENTS, **(SEALED_ARGUMENTS if method.__name__ in SEALING else {})}
    given = [known.get(n, b"\x04" * 32 if n in BYTES else 1 if n in NUMBERS else PLACE) for n in names]
    call = method(*given)
    contract, function = call.name.split(".")
    entry = artifact(contract).entry("function", function)
    assert len(entry["inputs"]) == len(given) + 2 * ("permit" in names)  # v, r, s are one argument of ours
    answer = encode(entry["outputs"], [_zero(part) for part in entry["outputs"]], "zeros")
    call.decode(answer)  # names of structs must agree, or this raises
    if entry["outputs"]:
        with pytest.raises(ChainError, match="does not decode"):
            call.decode(answer[:-1])


def _zero(part: Any) -> Any:
    kind = str(part["type"])
    if kind.endswith("]"):
        length = kind[kind.rindex("[") + 1 : -1]
        return [_zero({**part, "type": kind[: kind.rindex("[")]})] * int(length or 0)
    if kind == "tuple":
        return tuple(_zero(inner) for inner in part["components"])
    return {"bool": False, "string": "", "address": calls.ZERO_ADDRESS}.get(kind, b"" if "bytes" in kind else 0)


def test_every_event_of_the_contracts_has_its_class() -> None:
    emitted = {}
    for contract in CONTRACTS:
        for entry in artifact(contract).abi:
            if entry["type"] == "event":
                emitted[entry["name"]] = {event_types._field(part) for part in entry["inputs"]}
    for name, names in emitted.items():
        fields = set(event_types.EVENTS[name].__dataclass_fields__) - {"where"}
        assert fields == names, name
    assert set(event_types.EVENTS) == set(emitted)


def test_every_function_for_people_has_a_call() -> None:
    """What the contracts offer beyond their own cross-calls; a new one must be decided upon here."""
    known = {call.__name__ for call in [*methods(TaskCalls(TASK)), *methods(FactoryCalls(PLACE))]}
    for_siblings = "open_submission lock_vote unlock refund credit conclude ballot reveal_terms result_of due"
    for_siblings += " reward lineage commit_from treasury"
    replaced = "finalize pour eip712_domain implementations initialize reservation_hash token voting_key_of"
    of_a_time = "weight_at total_weight_at closed_at last_finalized_at"
    left_out = set(f"{for_siblings} {replaced} {of_a_time}".split())
    for contract in ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory"):
        for entry in artifact(contract).abi:
            if entry["type"] == "function":
                name = snake(entry["name"].replace("712D", "712_D"))
                assert name in known | left_out, f"{contract}.{name}"


def test_arguments_that_do_not_fit_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"StakeVault\.deposit: an argument does not fit"):
        TaskCalls(TASK).deposit(-1)
    with pytest.raises(UsageError, match=r"ModelRegistry\.reserve"):
        TaskCalls(TASK).reserve(b"x" * 33, 1)


def test_structs_are_filled_by_name() -> None:
    values = {"id": 3, "weight_bps": 10_000}
    assert fill(Parent, values) == Parent(SubmissionId(3), 10_000)
    with pytest.raises(ChainError, match="has fields"):
        fill(Parent, {"id": 3, "weight": 1})
    entry = artifact("ModelRegistry").entry("function", "submission")
    state = fill(calls.Submission, decode(entry["outputs"], bytes(32 * 17), "submission")[0])
    assert state.status is Status.NONE


def test_names_become_pythons() -> None:
    assert [snake(name) for name in ("weightsDigest", "now_", "id", "bondReleased", "vaultURI")] == [
        "weights_digest",
        "now",
        "id",
        "bond_released",
        "vault_uri",
    ]
