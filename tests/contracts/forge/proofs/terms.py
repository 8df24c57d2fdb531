"""Terms of bit vectors before they are rewritten into whole numbers: what is in them, and how large it is."""

from __future__ import annotations

from bisect import bisect_left
from itertools import product

import z3

WALKED: dict[int, dict[int, z3.ExprRef]] = {}


def sign_copies(e: z3.BitVecRef) -> int:
    """How many copies of one bit a term begins with, as a value made longer by its sign does; 0 of any other."""
    args = e.children() if e.decl().kind() == z3.Z3_OP_CONCAT and e.arg(0).eq(e.arg(1)) else []
    copies = next((k for k, arg in enumerate(args) if not arg.eq(args[0])), 0)
    return copies if copies and args[0].size() == 1 else 0


def tail(e: z3.BitVecRef, copies: int) -> z3.BitVecRef:
    rest = e.children()[copies:]
    return rest[0] if len(rest) == 1 else z3.Concat(*rest)


def scattered(factor: int) -> bool:
    """Few bits, far apart: by such a factor a word is added up side by side."""
    return factor >> 64 != 0 and 1 < factor.bit_count() <= 8


def lifted(e: z3.ExprRef, done: dict[int, tuple[z3.ExprRef, z3.ExprRef]]) -> z3.ExprRef:
    """Choices pulled out of bit operations: OpenZeppelin's minimum is b ^ ((a ^ b) * (a < b)), a choice in disguise."""
    if e.get_id() in done:
        return done[e.get_id()][1]
    args = [lifted(c, done) for c in e.children()]
    kind = e.decl().kind()
    through = kind in (z3.Z3_OP_EXTRACT, z3.Z3_OP_CONCAT, z3.Z3_OP_BXOR)
    result = e.decl()(*args) if args else e
    for i, arg in enumerate(args):
        if arg.decl().kind() != z3.Z3_OP_ITE or not (through or kind == z3.Z3_OP_BMUL):
            continue
        condition, *branches = arg.children()
        if kind == z3.Z3_OP_BMUL and not all(z3.is_bv_value(b) for b in branches):
            continue
        sides = [z3.simplify(e.decl()(*args[:i], b, *args[i + 1 :])) for b in branches]
        result = z3.If(condition, *(lifted(side, done) for side in sides))
        break
    if kind in (z3.Z3_OP_BOR, z3.Z3_OP_BAND, z3.Z3_OP_BNOT) and all(two_valued(arg) for arg in args):
        result = flag(e, args)
    done[e.get_id()] = (e, result)  # the term itself, so that its id is not used again
    return result


def flag(e: z3.ExprRef, args: list[z3.ExprRef]) -> z3.ExprRef:
    """A bit operation on terms of two values each, truths as the EVM has them, as one choice between its values."""
    args = [a if a.num_args() else z3.If(z3.BoolVal(True), a, a) for a in args]
    values: dict[int, list[z3.BoolRef]] = {}  # each value, and when the operation has it
    for sides in product((0, 1), repeat=len(args)):
        value = z3.simplify(e.decl()(*(a.arg(1 + side) for a, side in zip(args, sides, strict=True)))).as_long()
        when = [z3.Not(a.arg(0)) if side else a.arg(0) for a, side in zip(args, sides, strict=True)]
        values.setdefault(value, []).append(z3.And(*when))
    (first, _), *others = values.items()
    choice = z3.BitVecVal(first, e.size())
    for value, when in others:
        choice = z3.If(z3.Or(*when), z3.BitVecVal(value, e.size()), choice)
    return choice


def two_valued(e: z3.ExprRef) -> bool:
    choice = e.decl().kind() == z3.Z3_OP_ITE
    return z3.is_bv_value(e) or (choice and all(z3.is_bv_value(side) for side in e.children()[1:]))


def terms(e: z3.ExprRef) -> dict[int, z3.ExprRef]:
    """All terms that make up `e`, each once, by id."""
    if e.get_id() not in WALKED:
        WALKED[e.get_id()] = found = {e.get_id(): e}
        due = [e]
        while due:
            for child in due.pop().children():
                if child.get_id() not in found:
                    found[child.get_id()] = child
                    due.append(child)
    return WALKED[e.get_id()]


def simple(e: z3.ExprRef) -> bool:
    """Without products, divisions and arrays."""
    heavy = (z3.Z3_OP_BMUL, z3.Z3_OP_BUDIV, z3.Z3_OP_BUDIV_I, z3.Z3_OP_BUREM, z3.Z3_OP_BUREM_I)
    return not any(z3.is_array(t) or t.decl().kind() in heavy for t in terms(e).values())


def arrayless(e: z3.ExprRef) -> bool:
    return not any(z3.is_array(t) for t in terms(e).values())


def variables(e: z3.ExprRef) -> dict[str, z3.ExprRef]:
    constants = (t for t in terms(e).values() if z3.is_bv(t) and z3.is_const(t))
    return {str(t): t for t in constants if t.decl().kind() == z3.Z3_OP_UNINTERPRETED}


def upper_bounds(assertions: list[z3.BoolRef], names: dict[str, z3.ExprRef]) -> dict[str, int]:
    """Greatest value of each variable under the simple assertions about it alone."""
    alone: dict[str, list[z3.BoolRef]] = {name: [] for name in names}
    for a in assertions:
        mine = list(variables(a))
        if len(mine) == 1 and simple(a):
            alone[mine[0]].append(a)
    return {name: greatest(variable, alone[name]) for name, variable in names.items()}


def greatest(variable: z3.BitVecRef, assertions: list[z3.BoolRef]) -> int:
    solver = z3.Solver()
    solver.add(assertions)
    bits = bisect_left(range(variable.size()), True, key=lambda n: none_above(solver, variable, n))
    low, high = 0, (1 << bits) - 1
    if solver.check(variable == high) == z3.sat:
        return high
    while low < high:
        middle = (low + high) // 2
        if solver.check(z3.UGT(variable, middle)) == z3.sat:
            low = solver.model().eval(variable, model_completion=True).as_long()
        else:
            high = middle
    return high


def none_above(solver: z3.Solver, variable: z3.BitVecRef, bits: int) -> bool:
    return solver.check(z3.UGT(variable, (1 << bits) - 1)) == z3.unsat
