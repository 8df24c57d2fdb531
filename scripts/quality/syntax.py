"""The compiler's syntax trees of the contracts, and edits of their texts by node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compiler import DEPLOYED, ROOT, Compiler, source_of

Node = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A file and its tree. Offsets of nodes count bytes; so does everything here."""

    file: str
    text: bytes
    tree: Node

    def at(self, node: Node) -> tuple[int, int]:
        """First byte of a node, and the byte after it."""
        start, length, _ = map(int, node["src"].split(":"))
        return start, start + length

    def piece(self, node: Node) -> str:
        start, end = self.at(node)
        return self.text[start:end].decode()

    def line(self, offset: int) -> int:
        return self.text[:offset].count(b"\n") + 1


def walk(node: Any) -> Iterator[Node]:
    """All nodes below, parents first."""
    if isinstance(node, dict):
        if "nodeType" in node:
            yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def parse(compiler: Compiler) -> list[Source]:
    """Every file of `contracts/` that ends up in what is deployed: all but the mocks."""
    answer = compiler([source_of(name) for name in DEPLOYED], {"*": {"": ["ast"]}})
    if answer["errors"]:
        raise RuntimeError("\n".join(answer["errors"]))
    return [
        Source(file, (ROOT / file).read_bytes(), source["ast"])
        for file, source in sorted(answer["sources"].items())
        if file.startswith("contracts/")
    ]


def members(source: Source) -> Iterator[tuple[str, Node]]:
    """What the contracts of a file declare, as `Contract.name`."""
    for contract in source.tree["nodes"]:
        for node in contract.get("nodes", []) if contract["nodeType"] == "ContractDefinition" else []:
            yield f"{contract['name']}.{node.get('name') or node.get('kind')}", node


def functions(source: Source) -> Iterator[tuple[str, Node]]:
    """Functions with a body."""
    return ((n, node) for n, node in members(source) if node["nodeType"] == "FunctionDefinition" and node.get("body"))


def constants(source: Source) -> Iterator[tuple[str, Node]]:
    """Constants and what they are set to."""
    return ((n, node) for n, node in members(source) if node.get("constant") and node.get("value"))
