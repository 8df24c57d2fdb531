"""Every command block and every example of the documents runs, as a reader would run it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pdfed_sdk.buckets import LOWEST
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.event_types import Funded
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.types import Role
from tests.support.anvil import ROOT, start_anvil
from tests.support.doc_blocks import LANGUAGES, Stage, blocks_of
from tests.support.federation import KEYS, UNIT

STAGED = (
    *("README.md", "docs/node.md", "docs/deployment.md", "docs/cli.md", "docs/sdk.md", "docs/scoring.md"),
    *("docs/watch.md", "docs/migration.md", "CONTRIBUTING.md"),
)
"""Pages that play on one stage, in this order: each finds what the pages before it have made."""
APART = {
    "docs/own-pictures.md": "tests/documents/test_own_pictures.py",
    "docs/property-tests.md": "tests/contracts/stateful/test_planted.py",
    "docs/text-to-image.md": "tests/documents/test_text_to_image.py",
}
"""Pages whose blocks another file runs, from the page as well."""
ELSEWHERE = {
    "make demo": "tests/e2e/test_federation.py plays the demo, smaller",
    "make test": "CI runs it; this test is a part of it",
    "make setup": "every run of CI begins with it",
    "anvil &": "the stage has started one, on a port of its own",
}
"""Lines of the README that the stage leaves out, and who runs them. No other line of any page is left out."""
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = ("make ", "pdfed ", "python ", "brownie ", "npm ", "pip ", "anvil")


def address(keystore: Path) -> str:
    return "0x" + json.loads(keystore.read_text())["address"].removeprefix("0x")


def gas(stage: Stage, keystore: str) -> str:
    """Somebody sends gas to a new key."""
    node = address(stage.folder / keystore)
    stage.anvil.endow(node)
    return node


def tokens(stage: Stage, keystore: str) -> None:
    """Somebody sends gas and 1,000 of the task's tokens; the test token may be minted by anyone."""
    node = gas(stage, keystore)
    signer = LocalSigner.from_key(KEYS[0], lock_folder=stage.folder / "locks")
    stage.anvil.endow(signer.address)
    PdfedClient.connect(stage.anvil.url, task=stage.env["PDFED_TASK"], signer=signer).mint(node, 1_000 * UNIT)


def task(stage: Stage) -> None:
    """The reader copies the task's address from what the script printed."""
    manifest = json.loads(next((stage.folder / "deployments").glob("*.json")).read_text())
    stage.replaced["0x…"] = manifest["tasks"][-1]["registry"]


def node(stage: Stage) -> None:
    """Alice gets gas, tokens, and a folder of pictures."""
    tokens(stage, "alice/keystore.json")
    chosen = load_pictures("mnist", size=16).take(range(0, 5_000, 20))
    for index, (picture, label) in enumerate(zip(chosen.images, chosen.labels, strict=True)):
        folder = stage.folder / "pictures" / str(int(label))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0].numpy()).save(folder / f"{index}.png")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage after the blocks of the README."""
    anvil = start_anvil()
    stage = Stage(
        tmp_path_factory.mktemp("documents"),
        anvil,
        endless={"pdfed node run": "takes part", "pdfed relay run": "http://", "pdfed watch": "Ctrl-C ends it"},
        shorter={"pdfed model init": "--pictures 50", "pdfed watch": "--port 0"},
        elsewhere=ELSEWHERE,
        afterwards={
            "pdfed keys new sponsor.json": lambda stage: str(gas(stage, "sponsor.json")) and None,
            "python scripts/create_task.py": task,
            "pdfed node init --home alice": node,
            "pdfed keys new carol.json": lambda stage: tokens(stage, "carol.json"),
        },
    )
    for block in blocks_of("README.md"):
        stage.run(block)
    yield stage
    anvil.process.terminate()
    anvil.process.wait(10)


def test_every_block_says_what_it_is_and_text_holds_no_command():
    found = [block for page in PAGES for block in blocks_of(page)]
    assert len(found) >= 15
    assert [block.place for block in found if block.language not in LANGUAGES] == []
    hidden = [
        b.place for b in found if b.language == "text" if any(x.startswith(COMMANDS) for x in b.text.splitlines())
    ]
    assert hidden == [], "a command belongs into a block that is run"


def test_every_page_with_blocks_is_run():
    assert {page for page in PAGES if blocks_of(page)} == {*STAGED, *APART}
    for page, file in APART.items():
        assert Path(page).name in (ROOT / file).read_text(encoding="utf-8"), f"{file} does not run {page}"


def test_no_line_is_left_out_but_those_of_the_readme_that_are_run_elsewhere():
    """Other make targets, which take long, are named in the text: no block promises that they were tried."""
    lines = [(b.page, line) for page in PAGES for b in blocks_of(page) if b.language == "sh" for line in b.commands()]
    left_out = {(page, line) for page, line in lines if line in ELSEWHERE or line.startswith("make")}
    assert left_out == {("README.md", line) for line in ELSEWHERE}


def test_every_make_target_that_a_page_names_exists():
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {found for page in PAGES for found in re.findall(r"`make ([a-z0-9-]+)", (ROOT / page).read_text("utf-8"))}
    assert named - known == set()


@pytest.mark.parametrize("page", STAGED)
def test_the_blocks_of_a_page_run_in_order(stage: Stage, page: str):
    if page != "README.md":  # the stage has played it
        for block in blocks_of(page):
            stage.run(block)


def test_the_readme_leaves_a_registered_node_of_a_funded_task(stage: Stage):
    client = PdfedClient.connect(stage.anvil.url, task=stage.env["PDFED_TASK"])
    alice = address(stage.folder / "alice" / "keystore.json")
    assert client.account(alice).roles == Role.TRAINER | Role.VALIDATOR
    assert client.account(alice).stake == 500 * UNIT
    funded = [event.amount for event in client.events.replay(from_block=0) if isinstance(event, Funded)]
    assert funded == [1_000_000 * UNIT]
    assert "takes part" in (stage.folder / "all-said").read_text()


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110


def test_the_strategy_and_the_evaluator_of_the_guide_do_what_they_say(stage: Stage):
    if "Cautious" not in stage.names:
        for block in blocks_of("docs/sdk.md"):
            if "class " in block.text and block.language == "python":
                stage.run(block)
    cautious = stage.names["Cautious"](budget=5)
    assert isinstance(cautious, LocalStrategy)
    assert not cautious.publishes(0, 2)
    assert not cautious.publishes(LOWEST, 2)
    assert stage.names["make_taste"](None, None, None).compare(Path(), Path(), b"", lambda: None).improvement == 1
