"""Revert data → ``ProtocolRevert``: every custom error as a sentence (subject, value, limit) with the next step.

``ADVICE`` has one line for each custom error of the interfaces and of the OpenZeppelin parts in use; a test fails when
an interface gains an error without one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from pdfed_sdk.chain.codec import CONTRACTS, Param, artifact, decode, selector, snake
from pdfed_sdk.errors import ChainError, ProtocolRevert
from pdfed_sdk.types import Status, role_words

ERROR_STRING = bytes.fromhex("08c379a0")
PANIC = bytes.fromhex("4e487b71")
_TIMES = (
    *("submit_end", "commit_end", "reveal_start", "reveal_end"),
    *("now", "until", "next", "deadline", "withdrawable_at"),
)
_OF_MONEY = (
    *("VaultInsufficientStake", "VaultUnbondingPending", "VaultTokenTookFee", "RegistryFeeTooHigh"),
    *("FactoryBondsAboveStake", "ERC20InsufficientAllowance", "ERC20InsufficientBalance"),
)
_AMOUNTS = (
    *("available", "needed", "amount", "received", "expected", "fee", "most", "bonds", "stake"),
    *("allowance", "balance"),
)
"""Errors about the task's token, and those of their arguments that are amounts of it."""
_PANICS = {0x01: "assertion failed", 0x11: "overflow", 0x12: "division by zero", 0x21: "bad enum", 0x32: "bad index"}
_EARLIEST_TIME = 10**9
"""An argument in ``_TIMES`` below this is no time: ``next`` may be an id."""
_BUG = "this is a defect of the contracts or the SDK: please report it with the transaction"
_INTERNAL = "only the task's own contracts call this: use the verbs of PdfedClient"

