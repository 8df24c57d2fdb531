"""Headless Chromium for tests: pages are opened by web/test/browser.mjs, and what it saw comes back."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.support.anvil import ROOT

SCRIPT = ROOT / "web" / "test" / "browser.mjs"
Seen = dict[str, Any]


def look(*pages: Seen, seconds: float = 240) -> list[Seen]:
    """Open pages one after the other. Skips the test where the browser is not installed or does not start; in CI that
    is a failure."""
    if not (ROOT / "web" / "node_modules" / "playwright-core").is_dir():
        return _missing("the browser is not installed: run make test-web")
    asked = json.dumps({"pages": pages})
    done = subprocess.run(["node", str(SCRIPT)], input=asked, capture_output=True, text=True, timeout=seconds)
    if done.returncode == 0:
        return list(json.loads(done.stdout))
    if "browserType.launch" in done.stderr:
        return _missing(f"Chromium does not start here: {done.stderr[:300]}")
    raise AssertionError(done.stderr[-2000:])


def _missing(why: str) -> list[Seen]:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
