"""Small wrong changes of the contracts, one at a time, from the compiler's syntax tree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from syntax import Node, Source, constants, functions, walk

SWAPS = {
    "arithmetic": {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&"},
    "boundary": {"<": "<=", "<=": "<", ">": ">=", ">=": ">"},
    "relation": {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "!=", "!=": "=="},
    "connective": {"&&": "||", "||": "&&"},
}  # fmt: skip
COMPOUND = {"+=": "-=", "-=": "+=", "*=": "/=", "|=": "&=", ">>=": "<<="}
STATEMENTS = {"EmitStatement": "event removed", "RevertStatement": "revert removed", "Return": "return removed"}
CHECKED = ("IfStatement", "Conditional", "ForStatement", "WhileStatement")


@dataclass(frozen=True)
class Mutant:
    """`file[start:end]` (bytes) replaced by `new`."""

    file: str
    function: str
    operator: str
    start: int
    end: int
    old: str
    new: str
    line: int
    number: int  # among the mutants of its function

    @property
    def name(self) -> str:
        """The same as long as the function's code is; comments do not matter."""
        return f"{self.function} {self.number} {self.operator}: {self.old} -> {self.new}"

    def apply(self, text: bytes) -> str:
        return (text[: self.start] + self.new.encode() + text[self.end :]).decode()

    def diff(self, text: bytes) -> tuple[str, str]:
        """The lines it touches, before and after."""
        first = text.rindex(b"\n", 0, self.start) + 1
        last = text.index(b"\n", self.end)
        before, after = text[first:last], text[first : self.start] + self.new.encode() + text[self.end : last]
        return before.decode(), after.decode()


def mutants(source: Source) -> list[Mutant]:
    """All mutants of a file, each text once."""
    found: dict[tuple[int, int, str], Mutant] = {}
    for function, definition in [*functions(source), *constants(source)]:
        edits = [*_modifiers(source, definition)]
        for node in walk(definition.get("body") or definition["value"]):
            edits += _edits(source, node)
        for number, (operator, start, end, new) in enumerate(edits):
            old = source.text[start:end].decode()
            mutant = Mutant(source.file, function, operator, start, end, old, new, source.line(start), number)
            if new != old:
                found.setdefault((start, end, new), mutant)
    return list(found.values())


def shares(lists: dict[str, list[Mutant]], size: int) -> dict[str, int]:
    """How many of a sample of `size` each file gives: as its mutants are of all, and at least three."""
    total = sum(map(len, lists.values()))
    return {file: min(len(found), max(3, round(size * len(found) / total))) for file, found in lists.items()}


def shuffled(source: Source, seed: int) -> list[Mutant]:
    """All mutants of a file in an order that the seed decides; a sample is the first ones that count."""
    found = mutants(source)
    random.Random(f"{seed} {source.file}").shuffle(found)
    return found


Edit = tuple[str, int, int, str]


def _modifiers(source: Source, definition: Node) -> Iterator[Edit]:
    for modifier in definition.get("modifiers", []):
        if modifier.get("kind") == "modifierInvocation":
            yield "modifier removed", *source.at(modifier), ""


def _edits(source: Source, node: Node) -> Iterator[Edit]:
    kind = node["nodeType"]
    if kind == "BinaryOperation":
        yield from _binary(source, node)
    elif kind == "Assignment" and node["operator"] in COMPOUND:
        yield from _operator(
            source, node["leftHandSide"], node["rightHandSide"], "arithmetic", COMPOUND[node["operator"]]
        )
    elif kind == "UnaryOperation":
        yield from _unary(source, node)
    elif kind == "Literal":
        yield from _literal(source, node)
    elif kind == "Conditional":
        yield from _swap(source, node["trueExpression"], node["falseExpression"], "branches swapped")
    elif kind == "FunctionCall":
        yield from _call(source, node)
    elif kind == "MemberAccess" and source.piece(node) in ("msg.sender", "block.timestamp"):
        yield from _environment(source, node)
    elif kind in STATEMENTS:
        yield STATEMENTS[kind], *_whole(source, node), "{}"
    elif kind == "ExpressionStatement":
        assigns = node["expression"]["nodeType"] in ("Assignment", "UnaryOperation")
        yield "write removed" if assigns else "call removed", *_whole(source, node), "{}"
    elif kind in ("Continue", "Break"):
        yield "jump removed", *_whole(source, node), "{}"
    if kind in CHECKED and node.get("condition"):
        start, end = source.at(node["condition"])
        yield "negation", start, end, f"!({source.piece(node['condition'])})"


