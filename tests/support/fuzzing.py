"""Seeded mutations of what strangers send, and what must become of each: accepted, or refused with an error of ours.

    python -m tests.support.fuzzing [--inputs 100000] [--seed 0]

prints subject × outcome. A foreign exception ends the run with the seed that brings it back. Subjects: package bytes,
configurations of a pipeline folder (loaded, and sampled where they load), task cards, join files, events as the page
follows and shows them, notes and pictures of a home as its private view reads them.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import enum
import functools
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from pdfed_sdk.errors import PdfedError

Subject = Callable[[random.Random], None]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**200, 1e308, float("inf"), float("-inf"), float("nan"), 0.5),
    *("", "x", "True", "../..", "\x00", "é" * 300, [], {}, [[]], [1, "a", None], {"a": {"b": []}}),
)
"""Values that a parser did not expect where it finds them. Infinity is written as 1e999: no JSON word of its own."""


def mutated_json(value: Any, rng: random.Random) -> str:
    """The text of ``value`` with one to three places changed, removed, added, or cut."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        place = value
        while isinstance(place, dict | list) and place and rng.random() < 0.7:
            inner = rng.choice(list(place.values()) if isinstance(place, dict) else place)
            if not isinstance(inner, dict | list):
                break
            place = inner
        odd = copy.deepcopy(rng.choice(ODD))
        if isinstance(place, dict):
            key = rng.choice([*place, "unheard_of"])
            if rng.random() < 0.2:
                place.pop(key, None)
            else:
                place[key] = odd
        elif isinstance(place, list) and place:
            place[rng.randrange(len(place))] = odd
    text = json.dumps(value).replace("-Infinity", "-1e999").replace("Infinity", "1e999")
    return text[: rng.randrange(len(text))] if rng.random() < 0.05 else text


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """``data`` with bits flipped, bytes cut out, doubled or replaced."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(found)), rng.randint(1, 16)
        match rng.randrange(4):
            case 0:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[at : at + length]
            case _:
                found[at : at + length] = rng.randbytes(length)
        if not found:
            return b""
    return bytes(found)


class Subjects:
    """Good examples of everything, in a scratch folder, and what to do with their mutants."""

    def __init__(self, folder: Path) -> None:
        from pdfed_sdk.artifacts.package import pack_folder
        from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model, save_pipeline
        from pdfed_sdk.ml.scoring import ScoringSettings
        from pdfed_sdk.node.join_file import JoinFile
        from pdfed_sdk.node.task_card import TaskCard

        self.folder = folder
        self.pipeline = save_pipeline(new_model(ModelConfig(widths=(8, 16), classes=3)), folder / "pipeline")
        (self.pipeline / "README.md").write_text("a model")
        pack_folder(self.pipeline, folder / "package.zip")
        self.package = (folder / "package.zip").read_bytes()
        self.configs = sorted(self.pipeline.rglob("*.json"))
        self.card = json.loads(TaskCard(ScoringSettings(), classes=("a", "b")).to_bytes())
        join = JoinFile("http://127.0.0.1:1", 1, "0x" + "1" * 40, 0, "bafy", "ipfs:", ("/ip4/1/tcp/1/p2p/Q",))
        self.join = json.loads(join.write(folder / "task.pdfed").read_text())

    def package_bytes(self, rng: random.Random) -> None:
        from pdfed_sdk.artifacts.package import read_package

        head = rng.random() < 0.5  # half the mutations hit what surrounds the weights
        cut = 2_000
        data = self.package
        if head:
            end = rng.random() < 0.5
            part = mutated_bytes(data[-cut:] if end else data[:cut], rng)
            data = data[:-cut] + part if end else part + data[cut:]
        else:
            data = mutated_bytes(data, rng)
        read_package(data)

    def pipeline_folder(self, rng: random.Random) -> None:
        from pdfed_sdk.family import load_model

        config = rng.choice(self.configs)
        kept = config.read_text()
        try:
            config.write_text(mutated_json(json.loads(kept), rng))
            model = load_model(self.pipeline)
            model.family.sample(model, 1, bytes(32), steps=2)
        finally:
            config.write_text(kept)

    def task_card(self, rng: random.Random) -> None:
        from pdfed_sdk.node.task_card import TaskCard

        TaskCard.from_bytes(mutated_json(self.card, rng).encode(), "the card")

    def events(self, rng: random.Random) -> None:
        """A history whose events were changed, dropped, doubled or moved: followed until no state can follow, then
        shown in every view and in a report, all of it JSON and none of it HTML."""
        from pdfed_sdk.watch.report import gather, inline

        watcher = hostile_watcher(rng)
        try:
            watcher.follower.catch_up()
        finally:
            page = inline(gather(watcher, audit=False))
            if page.count("<script") != 2 or page.count("</script") != 2:
                raise AssertionError("a text has left the data of the report")

    def home_notes(self, rng: random.Random) -> None:
        """Evaluations, attempts, curves and strips of samples of a home, mutated: the private view leaves them out."""
        from pdfed_sdk.types import Address
        from pdfed_sdk.watch.home import Home

        home = self.folder / "home"
        for name, note in NOTES.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = mutated_json(note, rng).encode("utf-8", "replace")
            path.write_bytes(mutated_bytes(data or b"x", rng) if rng.random() < 0.3 else data)
        json.dumps(Home(home, Address("0x" + "1" * 40)).read())

    def join_file(self, rng: random.Random) -> None:
        from pdfed_sdk.node.join_file import JoinFile

        path = self.folder / "mutant.pdfed"
        path.write_bytes(mutated_json(self.join, rng).encode("utf-8", "replace"))
        JoinFile.read(path).store_of_node()


NOTES: dict[str, Any] = {
    "now.json": {"doing": "scoring", "number": 3, "since": 1.5e9},
    "evaluations/3.json": {
        "improvement": 4,
        "candidate": {"fid": 1.0, "novelty": 0.1, "objective": 2.0},
        "pairs": [json.dumps({"sample": 1, "train": 2, "score": 0.9}).encode().hex()],
    },
    "attempts/2/attempt.json": {"stage": "training", "pictures": 100, "improvement": None},
    "attempts/2/curve.jsonl": {"pictures": 32, "total": 100, "loss": 0.5},
    "attempts/2/samples/32.png": "a picture",
}
"""What a home's notes look like."""
TEXTS = ("</script><script>alert(1)</script>", "\u202e", "\x00", "<img src=x onerror=alert(1)>", "\ud800", "x" * 5_000)


