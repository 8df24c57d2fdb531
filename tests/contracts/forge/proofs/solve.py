"""SMT solver for halmos: `solve.py FILE` answers an SMT-LIB query of bit vectors.

Products and divisions of 256-bit words defeat bit-blasting, but contracts keep their numbers far from 2^256. So a query
with such terms is first rewritten into whole numbers: intervals show where a sum or product cannot wrap, a quotient
becomes x = y q + r with 0 <= r < y, and every product gets its linear envelope over the intervals (McCormick). Where
that is already contradictory the query is unsatisfiable; a solution is reported only for the exact products. Everything
else goes to yices.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import z3
from terms import arrayless, lifted, scattered, sign_copies, simple, tail, upper_bounds, variables

SECONDS, SECONDS_LIGHT, SECONDS_BITS = 8, 1, 60
IMPLIED_BITS = (1, 8, 32, 41, 64, 96, 128, 192)


class Unsupported(Exception):
    """A term the rewriting does not know."""


class Rewriter:
    """Bit vectors to integers. A value is kept as any integer of its residue class until its size matters."""

    def __init__(self, bounds: dict[str, int]) -> None:
        self.bounds = bounds
        self.facts: list[z3.BoolRef] = []  # linear
        self.truths: list[z3.BoolRef] = []  # the assertions read so far
        self.products: list[z3.BoolRef] = []  # exact, nonlinear
        self.seen: dict[int, tuple[z3.ArithRef, int, int]] = {}
        self.made: dict[tuple[object, ...], object] = {}  # equal terms of equal values are one
        self.multiplied: dict[int, list[z3.ArithRef]] = {}
        self.keep: list[object] = []  # ids stay unique while their terms live
        self.fresh = 0

    def new(self, low: int, high: int) -> z3.ArithRef:
        self.fresh += 1
        name = z3.Int(f"t!{self.fresh}")
        self.facts += [name >= low, name <= high]
        return name

    def once(self, key: tuple[object, ...], make: Callable[[], Any], keep: object) -> Any:
        if key not in self.made:
            self.keep.append(keep)
            self.made[key] = make()
        return self.made[key]

    # --- terms ---

    def number(self, e: z3.BitVecRef) -> tuple[z3.ArithRef, int, int]:
        """The value of `e` in [0, 2^width) with its interval."""
        value, low, high = self.raw(e)
        size = 1 << e.size()
        if low >= 0 and high < size:
            return value, low, high
        if sign_copies(e):
            sign = self.number(e.arg(0))[0]
            return value + sign * size, 0, size - 1
        if bounds := self.implied(value, e.size()):
            self.seen[e.get_id()] = result = (value, max(low, bounds[0]), min(high, bounds[1]))
            return result
        wrapped, turns = self.new(0, size - 1), self.new(low // size, high // size)
        self.facts.append(value == wrapped + turns * size)
        result = (wrapped, 0, size - 1)
        self.seen[e.get_id()] = result
        return result

    def implied(self, value: z3.ArithRef, width: int) -> tuple[int, int] | None:
        """Bounds within a width that the assertions read so far imply, where intervals alone leave room to wrap."""
        solver = z3.Solver()
        solver.set("timeout", 300)
        solver.add(self.facts + self.truths)
        if solver.check(value < 0) != z3.unsat:
            return None
        steps = (bits for bits in (*IMPLIED_BITS, width) if bits <= width)
        return next(((0, (1 << b) - 1) for b in steps if solver.check(value >= 1 << b) == z3.unsat), None)

    def equated(self, a: z3.BitVecRef, b: z3.BitVecRef) -> tuple[z3.ArithRef, z3.ArithRef]:
        """Numbers that are equal if and only if the words are: as they are, if they are less than 2^width apart."""
        (x, xl, xh), (y, yl, yh) = self.raw(a), self.raw(b)
        apart = max(xh - yl, yh - xl) < 1 << a.size()
        return (x, y) if apart else (self.number(a)[0], self.number(b)[0])

    def signed(self, e: z3.BitVecRef) -> z3.ArithRef:
        value, low, high = self.raw(e)
        if -(1 << e.size() - 1) <= low and high < 1 << e.size() - 1:
            return value
        top = z3.simplify(z3.Extract(e.size() - 1, e.size() - 1, e))
        return self.number(e)[0] - self.number(top)[0] * (1 << e.size())

    def factor(self, e: z3.BitVecRef) -> tuple[z3.ArithRef, int, int]:
        value, low, high = self.raw(e)
        return (value, low, high) if low == high or (low >= 0 and high < 1 << e.size()) else self.number(e)

    def raw(self, e: z3.BitVecRef) -> tuple[z3.ArithRef, int, int]:
        key = e.get_id()
        if key not in self.seen:
            self.keep.append(e)
            self.seen[key] = self.build(e)
        return self.seen[key]

    def build(self, e: z3.BitVecRef) -> tuple[z3.ArithRef, int, int]:
        kind, args = e.decl().kind(), e.children()
        if z3.is_bv_value(e):
            n = e.as_long()
            signed = n - (1 << e.size()) if n >> (e.size() - 1) else n
            return z3.IntVal(signed), signed, signed
        if kind == z3.Z3_OP_UNINTERPRETED and not args:
            high = self.bounds.get(str(e), (1 << e.size()) - 1)
            value = z3.Int(str(e))
            self.facts += [value >= 0, value <= high]
            return value, 0, high
        if kind == z3.Z3_OP_BADD:
            return reduce(lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] + b[2]), map(self.raw, args))
        if kind == z3.Z3_OP_BSUB:
            return reduce(lambda a, b: (a[0] - b[0], a[1] - b[2], a[2] - b[1]), map(self.raw, args))
        if kind == z3.Z3_OP_BNEG:
            v, lo, hi = self.raw(args[0])
            return -v, -hi, -lo
        if kind == z3.Z3_OP_BMUL and len(args) == 2 and z3.is_bv_value(args[0]) and scattered(args[0].as_long()):
            return self.spread(args[0].as_long(), args[1])
        if kind == z3.Z3_OP_BMUL:
            return reduce(self.times, map(self.factor, args))
        if kind in (z3.Z3_OP_BUDIV, z3.Z3_OP_BUDIV_I, z3.Z3_OP_BUREM, z3.Z3_OP_BUREM_I):
            quotient, rest = self.divide(args[0], args[1])
            return quotient if kind in (z3.Z3_OP_BUDIV, z3.Z3_OP_BUDIV_I) else rest
        if copies := sign_copies(e):  # 2^n - 2^k is -2^k: what is above the sign counts for its place
            sign, rest, place = self.number(args[0])[0], self.number(tail(e, copies)), 1 << e.size() - copies
            return rest[0] - sign * place, -place, place - 1
        if kind == z3.Z3_OP_CONCAT:
            value, low, high = self.number(args[0])
            for arg in args[1:]:
                v, lo, hi = self.number(arg)
                size = 1 << arg.size()
                value, low, high = value * size + v, low * size + lo, high * size + hi
            return value, low, high
        if kind == z3.Z3_OP_EXTRACT:
            top, bottom = e.params()
            return self.cut(self.number(args[0]), bottom, top + 1)
        if kind == z3.Z3_OP_ITE:
            return self.choice(self.truth(args[0]), self.number(args[1]), self.number(args[2]))
        raise Unsupported(e.decl().name())

    def spread(self, factor: int, e: z3.BitVecRef) -> tuple[z3.ArithRef, int, int]:
        """A product that wraps, as a sum of shifts: the bits that each loses are gone before anything is added."""
        shifts = [k for k in range(e.size()) if factor >> k & 1]
        shifted = [z3.Concat(z3.Extract(e.size() - 1 - k, 0, e), z3.BitVecVal(0, k)) if k else e for k in shifts]
        terms = [self.number(z3.simplify(term)) for term in shifted]
        return reduce(lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] + b[2]), terms)

    def choice(self, condition, yes, no) -> tuple[z3.ArithRef, int, int]:
        low, high = min(yes[1], no[1]), max(yes[2], no[2])
        value = self.new(low, high)
        self.facts.append(z3.If(condition, value == yes[0], value == no[0]))
        return value, low, high

    def cut(self, x: tuple[z3.ArithRef, int, int], bottom: int, top: int) -> tuple[z3.ArithRef, int, int]:
        """Bits bottom .. top - 1."""
        return self.once(("cut", x[0].get_id(), bottom, top), lambda: self.new_cut(x, bottom, top), x)

    def new_cut(self, x: tuple[z3.ArithRef, int, int], bottom: int, top: int) -> tuple[z3.ArithRef, int, int]:
        value, low, high = x
        if bottom:
            shifted, rest = self.new(low >> bottom, high >> bottom), self.new(0, (1 << bottom) - 1)
            self.facts.append(value == shifted * (1 << bottom) + rest)
            value, low, high = shifted, low >> bottom, high >> bottom
        size = 1 << (top - bottom)
        if high < size:
            return value, low, high
        part, rest = self.new(0, size - 1), self.new(0, high // size)
        self.facts.append(value == rest * size + part)
        return part, 0, size - 1

    def times(self, a: tuple[z3.ArithRef, int, int], b: tuple[z3.ArithRef, int, int]) -> tuple[z3.ArithRef, int, int]:
        return self.once(("times", a[0].get_id(), b[0].get_id()), lambda: self.new_times(a, b), (a, b))

    def new_times(self, a: tuple[z3.ArithRef, int, int], b: tuple[z3.ArithRef, int, int]) -> tuple:
        corners = [x * y for x in a[1:] for y in b[1:]]
        low, high = min(corners), max(corners)
        if a[1] == a[2] or b[1] == b[2]:
            return a[0] * b[0], low, high
        value = self.new(low, high)
        (x, xl, xh), (y, yl, yh) = a, b
        self.facts += [
            value >= xl * y + yl * x - xl * yl, value >= xh * y + yh * x - xh * yh,
            value <= xh * y + yl * x - xh * yl, value <= xl * y + yh * x - xl * yh,
        ]  # fmt: skip
        self.products.append(value == x * y)
        self.multiplied[value.get_id()] = [x, y]
        self.keep += [value, x, y]
        return value, low, high

    def divide(self, a: z3.BitVecRef, b: z3.BitVecRef) -> tuple[tuple, tuple]:
        x, y = self.number(a), self.number(b)
        key = ("divide", x[0].get_id(), y[0].get_id(), a.size())
        return self.once(key, lambda: self.new_divide(x, y, 1 << a.size()), (x, y))

    def new_divide(self, x: tuple, y: tuple, size: int) -> tuple[tuple, tuple]:
        factors = self.multiplied.get(x[0].get_id(), [])
        high = x[2] // max(y[1], 1)
        quotient, rest = (self.new(0, high), 0, high), (self.new(0, y[2]), 0, y[2])
        sense = y[0] > 0
        same = [f for f in factors if f.eq(y[0])]
        if same:  # x y / y
            other = next((f for f in factors if not f.eq(y[0])), y[0])
            self.facts.append(z3.Implies(sense, z3.And(quotient[0] == other, rest[0] == 0)))
        else:
            product = self.times(y, quotient)
            self.facts.append(z3.Implies(sense, z3.And(x[0] == product[0] + rest[0], rest[0] < y[0])))
        if y[1] > 0:
            return quotient, rest
        zero = (z3.IntVal(size - 1), size - 1, size - 1)  # what SMT-LIB makes of a division by zero
        return self.choice(sense, quotient, zero), self.choice(sense, rest, x)

    # --- truths ---

    def truth(self, e: z3.BoolRef) -> z3.BoolRef:
        kind, args = e.decl().kind(), e.children()
        logic = {z3.Z3_OP_AND: z3.And, z3.Z3_OP_OR: z3.Or, z3.Z3_OP_NOT: z3.Not, z3.Z3_OP_IMPLIES: z3.Implies}
        if kind in logic:
            return logic[kind](*[self.truth(a) for a in args])
        if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
            return e
        if kind == z3.Z3_OP_ITE:
            return z3.If(*[self.truth(a) for a in args])
        if kind in (z3.Z3_OP_EQ, z3.Z3_OP_DISTINCT):
            if z3.is_bool(args[0]):
                a, b = (self.truth(x) for x in args)
            else:
                a, b = self.equated(*args)
            return a == b if kind == z3.Z3_OP_EQ else a != b
        order = {
            z3.Z3_OP_ULEQ: lambda a, b: a <= b, z3.Z3_OP_ULT: lambda a, b: a < b,
            z3.Z3_OP_UGEQ: lambda a, b: a >= b, z3.Z3_OP_UGT: lambda a, b: a > b,
        }  # fmt: skip
        signed = {
            z3.Z3_OP_SLEQ: lambda a, b: a <= b, z3.Z3_OP_SLT: lambda a, b: a < b,
            z3.Z3_OP_SGEQ: lambda a, b: a >= b, z3.Z3_OP_SGT: lambda a, b: a > b,
        }  # fmt: skip
        if kind in signed:
            return signed[kind](self.signed(args[0]), self.signed(args[1]))
        if kind in order:
            return order[kind](self.number(args[0])[0], self.number(args[1])[0])
        raise Unsupported(e.decl().name())


def exact(text: str) -> str:
    """The query with halmos's abstractions of the EVM's arithmetic put back: a division by zero is zero."""
    sort = r"\(declare-fun f_evm_(bvmul|bvudiv|bvurem)_(\d+) \(\(_ BitVec \2\) \(_ BitVec \2\)\) \(_ BitVec \2\)\)"

    def define(found: re.Match[str]) -> str:
        name, width = found.groups()
        value = "(bvmul x y)" if name == "bvmul" else f"(ite (= y (_ bv0 {width})) (_ bv0 {width}) ({name} x y))"
        word = f"(_ BitVec {width})"
        return f"(define-fun f_evm_{name}_{width} ((x {word}) (y {word})) {word} {value})"

    return re.sub(sort, define, text)


def light(text: str) -> bool:
    """Without products and divisions, so that bits may do."""
    return all(simple(z3.simplify(a)) for a in z3.parse_smt2_string(exact(text)) if arrayless(a))


def in_integers(text: str) -> str | None:
    assertions = [z3.simplify(a) for a in z3.parse_smt2_string(exact(text)) if arrayless(a)]
    names: dict[str, z3.ExprRef] = {}
    for a in assertions:
        names |= variables(a)
    rewriter = Rewriter(upper_bounds(assertions, names))
    done: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}
    truths = rewriter.truths
    for a in assertions:
        try:
            truths.append(rewriter.truth(z3.simplify(lifted(a, done))))
        except Unsupported:
            continue  # fewer assumptions prove no less
    solver = z3.SimpleSolver()  # the other one spends its time on turning numbers into bits
    solver.set("timeout", SECONDS * 1000)
    solver.add(truths + rewriter.facts)
    if solver.check() == z3.unsat:
        return "unsat"
    solver.add(rewriter.products)
    answer = solver.check()
    if answer == z3.unsat:
        return "unsat"
    if answer != z3.sat or len(truths) < len(list(z3.parse_smt2_string(text))):
        return None
    model = solver.model()
    lines = [
        f"(define-fun {n} () (_ BitVec {v.size()}) (_ bv{model.eval(z3.Int(n), model_completion=True)} {v.size()}))"
        for n, v in names.items()
    ]
    return "sat\n(model\n" + "\n".join(lines) + "\n)"


def in_bits(file: str, seconds: int) -> str:
    """What yices says; of what it does not decide in this time, `unknown`."""
    yices = Path(sys.executable).parent / "yices-smt2"
    command = [yices, f"--timeout={seconds}", file]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def answer(file: str) -> str:
    text = Path(file).read_text()
    if light(text) and not (found := in_bits(file, SECONDS_LIGHT)).startswith("unknown"):
        return found
    return in_integers(text) or in_bits(file, SECONDS_BITS)


if __name__ == "__main__":
    print(answer(sys.argv[1]))
