"""The error tree: every error a user can meet, its exit code, and the next step to take.

Raise the most precise class, with a message that names the subject, the value and the limit, and a ``hint``
that names the next step. The CLI prints ``message`` and ``hint`` and leaves with ``exit_code``.

Exit codes: 0 ok, 1 unexpected, 2 usage, 10-19 chain, 20-29 contract refused, 30-39 store and packages,
40-49 data, training and scoring, 50-59 audit and demo, 130 interrupted.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PdfedError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is the CLI's exit status."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class UsageError(PdfedError):
    """A wrong argument, option or configuration value."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file that cannot be read or holds an unknown or impossible value."""


# --- chain (10-19) ---------------------------------------------------------------------------------------------------


class ChainError(PdfedError):
    """The chain could not be reached or behaved unexpectedly."""

    exit_code = 10


class RpcUnavailable(ChainError):
    """No answer from the RPC endpoint within the stated time and retries."""

    exit_code = 11


class WrongChain(ChainError):
    """The endpoint serves another chain, or no contract of ours stands at the address."""

    exit_code = 12


class TransactionFailed(ChainError):
    """A transaction was dropped, timed out or reverted without a decodable reason."""

    exit_code = 13


class OutOfGas(TransactionFailed):
    """A transaction used up its limit of gas twice; ``limit`` is what it had."""

    exit_code = 16

    def __init__(self, subject: str, tx_hash: str, used: int, limit: int) -> None:
        super().__init__(
            f"{subject}: {tx_hash} ran out of gas: it used {used:,} of {limit:,}",
            hint="the state has changed since the estimate: try again, or raise gas_margin",
        )
        self.limit = limit


class KeystoreError(ChainError):
    """A keystore is missing, unreadable, or its password is wrong."""

    exit_code = 14


class JournalError(ChainError):
    """The local journal of votes is missing, corrupt, or contradicts the chain."""

    exit_code = 15


# --- contract refused (20-29) ----------------------------------------------------------------------------------------


class ProtocolRevert(PdfedError):
    """A contract refused a call. ``name`` and ``args_`` are the decoded custom error."""

    exit_code = 20

    def __init__(self, name: str, args: dict[str, Any], message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.args_ = args


# --- store and packages (30-39) --------------------------------------------------------------------------------------


class StoreError(PdfedError):
    """The store failed: not writable, no space, broken block."""

    exit_code = 30


class ContentMissing(StoreError):
    """The store does not hold the content asked for."""

    exit_code = 31


class DigestMismatch(StoreError):
    """Bytes do not hash to the digest they were published under."""

    exit_code = 32


class PackageInvalid(StoreError):
    """A model package breaks a rule of the format: layout, size, tensors, paths."""

    exit_code = 33


class ProvenanceInvalid(StoreError):
    """A C2PA manifest is missing, tampered, or does not match the chain (wallet, parents, digests)."""

    exit_code = 34


# --- data, training, scoring (40-49) ---------------------------------------------------------------------------------


class MlError(PdfedError):
    """Training or scoring could not go on."""

    exit_code = 40


class DataError(MlError):
    """Pictures or labels that cannot be used; names the argument, its value and the limit."""

    exit_code = 41


class ExtractorMismatch(MlError):
    """A feature extractor's weights do not have the expected hash, or scores of different extractors were mixed."""

    exit_code = 42


class PublicationRefused(MlError):
    """The publication gate: the candidate hands out the trainer's own pictures."""

    exit_code = 43


# --- audit and demo (50-59) ------------------------------------------------------------------------------------------


class AuditFailed(PdfedError):
    """Events, state, money, packages or manifests contradict each other."""

    exit_code = 50


class DemoFailed(PdfedError):
    """The demo ended, but something it promises did not happen."""

    exit_code = 51


class EnvironmentProblem(PdfedError):
    """A tool this command needs is missing or too old (anvil, Node, disk space, a free port)."""

    exit_code = 52