def _whole(source: Source, statement: Node) -> tuple[int, int]:
    """With its semicolon."""
    start, end = source.at(statement)
    return start, end if source.text[end - 1 : end] == b";" else source.text.index(b";", end) + 1


def _operator(source: Source, left: Node, right: Node, name: str, new: str) -> Iterator[Edit]:
    """Replace the operator between two expressions; around it are only blanks and brackets."""
    start, end = source.at(left)[1], source.at(right)[0]
    between = source.text[start:end].decode()
    old = between.strip(" \n()")
    if old:
        yield name, start, end, between.replace(old, new)


def _binary(source: Source, node: Node) -> Iterator[Edit]:
    left, right = node["leftExpression"], node["rightExpression"]
    for name, table in SWAPS.items():
        if node["operator"] in table:
            yield from _operator(source, left, right, name, table[node["operator"]])
    if node["operator"] == "/":  # the other direction of rounding
        divisor = source.piece(right)
        start, end = source.at(node)
        yield "rounding", start, end, f"(({source.piece(left)} + ({divisor}) - 1) / ({divisor}))"


def _unary(source: Source, node: Node) -> Iterator[Edit]:
    start, end = source.at(node)
    inner = source.piece(node["subExpression"])
    if node["operator"] == "!":
        yield "negation", start, end, inner
    elif node["operator"] in ("++", "--"):
        other = "--" if node["operator"] == "++" else "++"
        yield "arithmetic", start, end, f"{other}{inner}" if node["prefix"] else f"{inner}{other}"


def _literal(source: Source, node: Node) -> Iterator[Edit]:
    start, end = source.at(node)
    if node["kind"] == "bool":
        yield "constant", start, end, "false" if node["value"] == "true" else "true"
    elif node["kind"] == "number" and not node.get("subdenomination"):
        text = source.piece(node)
        yield "constant", start, end, f"({text} + 1)"
        if text not in ("0", "0x0"):
            yield "constant", start, end, f"({text} - 1)"


def _call(source: Source, node: Node) -> Iterator[Edit]:
    called = source.piece(node["expression"])
    start, end = source.at(node)
    arguments = node["arguments"]
    if called == "Math.ceilDiv":
        yield "rounding", start, end, f"(({source.piece(arguments[0])}) / ({source.piece(arguments[1])}))"
    if called in ("Math.min", "Math.max"):
        yield "boundary", *source.at(node["expression"]), "Math.max" if called == "Math.min" else "Math.min"
        return  # the order of their arguments does not matter
    for left, right in pairwise(arguments):
        yield from _swap(source, left, right, "arguments swapped")


def _swap(source: Source, left: Node, right: Node, name: str) -> Iterator[Edit]:
    (a, b), (c, d) = source.at(left), source.at(right)
    between = source.text[b:c].decode()
    yield name, a, d, f"{source.piece(right)}{between}{source.piece(left)}"


def _environment(source: Source, node: Node) -> Iterator[Edit]:
    start, end = source.at(node)
    if source.piece(node) == "msg.sender":
        yield "wrong caller", start, end, "tx.origin"
    else:
        yield "time shifted", start, end, "(block.timestamp + 1)"
        yield "time shifted", start, end, "(block.timestamp - 1)"