def another(value: Any, rng: random.Random) -> Any:
    """A value of the same type, as the decoder of events would give it."""
    match value:
        case bool():
            return not value
        case enum.Enum():
            return rng.choice(list(type(value)))
        case int():
            return rng.choice([0, 1, 2, 3, 100, 2**31, 2**127, 2**255, -value])
        case bytes():
            return rng.randbytes(len(value))
        case str():
            number = rng.choice([0, 1, 2, 3, 2**160 - 1, rng.getrandbits(160)])
            return to_checksum_address(f"0x{number:040x}")
        case _:
            return value


@functools.cache
def good_history() -> list[list[Any]]:
    """The events of a made-up history, block by block."""
    from benchmarks.watch import build

    watcher, client = build(None, 12, 7)
    kept: list[list[Any]] = []

    def recorded(make: Callable[[], list[Any]]) -> list[Any]:
        kept.append(make())
        return kept[-1]

    client.waiting = [functools.partial(recorded, make) for make in client.waiting]
    watcher.follower.catch_up()
    return kept


def mutated_events(events: list[Any], rng: random.Random) -> list[Any]:
    """The events of a block, of one block in ten with one dropped, doubled and moved, or changed in one field."""
    found = list(events)
    if rng.random() > 0.1 or not found:
        return found
    at = rng.randrange(len(found))
    match rng.randrange(4):
        case 0:
            del found[at]
        case 1:
            found.insert(rng.randrange(len(found)), found[at])
        case _:
            name = rng.choice([name for name in found[at].__dataclass_fields__ if name != "where"])
            found[at] = dataclasses.replace(found[at], **{name: another(getattr(found[at], name), rng)})
    return found


def hostile_watcher(rng: random.Random) -> Any:
    """A watcher of a made-up history of a dozen submissions (benchmarks/watch.py), some of whose events are mutants,
    and whose names, title and token are texts of strangers."""
    from benchmarks.watch import build
    from pdfed_sdk.watch.text import clean

    watcher, client = build(None, 12, 7)
    client.waiting = [functools.partial(mutated_events, events, rng) for events in good_history()]
    names = {f"0x{i:040x}": clean(rng.choice(TEXTS), 40) for i in range(1, 8)}
    watcher.about = dataclasses.replace(
        watcher.about, title=clean(rng.choice(TEXTS)), symbol=clean(rng.choice(TEXTS), 16), names=names
    )
    return watcher


SHARES = {
    **{"package_bytes": 32, "pipeline_folder": 10, "task_card": 20, "join_file": 20},
    **{"events": 8, "home_notes": 10},
}
"""Of a hundred inputs; those that load a network cost most."""


def run(inputs: int, seed: int) -> dict[str, Counter[str]]:
    """Outcomes by subject. A foreign exception is raised with the input's own seed in its note."""
    folder = Path(tempfile.mkdtemp(prefix="pdfed-fuzz-"))
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in SHARES}
    try:
        subjects = Subjects(folder)
        for number in range(inputs):
            if number and number % 10_000 == 0:
                print(f"{number:,} of {inputs:,} inputs", file=sys.stderr, flush=True)
            chosen = random.Random(f"{seed} {number}")
            name = chosen.choices(list(SHARES), list(SHARES.values()))[0]
            try:
                getattr(subjects, name)(chosen)
                outcomes[name]["accepted"] += 1
            except PdfedError as error:
                outcomes[name][type(error).__name__] += 1
            except Exception as error:
                error.add_note(f"{name}, seed {seed}, input {number}")
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for name, counts in run(chosen.inputs, chosen.seed).items():
        sys.stdout.write(f"{name:<16} " + ", ".join(f"{what} {count}" for what, count in counts.most_common()) + "\n")


if __name__ == "__main__":
    main()
