"""``python small_demo.py FOLDER``: the demo with its real processes, made as small as it still shows something.

Everything is the demo's own (chain, brownie scripts, five nodes, real training and scoring, audit) but for its size:
shorter windows, fewer training pictures, and it closes after the first submission instead of the seventh.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pdfed_sdk import cli
from pdfed_sdk.demo import run

SCRIPT = run.DemoPlan(
    pictures=400,
    overtrain=400,
    genesis=300,
    submissions=1,
    most=1,
    close_from=0.0,
    close_by=200.0,
    windows={"unbonding": 120, "submit_window": 10, "commit_window": 80, "reveal_gap": 1, "reveal_window": 15},
    promises=False,
)


def first_submission(supervisor: run.Supervisor, now: float) -> bool:
    submitted = any(entry.record for entry in supervisor.view.entries.values())
    return submitted or now - supervisor.run.started > supervisor.run.plan.close_by


def say(demo: run.DemoRun, text: str) -> None:
    """The address of the live page goes into a file: with --json the console is silent."""
    if found := re.search(r"http://127\.0\.0\.1:\d+/", text):
        fresh = demo.folder / "page.part"
        fresh.write_text(found[0])
        fresh.replace(demo.folder / "page.txt")  # whoever waits for it never reads a part


if __name__ == "__main__":
    run.say = say
    run.DemoPlan.quick = staticmethod(lambda: SCRIPT)  # type: ignore[method-assign]
    run.Supervisor._enough = first_submission  # type: ignore[method-assign]
    sys.argv = ["pdfed", "demo", "--quick", "--out", str(Path(sys.argv[1])), "--json"]
    cli.main()
