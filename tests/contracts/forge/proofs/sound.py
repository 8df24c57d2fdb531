"""Does solve.py ever call a satisfiable query unsatisfiable? Random queries, each true under values chosen before it.

    .tools/halmos/bin/python tests/contracts/forge/proofs/sound.py [--queries N] [--seed N]

Every assertion compares two random terms of the kinds that contracts are made of, the way round that holds for the
chosen values. The rewriting drops what it does not know and bounds what it does: if it answers `unsat`, it is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys

import solve
import z3

WIDTH = 256
ADD_UP = (1 << 192) | (1 << 128) | (1 << 64) | 1


class Query:
    """Variables of few bits in wide words, and terms and assertions over them that hold for `values`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.values: list[tuple[z3.BitVecRef, z3.BitVecRef]] = []
        for i, bits in enumerate(rng.choices((1, 8, 32, 88, 256), k=3)):
            value = rng.choice((0, 1, rng.getrandbits(bits), (1 << bits) - 1))
            self.values.append((z3.BitVec(f"v{i}", WIDTH), z3.BitVecVal(value, WIDTH)))
        self.assertions = [z3.ULE(v, (1 << max(1, value.as_long().bit_length())) - 1) for v, value in self.values]

    def term(self, depth: int) -> z3.BitVecRef:
        rng = self.rng
        if depth == 0 or rng.random() < 0.15:
            return rng.choice([v for v, _ in self.values] + [z3.BitVecVal(rng.choice((0, 1, 7, 10_000, -1)), WIDTH)])
        a, b = self.term(depth - 1), self.term(depth - 1)
        shift = rng.choice((8, 32, 64, 192))
        kinds = [
            lambda: a + b, lambda: a - b, lambda: a * b, lambda: z3.UDiv(a, b), lambda: z3.URem(a, b),
            lambda: z3.LShR(a, shift), lambda: a * ADD_UP, lambda: z3.If(self.comparison(a, b), a, b),
            lambda: z3.SignExt(WIDTH - shift, z3.Extract(shift - 1, 0, a)),
            lambda: z3.Concat(z3.BitVecVal(0, WIDTH - shift), z3.Extract(shift - 1, 0, a)),
            lambda: self.flag(a, b), lambda: ~(self.flag(a, b) & ~self.flag(b, a) | self.flag(a, a)),
        ]  # fmt: skip
        return rng.choice(kinds)()

    def comparison(self, a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BoolRef:
        return self.rng.choice((z3.ULE, z3.ULT, lambda x, y: x <= y, lambda x, y: x < y, lambda x, y: x == y))(a, b)

    def flag(self, a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
        """A truth as the EVM has it."""
        return z3.If(self.comparison(a, b), z3.BitVecVal(1, WIDTH), z3.BitVecVal(0, WIDTH))

    def text(self, assertions: int) -> str:
        for _ in range(assertions):
            claim = self.comparison(self.term(2), self.term(2))
            holds = z3.is_true(z3.simplify(z3.substitute(claim, *self.values)))
            self.assertions.append(claim if holds else z3.Not(claim))
        solver = z3.Solver()
        solver.add(self.assertions)
        return solver.to_smt2()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    solve.SECONDS = 1
    wrong = 0
    for n in range(options.queries):
        text = Query(random.Random(f"{options.seed} {n}")).text(4)
        if solve.in_integers(text) == "unsat":
            wrong += 1
            print(f"query {n} of seed {options.seed} is satisfiable and was called unsatisfiable\n{text}")
    print(f"{options.queries} satisfiable queries, of which {wrong} were called unsatisfiable")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
