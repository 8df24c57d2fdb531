"""Pictures of every view for the documents, from a report of the demo: `make demo`, then `make screenshots`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.anvil import ROOT
from tests.support.browser import look

REPORT, INTO = ROOT / "runs" / "demo" / "report.html", ROOT / "docs" / "img"


def main() -> None:
    if not REPORT.exists():
        sys.exit(f"{REPORT} is not there; run: make demo")
    INTO.mkdir(parents=True, exist_ok=True)
    data = json.loads(
        re.search(r'<script id="report" type="application/json">(.*?)</script>', REPORT.read_text(), re.S)[1]
    )  # type: ignore[index]
    best = data["views"]["federation"]["best"]["id"]
    richest = data["views"]["money"]["nodes"][0]["address"]
    address = REPORT.as_uri()
    shots = {
        "watch-federation": {"url": f"{address}#/federation"},
        "watch-submission": {"url": f"{address}#/submission/{best}"},
        "watch-money": {"url": f"{address}#/money", "full": False, "height": 1400},
        "watch-node": {"url": f"{address}#/node/{richest}", "full": False, "height": 1400},
        "watch-audit": {"url": f"{address}#/audit"},
        "watch-phone": {"url": f"{address}#/federation", "width": 390, "height": 1400, "dark": True, "full": False},
    }
    common = {"wait": "footer", "axe": False}
    for seen in look(
        *({"name": name, "shot": str(INTO / f"{name}.png"), **common, **one} for name, one in shots.items())
    ):
        print(f"docs/img/{seen['name']}.png  {seen['heading']}  {seen['errors'] or ''}")


if __name__ == "__main__":
    main()
