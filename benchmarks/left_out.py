"""What does a set get that taught the judge nothing? Each set is left out in turn, and copies of it are searched for.

Encoder and verifier are the shipped ones. The judge is trained on all sets as the shipped one is, and then anew for
each set left out, on what the others taught: only which of *their* pairs the later looks were taught with was chosen by
a first look that knew all. Copies and false alarms of the set left out are counted as `benchmarks.copies` counts them.
Both kinds of digits are left out together. About 25 minutes on one core.

    python -m benchmarks.left_out [--json] [--quick] [--set NAME=PATH ...] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from benchmarks.copies import FULL, QUICK, run_set, show
from benchmarks.machine import processor
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.judge import Judge
from pdfed_sdk.ml.copies.named_sets import SETS, read
from pdfed_sdk.ml.copies.train_judge import learn, train_judge
from pdfed_sdk.ml.copies.train_shipped import questions_of


def kin(name: str) -> set[str]:
    """The sets that show the same pictures."""
    digits = {"mnist", "mnist-16"}
    return digits if name in digits else {name}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=PATH", help="a set and where it lies")
    parser.add_argument("--only", nargs="*", default=SETS[1:], help="leave out these sets")
    parser.add_argument("--quick", action="store_true", help=f"smaller: {QUICK}")
    parser.add_argument("--fpr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        setattr(options, name, value)
    set_threads(options.threads)
    places = dict(entry.partition("=")[::2] for entry in options.set)
    judge, sets = Judge(), {}
    detector = Detector.load(judge=judge)
    asked = questions_of(detector, places)
    looks = train_judge(judge, list(asked.values()))
    owners = [name for name, some in asked.items() for _ in some]
    for name in options.only:
        found = read(name, places.get(name), tests=True)
        if found is None:
            continue
        started = time.process_time()
        others = [number for number, owner in enumerate(owners) if owner not in kin(name)]
        where = [list(asked).index(owners[number]) for number in others]
        for look, lessons in zip((judge.first, judge.second, judge.third), looks, strict=True):
            learn(look, [lessons[number] for number in others], where)
        sets[name] = run_set(found, detector, options)
        print(f"without {name}: done in {time.process_time() - started:.0f} CPU s", file=sys.stderr)
    if options.json:
        print(json.dumps({"sets": sets, "encoder_sha256": detector.sha256, "processor": processor()}))
    else:
        show(sets)


if __name__ == "__main__":
    main()
