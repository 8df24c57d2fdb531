"""Draw docs/img/architecture.svg, the one picture of how data flow.

    python scripts/docs/architecture.py            # write it
    python scripts/docs/architecture.py --check    # 1 if the file in git is not what this script draws

Everything stands in the tables below: boxes with their place, arrows between points, labels. Plain SVG, no library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

OUT = Path(__file__).resolve().parents[2] / "docs" / "img" / "architecture.svg"
WIDTH, HEIGHT = 1080, 640
INK, PALE, LINE = "#1b1f24", "#57606a", "#8c959f"
NODE, CHAIN, STORE, PART = "#ddf4ff", "#fff8c5", "#dafbe1", "#ffffff"
TITLE, BODY, SMALL = 16, 14, 12
GLYPH = 0.62
"""Width of a wide letter in units of the font size: boxes are checked against it."""


@dataclass(frozen=True)
class Box:
    """A rectangle with centred lines: the first is bold."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    fill: str = PART
    frame: bool = False  # a box around others: its title stands at the top


@dataclass(frozen=True)
class Arrow:
    """A line with a head through the given points. The label, with its step, is centred at `at`."""

    points: tuple[tuple[int, int], ...]
    label: str
    at: tuple[int, int]
    step: int | None = None


BOXES = (
    Box(20, 20, 270, 500, "Trainer's machine", fill=NODE, frame=True),
    Box(40, 70, 230, 76, "private pictures", ("they never leave this machine",), fill="#f6f8fa"),
    Box(40, 182, 230, 76, "train", ("node/author.py, ml/diffusion",)),
    Box(40, 294, 230, 76, "measure, pass the gate", ("ml/scoring/gate.py",)),
    Box(40, 406, 230, 76, "package and sign", ("artifacts/provenance.py",)),
    Box(790, 20, 270, 500, "Voter's machine", fill=NODE, frame=True),
    Box(810, 70, 230, 76, "fetch and verify", ("node/model_cache.py",)),
    Box(810, 182, 230, 76, "sample and score", ("ml/scoring, ml/copies, ml/quality",)),
    Box(810, 294, 230, 76, "private pictures", ("they never leave this machine",), fill="#f6f8fa"),
    Box(810, 406, 230, 76, "seal, later open", ("node/voter.py, chain/voting.py",)),
    Box(420, 20, 240, 90, "Store", ("signed packages, by content", "artifacts/store.py, kubo.py"), fill=STORE),
    Box(400, 190, 280, 330, "EVM chain: one task", fill=CHAIN, frame=True),
    Box(420, 240, 240, 62, "ModelRegistry", ("ids, lineage, levels, best model",)),
    Box(420, 330, 240, 62, "ScoreBook", ("votes, quantile, settlement",)),
    Box(420, 440, 112, 62, "RewardPool", ("gain, lineage",)),
    Box(548, 440, 112, 62, "StakeVault", ("all tokens",)),
    Box(330, 570, 180, 50, "Sponsor", ("scripts/create_task.py",), fill=NODE),
    Box(570, 570, 180, 50, "Auditor", ("audit/reducer.py",), fill=NODE),
)

ARROWS = (
    Arrow(((155, 146), (155, 182)), "", (0, 0)),
    Arrow(((155, 258), (155, 294)), "", (0, 0)),
    Arrow(((155, 370), (155, 406)), "", (0, 0)),
    Arrow(((925, 146), (925, 182)), "", (0, 0)),
    Arrow(((925, 294), (925, 258)), "", (0, 0)),
    Arrow(((1040, 220), (1050, 220), (1050, 444), (1040, 444)), "", (0, 0)),
    Arrow(((270, 430), (320, 430), (320, 254), (420, 254)), "reserve", (362, 240), 1),
    Arrow(((270, 418), (306, 418), (306, 65), (420, 65)), "publish", (358, 51), 2),
    Arrow(((270, 444), (334, 444), (334, 288), (420, 288)), "submit", (366, 306), 3),
    Arrow(((660, 65), (740, 65), (740, 108), (810, 108)), "fetch", (722, 51), 4),
    Arrow(((810, 432), (730, 432), (730, 347), (660, 347)), "commit", (726, 333), 5),
    Arrow(((810, 458), (714, 458), (714, 377), (660, 377)), "reveal", (756, 474), 6),
    Arrow(((600, 330), (600, 302)), "finalize", (556, 321), 7),
    Arrow(((476, 392), (476, 440)), "reward", (526, 421), 8),
    Arrow(((532, 471), (548, 471)), "", (0, 0)),
    Arrow(((660, 490), (790, 490)), "claim", (752, 507), 9),
    Arrow(((604, 502), (604, 545), (155, 545), (155, 520)), "", (0, 0)),
    Arrow(((420, 95), (340, 95), (340, 208), (270, 208)), "parents", (372, 126), 10),
    Arrow(((420, 570), (420, 520)), "fund", (450, 562)),
    Arrow(((660, 520), (660, 570)), "events", (692, 562)),
)


def text(x: float, y: float, words: str, size: int, *, bold: bool = False, ink: str = INK) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{ink}" text-anchor="middle"{weight}>{escape(words)}</text>'
    )


def draw_box(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" '
        f'fill="{box.fill}" stroke="{LINE}"/>'
    )
    middle = box.x + box.width / 2
    if box.frame:
        yield text(middle, box.y + 28, box.title, TITLE, bold=True)
        return
    top = box.y + box.height / 2 - 9 * len(box.lines) + 5
    yield text(middle, top, box.title, BODY, bold=True)
    for number, line in enumerate(box.lines, start=1):
        yield text(middle, top + 18 * number, line, SMALL, ink=PALE)


def draw_arrow(arrow: Arrow) -> Iterator[str]:
    path = " ".join(f"{x},{y}" for x, y in arrow.points)
    yield f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.5" marker-end="url(#head)"/>'


def draw_label(arrow: Arrow) -> Iterator[str]:
    if not arrow.label:
        return
    x, y = arrow.at
    if arrow.step is not None:
        left = x - len(arrow.label) * SMALL * GLYPH / 2 - 6
        yield f'<circle cx="{left:g}" cy="{y - 4}" r="10" fill="{INK}"/>'
        yield text(left, y, str(arrow.step), 11, bold=True, ink="#ffffff")
        x += 9
    yield text(x, y, arrow.label, SMALL)


def render() -> str:
    """The whole picture as SVG text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>How a model and the votes on it travel between nodes, store and chain</title>",
        f'<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L10,5 L0,10 z" fill="{INK}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for box in BOXES:
        parts += draw_box(box)
    for arrow in ARROWS:
        parts += draw_arrow(arrow)
    for arrow in ARROWS:
        parts += draw_label(arrow)
    return "\n".join([*parts, "</svg>", ""])


def main(*words: str) -> int:
    if words not in ((), ("--check",)):
        print(f"unknown option {words[0]}; there is only --check", file=sys.stderr)
        return 2
    if not words:
        OUT.write_text(render(), encoding="utf-8")
        return 0
    if OUT.exists() and OUT.read_text(encoding="utf-8") == render():
        return 0
    print(f"{OUT} is not what this script draws; next: python scripts/docs/architecture.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