ADVICE: dict[str, tuple[str, str]] = {
    # StakeVault
    "VaultAlreadyRegistered": ("node {node} is registered already", "go on: roles are fixed at registration"),
    "VaultNotRegistered": ("node {node} is not registered", "register it first"),
    "VaultBadRoles": ("the roles are {roles}", "choose trainer, validator or both"),
    "VaultZeroAmount": ("the amount is zero", "give an amount above zero"),
    "VaultBadRecipient": ("{to} cannot receive tokens of the vault", "give the receiver's own address"),
    "VaultInsufficientStake": (
        "node {node} has {available} of free stake, {needed} are needed",
        "deposit the difference, or wait until open bonds are released",
    ),
    "VaultUnbondingPending": (
        "node {node} already unbonds {amount}, withdrawable at {withdrawable_at}",
        "withdraw that first; one request at a time",
    ),
    "VaultNothingToWithdraw": ("node {node} has no unbonded stake", "request an unstake first"),
    "VaultStillUnbonding": ("stake of node {node} unbonds until {withdrawable_at}", "withdraw after that time"),
    "VaultNothingToClaim": ("node {node} has no credit", "settle votes or pour rewards first"),
    "VaultTokenTookFee": (
        "the token delivered {received} of {expected}",
        "fee-taking tokens are not supported: use a task with a plain ERC-20",
    ),
    "VaultUnauthorized": ("{caller} may not call this entry of the vault", _INTERNAL),
    "VaultTooMuch": ("the vault would hold {held}, at most {most} fit", "deposit less"),
    "VaultTooMuchWeight": ("the task would have weight {weight}, at most {most} fit", "deposit less"),
    "VaultNotVoter": ("{key} is neither {node} nor its voting key", "use the node's key or its voting key"),
    "VaultNotValidator": (
        "{node} is not a validator: its stake backs its bonds and has no weight",
        "register with the role VALIDATOR (fixed at registration)",
    ),
    "VaultNotTrainer": ("{node} is not a trainer", "register with the role TRAINER (fixed at registration)"),
    "PartNotAClone": ("this is an implementation, not a task", "use the addresses the factory's createTask gave"),
    "VaultIneligible": ("node {node} is refused by the task's eligibility hook", "ask the sponsor for admission"),
    "VaultGasForHook": ("{left} gas are left for the eligibility hook, {needed} are needed", "send more gas"),
    # ModelRegistry
    "RegistryClosed": ("the task takes no new reservations: its sponsor closed it", "choose another task"),
    "RegistryPaused": ("reservations are paused until {until}", "try again after that time"),
    "RegistryNotGuardian": ("{caller} is not the task's guardian", "use the guardian's key"),
    "RegistryPauseTooLong": ("a pause of {duration} s, at most {most} s are allowed", "pause for less"),
    "RegistryPauseTooSoon": ("the guardian may pause again at {next}, it is {now}", "wait until then"),
    "RegistryFeeTooHigh": (
        "the scoring fee is {fee} now, at most {most} was accepted",
        "wait until ids have ended, or accept more with max_fee: the fee doubles with the number of open ids",
    ),
    "RegistryZeroReservation": ("the reservation hash is zero", "hash (author, packageDigest, salt)"),
    "RegistryUnknownId": ("there is no submission {id}", "list the submissions"),
    "RegistryNotAuthor": ("submission {id} belongs to {author}, not to {caller}", "use the author's key"),
    "RegistryWrongStatus": ("submission {id} is {status}", "look at its status before acting on it"),
    "RegistrySubmitWindowOver": (
        "submission {id} had to be submitted before {submit_end}, it is {now}",
        "reserve again; the bond of this id is forfeited when it is finalised, its fee comes back",
    ),
    "RegistryReservationMismatch": (
        "submission {id} reserved {reserved}, the record opens {opened}",
        "submit the very package and salt that were reserved",
    ),
    "RegistryBadParentCount": ("{count} parents, 1 to 4 are allowed", "name 1 to 4 parents"),
    "RegistryBadParent": (
        "parent {parent} of submission {id} is {status}",
        "name earlier ids that were submitted",
    ),
    "RegistryDuplicateParent": ("parent {parent} is named twice", "name each parent once"),
    "RegistryBadParentWeights": ("parents' weights sum to {sum_bps} basis points", "make them sum to 10,000"),
    "RegistryZeroDigest": ("a digest of the record is zero", "package, weights and manifest each need their digest"),
    "RegistryUnauthorized": ("{caller} may not call this entry of the registry", _INTERNAL),
    # ScoreBook
    "BookUnknownId": ("there is no submission {id}", "list the submissions"),
    "BookNotOpen": ("submission {id} is not open for votes", "vote between submit and the end of the commit window"),
    "BookRecordMismatch": (
        "the vote is for record {named}, submission {id} has {actual}",
        "a reorganisation gave the id to another model: nothing is lost, score what stands there now",
    ),
    "BookCommitOver": ("commits on {id} ended at {commit_end}, it is {now}", "score earlier next time; no vote is due"),
    "BookNotRevealTime": (
        "votes on {id} are revealed from {reveal_start} to {reveal_end}, it is {now}",
        "reveal inside that window; a sealed vote that stays silent forfeits its bond",
    ),
    "BookAuthorCannotVote": ("{author} is the author of {id} and cannot vote on it", "leave it to the other nodes"),
    "BookZeroCommitment": ("the commitment is zero", "commit the EIP-712 digest of the vote"),
    "BookAlreadyCommitted": ("{voter} has sealed a vote on {id} already", "reveal that one; it cannot be overwritten"),
    "BookNoWeight": (
        "{voter} has no voting weight on {id}",
        "stake at least one minimum stake, early enough before the id was reserved (warm-up), and keep it",
    ),
    "BookNoCommitment": ("{voter} has sealed no vote on {id}", "commit inside the commit window first"),
    "BookAlreadyRevealed": ("{voter} has revealed its vote on {id} already", "nothing is left to do for this vote"),
    "BookCommitmentMismatch": (
        "the opening of {voter}'s vote on {id} hashes to {opened}, sealed was {committed}",
        "open with the journalled vote (salt, improvement, evidence root)",
    ),
    "BookImprovementOutOfRange": ("improvement {improvement} is no bucket", "vote the index of a bucket, -8..23"),
    "BookZeroEvidence": ("the evidence root is zero", "commit to an evidence tree"),
    "BookNotNext": ("submission {id} is not next to finalise: {next} is", "finalise in order"),
    "BookTooEarly": ("submission {id} can be finalised from {reveal_end}, it is {now}", "wait until then"),
    "BookNotTerminal": ("submission {id} is neither Final nor Void yet", "finalise it first"),
    "BookUnauthorized": ("{caller} may not call this entry of the book", _INTERNAL),
    "BookSignatureExpired": ("the signed commit was good until {deadline}, it is {now}", "sign a new one"),
    "BookDeadlineTooLate": (
        "the signed commit is good until {deadline}, commits end at {commit_end}",
        "sign one with an earlier deadline",
    ),
    "BookBadSignature": (
        "the commit is signed neither by {voter} nor by its voting key",
        "sign this very commit with one of them",
    ),
    # RewardPool
    "PoolNotSponsor": ("{caller} is not the task's sponsor", "use the sponsor's key"),
    "PoolClosed": ("the task is closed", "nothing can be funded any more; continue from a new task"),
    "PoolNotClosed": ("the task is not closed", "close it first"),
    "PoolUnfinished": ("{next_to_finalize} of {count} ids are finalised", "finalise the rest first"),
    "PoolGraceRunning": ("the grace period runs until {until}, it is {now}", "reclaim after that time"),
    "PoolNothingToReclaim": ("nothing is left of the sponsor's own money", "the commons are divided among the models"),
    "PoolUnauthorized": ("{caller} may not call this entry of the pool", _INTERNAL),
    "PoolNotPayable": ("submission {id} is genesis or not Final", "pay royalties to a Final model with an author"),
    # TaskFactory
    "FactoryParameterOutOfBounds": (
        "parameter {name} is {value}, allowed are {least} to {most}",
        "choose a value inside the bounds",
    ),
    "FactoryBondsAboveStake": (
        "votes on 3 · slots ids would lock {bonds} of a stake of {stake}",
        "choose fewer slots or a smaller vote_bond_bps: junk could stop honest voting",
    ),
    "FactoryNoSponsor": ("the task has no sponsor", "name the address that funds it"),
    "FactoryNoObjective": ("the task has no objective", "name it, e.g. qn-normalised"),
    "FactoryZeroGenesis": ("a digest of the genesis model is zero", "give package, weights and manifest digests"),
    "AssemblerUnauthorized": ("{caller} may not call this entry of the factory", _INTERNAL),
    "FactoryNotAContract": ("{name} {value} is not a contract", "give the address of a deployed contract"),
    # OpenZeppelin
    "ERC20InsufficientAllowance": (
        "the vault {spender} may take {allowance} of the token, {needed} are needed",
        "approve the vault for the amount",
    ),
    "ERC20InsufficientBalance": ("{sender} owns {balance} of the token, {needed} are needed", "get more of the token"),
    "ERC20InvalidApprover": ("{approver} cannot approve", _BUG),
    "ERC20InvalidReceiver": ("{receiver} cannot receive the token", "give another receiver"),
    "ERC20InvalidSender": ("{sender} cannot send the token", _BUG),
    "ERC20InvalidSpender": ("{spender} cannot spend the token", _BUG),
    "SafeERC20FailedOperation": ("the token {token} refused a transfer", "check balance and allowance"),
    "ERC2612ExpiredSignature": ("the permit expired at {deadline}", "sign a new one"),
    "ERC2612InvalidSigner": ("the permit is signed by {signer}, not by {owner}", "sign with the owner's key"),
    "InvalidAccountNonce": ("the permit of {account} needs nonce {current_nonce}", "sign a new one"),
    "ECDSAInvalidSignature": ("the signature is invalid", "sign again"),
    "ECDSAInvalidSignatureLength": ("the signature has {length} bytes, not 65", "sign again"),
    "ECDSAInvalidSignatureS": ("the signature is malleable", "sign again with a common library"),
    "ReentrancyGuardReentrantCall": ("a contract called back into the task", "the token or receiver misbehaves"),
    "FailedDeployment": ("a clone could not be made", "choose another nonce: this task may exist already"),
    "InsufficientBalance": ("the balance is {balance}, {needed} are needed", "send more"),
    "InvalidInitialization": ("the contract is initialised already", _INTERNAL),
    "NotInitializing": ("only during initialisation", _INTERNAL),
    "InvalidShortString": ("a name is too long", _BUG),
    "StringTooLong": ("the text {str} is too long", _BUG),
}


