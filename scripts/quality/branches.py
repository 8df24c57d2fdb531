"""Every branch of the contracts, written into their sources so that a chain's call trace tells which were taken.

Each condition (of `if`, `? :`, `for`, `while`, `require`, `assert`, and each side of `&&` and `||`) is passed through a
function that makes an empty static call to an address made of the condition's number and value, and so does each end of
a `try` and the start of each function. The chain's own call tracer lists these calls, of views and of calls that revert
too. Nothing else of the contracts changes, but their gas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler import DEPLOYED, Compiler, creation_codes, source_of
from syntax import Node, Source, functions, parse, walk

BASE = 0xB4A2C4 << 136  # touched addresses: BASE + 2 * number + value
PROBE = "contracts/Probe.sol"
PROBE_TEXT = f"""// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

library Probe {{
    function see(uint256 number, bool value) internal pure returns (bool) {{
        asPure(touch)({BASE} + 2 * number + (value ? 1 : 0));
        return value;
    }}

    function touch(uint256 what) private view {{
        assembly ("memory-safe") {{ pop(staticcall(0, what, 0, 0, 0, 0)) }}
    }}

    function asPure(function(uint256) view f) private pure returns (function(uint256) pure g) {{
        assembly ("memory-safe") {{ g := f }}
    }}
}}
"""
CONDITIONS = ("IfStatement", "Conditional", "ForStatement", "WhileStatement", "DoWhileStatement")
OUTCOMES = {"ForStatement": ("left", "entered"), "WhileStatement": ("left", "entered"), "try": ("fails", "succeeds")}


@dataclass(frozen=True)
class Point:
    """A condition with two outcomes; of a function, only that it was called."""

    number: int
    file: str
    line: int
    kind: str
    text: str
    function: str

    def outcome(self, value: int) -> str:
        return OUTCOMES.get(self.kind, ("false", "true"))[value]


Edit = tuple[int, int, str]  # byte offset, order among edits at the same offset, text


class Instrumented:
    """The points of all contracts, and the creation codes that report them."""

    def __init__(self, compiler: Compiler) -> None:
        self.points: list[Point] = []
        replace = {PROBE: PROBE_TEXT}
        for source in parse(compiler):
            replace[source.file] = self._instrument(source)
        codes = {name: {name: ["evm.bytecode.object"]} for name in DEPLOYED}
        output = {source_of(name): code for name, code in codes.items()}
        answer = compiler([source_of(name) for name in DEPLOYED], output, replace=replace)
        if answer["errors"]:
            raise RuntimeError("\n".join(answer["errors"]))
        self.codes = creation_codes(answer)

    def _instrument(self, source: Source) -> str:
        edits: list[Edit] = []
        for name, function in functions(source):
            start, _ = source.at(function["body"])
            point = self._point(source, function, "function", name, name)
            edits.append((start + 1, 0, f" Probe.see({point}, true);"))
            for node in walk(function["body"]):
                edits += self._edits(source, node, name)
        if edits:
            first = source.text.index(b";", source.text.index(b"pragma solidity")) + 1
            edits.append((first, 0, f'\nimport {{Probe}} from "{PROBE}";'))
        text, last = [], len(source.text)
        for offset, _, piece in sorted(edits, reverse=True):
            text.append(piece + source.text[offset:last].decode())
            last = offset
        return source.text[:last].decode() + "".join(reversed(text))

    def _edits(self, source: Source, node: Node, function: str) -> Iterator[Edit]:
        if node["nodeType"] == "TryStatement":
            point = self._point(source, node["externalCall"], "try", source.piece(node["externalCall"]), function)
            for clause in node["clauses"]:
                succeeds = clause is node["clauses"][0]
                start, _ = source.at(clause["block"])
                yield start + 1, 0, f" Probe.see({point}, {str(succeeds).lower()});"
        for kind, condition in conditions(node):
            point = self._point(source, condition, kind, source.piece(condition), function)
            start, end = source.at(condition)
            yield start, start - end, f"Probe.see({point}, "  # of two that start here, the longer one opens first
            yield end, end - start, ")"  # of two that end here, the shorter one closes first

    def _point(self, source: Source, node: Node, kind: str, text: str, function: str) -> int:
        line = source.line(source.at(node)[0])
        self.points.append(Point(len(self.points), source.file, line, kind, " ".join(text.split()), function))
        return self.points[-1].number


def conditions(node: Node) -> Iterator[tuple[str, Node]]:
    """(kind, expression) of the conditions that belong to this node itself."""
    kind = node["nodeType"]
    if kind in CONDITIONS and node.get("condition"):
        yield kind, node["condition"]
    elif kind == "BinaryOperation" and node["operator"] in ("&&", "||"):
        yield f"left of {node['operator']}", node["leftExpression"]
        yield f"right of {node['operator']}", node["rightExpression"]
    elif kind == "FunctionCall" and node["expression"].get("name") in ("require", "assert"):
        yield node["expression"]["name"], node["arguments"][0]
