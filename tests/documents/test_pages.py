"""The pages are true where that can be checked: paths exist, links lead somewhere, the picture is the one drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.anvil import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")])
FOLDERS = ("benchmarks", "contracts", "docs", "interfaces", "pdfed_sdk", "scripts", "tests")
MADE = ("docs/audit/",)
"""What tools write: a page may name it before it exists."""
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SVG = "{http://www.w3.org/2000/svg}"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [p for p in PAGES if "decisions" not in p.parts], ids=name)
def test_every_path_that_a_page_names_exists(page: Path):
    """Decision pages are history: they name what was there when they were written."""
    paths = [span for span in SPAN.findall(prose(page)) if re.fullmatch(r"[\w./-]+", span)]
    paths = [path for path in paths if path.split("/")[0] in FOLDERS and "/" in path and not path.startswith(MADE)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path):
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        outside = link.startswith(("http://", "https://", "mailto:"))
        if not outside and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    assert broken == []


def test_every_page_is_on_the_map_of_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(prose(ROOT / "README.md"))}
    assert [name(page) for page in (ROOT / "docs").glob("*.md") if page.resolve() not in linked] == []


def test_the_picture_of_the_architecture_is_the_one_the_script_draws():
    script = ROOT / "scripts" / "docs" / "architecture.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_picture_names_files_that_exist_and_its_words_fit_into_their_boxes():
    drawn = ElementTree.parse(ROOT / "docs" / "img" / "architecture.svg").getroot()
    words = [(element.text or "", element) for element in drawn.iter(f"{SVG}text")]
    paths = {path for text, _ in words for path in re.split(r"[ ,]+", text) if "/" in path}
    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / "pdfed_sdk" / path).exists()] == []
    boxes = [
        [float(b.attrib[key]) for key in ("x", "y", "width", "height")]
        for b in drawn.iter(f"{SVG}rect")
        if "x" in b.attrib
    ]
    for text, element in words:
        x, y, half = (
            float(element.attrib["x"]),
            float(element.attrib["y"]),
            0.275 * len(text) * float(element.attrib["font-size"]),
        )
        around = [b for b in boxes if b[0] <= x <= b[0] + b[2] and b[1] <= y <= b[1] + b[3]]
        if around:
            left, _, width, _ = min(around, key=lambda b: b[2] * b[3])
            assert left <= x - half, text
            assert x + half <= left + width, text