@cache
def _errors() -> dict[bytes, Param]:
    found: dict[bytes, Param] = {}
    for contract in (*CONTRACTS, "TestToken"):
        for entry in artifact(contract).abi:
            if entry["type"] == "error":
                found[selector(entry)] = entry
    return found


def decode_revert(data: bytes, subject: str, amounts: Callable[[int], str] = str) -> ProtocolRevert:
    """The error a contract answered to ``subject`` (a call's name), decoded as far as it can be. ``amounts`` shows
    token units."""
    head, body = data[:4], data[4:]
    if head == ERROR_STRING:
        return _text_revert(body, subject)
    if head == PANIC and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        said = _PANICS.get(code, "panic")
        return ProtocolRevert("Panic", {"code": code}, f"{subject}: {said} (panic 0x{code:02x})", hint=_BUG)
    entry = _errors().get(head)
    if entry is None:
        shown = f"unknown error 0x{data[:4].hex()}" if data else "no reason given"
        return ProtocolRevert(
            "Unknown", {"data": data}, f"{subject}: refused, {shown}", hint="check the addresses and the SDK's version"
        )
    return _custom_revert(entry, body, subject, amounts)


def _text_revert(body: bytes, subject: str) -> ProtocolRevert:
    try:
        text = abi_decode(["string"], body)[0]
    except (DecodingError, ValueError, OverflowError):
        text = "unreadable reason"
    return ProtocolRevert("Error", {"reason": text}, f"{subject}: {text[:500]}", hint="see the reason given")


def _custom_revert(entry: Param, body: bytes, subject: str, amounts: Callable[[int], str]) -> ProtocolRevert:
    name = str(entry["name"])
    try:
        values = decode(entry["inputs"], body, name)
    except ChainError:
        return ProtocolRevert(name, {"data": body}, f"{subject}: {name} with unreadable arguments", hint=_BUG)
    args = {snake(str(part["name"])): value for part, value in zip(entry["inputs"], values, strict=True)}
    template, hint = ADVICE.get(name, (name, "see the contract's documentation"))
    money = _AMOUNTS if name in _OF_MONEY else ()
    shown = {key: amounts(value) if key in money else show(key, value) for key, value in args.items()}
    return ProtocolRevert(name, args, f"{subject}: {template.format_map(shown)}", hint=hint)


def show(name: str, value: Any) -> str:
    """A value as a person reads it: times as UTC with seconds, statuses by name, bytes as hex."""
    if name in _TIMES and isinstance(value, int) and _EARLIEST_TIME <= value < 1 << 40:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC ({value})"
    if name == "status" and isinstance(value, int) and value in set(Status):
        return Status(value).name.capitalize()
    if name == "roles" and isinstance(value, int):
        return role_words(value)
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
