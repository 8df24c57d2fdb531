"""ABI files of the contracts and the generic encoder and decoder over them; values of JSON-RPC, checked for type.

Solidity names become Python names here (``weightsDigest`` → ``weights_digest``), addresses are checksummed, and tuples
are filled into frozen dataclasses by name, so that a changed struct fails loudly instead of shifting its fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from pdfed_sdk.errors import ChainError, UsageError
from pdfed_sdk.types import Address

Param = Mapping[str, Any]
"""One parameter of an ABI entry: name, type, components."""
T = TypeVar("T")

CONTRACTS = ("TaskFactory", "TaskLens", "StakeVault", "ModelRegistry", "ScoreBook", "RewardPool")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract as shipped in the package: ABI, creation code, and runtime code with its immutable spans."""

    name: str
    abi: tuple[Param, ...]
    bytecode: bytes
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]

    def entry(self, kind: str, name: str) -> Param:
        """The ABI entry of a function, event or error; KeyError if the contract has none of that name."""
        for item in self.abi:
            if item["type"] == kind and item.get("name") == name:
                return item
        raise KeyError(f"{self.name} has no {kind} {name}")


@cache
def artifact(contract: str) -> Artifact:
    """The exported artifact of a contract, by name."""
    data = json.loads(files("pdfed_sdk.chain").joinpath("abi", f"{contract}.json").read_text())
    return Artifact(
        name=data["name"],
        abi=tuple(data["abi"]),
        bytecode=bytes.fromhex(data["bytecode"]),
        runtime=bytes.fromhex(data["runtime"]),
        immutables=tuple((start, length) for start, length in data["immutables"]),
    )


def snake(name: str) -> str:
    """camelCase → snake_case; leading and trailing underscores (``now_``) are dropped."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("_")).lower()


def canonical(param: Param) -> str:
    """The type as it enters a signature: ``tuple`` becomes its components in brackets."""
    kind = str(param["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(canonical(part) for part in param["components"]) + ")" + kind[len("tuple") :]


def signature(entry: Param) -> str:
    """``name(type,…)`` of a function, event or error."""
    return f"{entry['name']}({','.join(canonical(part) for part in entry['inputs'])})"


@cache
def topic_of(text: str) -> bytes:
    """keccak256 of a signature; its first four bytes are a selector."""
    return keccak(text=text)


def selector(entry: Param) -> bytes:
    return topic_of(signature(entry))[:4]


def plain(value: Any) -> Any:
    """Dataclasses → tuples in field order, recursively: what eth-abi encodes."""
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, (list, tuple)):
        return tuple(plain(item) for item in value)
    return int(value) if isinstance(value, IntEnum) else value


def encode(params: Sequence[Param], values: Sequence[Any], what: str) -> bytes:
    """ABI-encode ``values``; ``what`` names the call in the error of a value that does not fit its type."""
    try:
        return abi_encode([canonical(part) for part in params], [plain(value) for value in values])
    except (EncodingError, ValueError, TypeError) as error:
        raise UsageError(f"{what}: an argument does not fit its type: {error}") from error


def decode(params: Sequence[Param], data: bytes, what: str) -> list[Any]:
    """ABI-decode to named values: structs become dicts with snake_case keys, addresses are checksummed."""
    return decode_as([canonical(part) for part in params], params, data, what)


def decode_as(kinds: Sequence[str], params: Sequence[Param], data: bytes, what: str) -> list[Any]:
    """The same where the canonical types ``kinds`` of the parameters are known already."""
    try:
        values = abi_decode(kinds, data)
    except (DecodingError, ValueError, OverflowError) as error:
        raise ChainError(
            f"{what}: the answer of {len(data)} bytes does not decode: {error}",
            hint="check that the contract is of this SDK's version",
        ) from error
    return [_named(part, value) for part, value in zip(params, values, strict=True)]


def _named(param: Param, value: Any) -> Any:
    kind = str(param["type"])
    if kind.endswith("]"):
        item = {**param, "type": kind[: kind.rindex("[")]}
        return tuple(_named(item, part) for part in value)
    if kind == "tuple":
        return {snake(part["name"]): _named(part, v) for part, v in zip(param["components"], value, strict=True)}
    return checksummed(value) if kind == "address" else value


@lru_cache(1 << 14)
def checksummed(value: str) -> Address:
    """An address in its one spelling; those of a task come again and again."""
    return Address(to_checksum_address(value))


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def fill(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from named values, nested dataclasses and enums included; names must agree exactly."""
    shape: Any = cls
    hints, deep = _hints(shape), _deep(shape)
    if hints.keys() != values.keys():
        raise ChainError(f"{cls.__name__} has fields {sorted(hints)}, the ABI {sorted(values)}")
    return cls(**{name: _shape(hints[name], value) if name in deep else value for name, value in values.items()})


@cache
def _deep(cls: Any) -> frozenset[str]:
    """Fields whose values are more than themselves: tuples, dataclasses, enums."""
    return frozenset(
        name
        for name, hint in _hints(cls).items()
        if get_origin(hint) is tuple or (isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, IntEnum)))
    )


def _shape(hint: Any, value: Any) -> Any:
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return tuple(_shape(inner, item) for item in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else fill(hint, value)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return hint(value)
    return value


# --- JSON-RPC values -------------------------------------------------------------------------------------------------


def quantity(value: Any, what: str) -> int:
    """A JSON-RPC quantity as int; ChainError if it is none."""
    if isinstance(value, str) and value.startswith("0x") and 2 < len(value) <= 66:
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise ChainError(f"{what}: the endpoint sent {str(value)[:80]!r} where a number belongs")


def blob(value: Any, what: str) -> bytes:
    """JSON-RPC data as bytes; ChainError if it is none."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise ChainError(f"{what}: the endpoint sent {str(value)[:80]!r} where data belongs")


def header(value: Any, what: str) -> dict[str, Any]:
    """A block with at least number, hash and timestamp."""
    if not isinstance(value, dict) or not isinstance(value.get("timestamp"), str):
        raise ChainError(f"the endpoint has no block {what}", hint="it may be behind or pruned: try another endpoint")
    return value
