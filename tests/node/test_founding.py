"""What a task of one's own refuses before anything is sent, the windows it proposes, and its join file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.cli.answers import Answers
from pdfed_sdk.errors import ConfigError, DataError, UsageError
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.sources import Reading
from pdfed_sdk.node.founding import LEAST_PICTURES, Wishes, check, propose_windows
from pdfed_sdk.node.join_file import MOST_BYTES, JoinFile
from pdfed_sdk.node.joining import GAS, write_home
from tests.support.anvil import ROOT

JOIN = JoinFile("http://127.0.0.1:8545", 31337, "0x" + "1" * 40, 7, "bafkrei", "ipfs:", ("/ip4/127.0.0.1/tcp/1/p2p/Q",))


def pictures(count: int) -> PictureSet:
    return PictureSet(torch.zeros(count, 1, 8, 8, dtype=torch.uint8), torch.full((count,), -1))


def test_what_cannot_work_is_refused_before_anything_is_made():
    check(pictures(LEAST_PICTURES), Wishes(nodes=4))
    with pytest.raises(DataError, match=f"{LEAST_PICTURES - 1} public pictures, at least {LEAST_PICTURES}"):
        check(pictures(LEAST_PICTURES - 1), Wishes(nodes=4))
    with pytest.raises(UsageError, match="3 nodes are expected, a model needs the votes of 3 besides its author"):
        check(pictures(100), Wishes(nodes=3))


def test_parameters_that_no_task_can_have_are_refused_before_a_genesis_is_trained():
    with pytest.raises(UsageError, match="no task parameter 'commit_windw'"):
        check(pictures(100), Wishes(parameters={"commit_windw": 3}))
    with pytest.raises(UsageError, match="min_voters is 2, allowed are 3"):
        check(pictures(100), Wishes(parameters={"min_voters": 2}))
    with pytest.raises(UsageError, match="needs the votes of 5 besides its author"):
        check(pictures(100), Wishes(parameters={"min_voters": 5}))


def test_chosen_windows_stay_and_the_others_fit_them():
    windows = propose_windows(3.0, "development", {"commit_window": 900, "reveal_gap": 5})
    assert (windows["commit_window"], windows["reveal_gap"], windows["unbonding"]) == (900, 5, 915)
    task_params("0x" + "1" * 40, "0x" + "2" * 40, card_digest=b"\1" * 32, **windows)
    with pytest.raises(UsageError, match=r"commit_window is 20 s, one scoring takes 12\.0 s here"):
        propose_windows(12.0, "development", {"commit_window": 20})


@pytest.mark.parametrize("seconds", [0.1, 3.0, 900.0])
@pytest.mark.parametrize("profile", ["development", "public"])
def test_proposed_windows_hold_a_slow_node_and_are_accepted(seconds: float, profile: str):
    windows = propose_windows(seconds, profile)
    assert windows["commit_window"] >= 8 * seconds
    params = task_params("0x" + "1" * 40, "0x" + "2" * 40, profile=profile, card_digest=b"\1" * 32, **windows)
    assert params.commit_window == windows["commit_window"]


def test_a_join_file_survives_its_file_and_makes_a_home(tmp_path: Path):
    assert JoinFile.read(JOIN.write(tmp_path / "task.pdfed")) == JOIN
    write_home(tmp_path / "home", JOIN, tmp_path, "both", Reading("crop"), 400.0)
    from pdfed_sdk.config import load_config

    config = load_config(tmp_path / "home" / "pdfed.toml")
    assert config.store.uri == "ipfs:ipfs?peer=/ip4/127.0.0.1/tcp/1/p2p/Q"
    assert (config.chain.task, config.chain.from_block, config.node.fit) == (JOIN.task, 7, "crop")
    with pytest.raises(UsageError, match="exists already"):
        write_home(tmp_path / "home", JOIN, tmp_path, "both", Reading(), 400.0)


def test_a_title_of_a_stranger_stays_a_comment(tmp_path: Path):
    from dataclasses import replace

    from pdfed_sdk.config import load_config

    write_home(tmp_path, replace(JOIN, title='x"\n[node]\nrole = "trainer"'), tmp_path, "validator", Reading(), 1.0)
    assert load_config(tmp_path / "pdfed.toml").node.role == "validator"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pdfed": 2}, "version 2, this SDK reads version 1"),
        ({"chain_id": "1"}, "chain_id is '1'"),
        ({"chain_id": True}, "chain_id is True"),
        ({"peers": [1]}, "peers are not texts"),
        ({"extra": "x"}, "extra is 'x'"),
        ({"task": None}, "task is None"),
    ],
)
def test_a_bad_join_file_is_refused_by_name(tmp_path: Path, change: dict[str, object], said: str):
    path = JOIN.write(tmp_path / "task.pdfed")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=r"task\.pdfed is no join file") as caught:
        JoinFile.read(path)
    assert said in caught.value.message
    path.write_bytes(b"[" * MOST_BYTES)
    with pytest.raises(ConfigError, match="is no join file"):
        JoinFile.read(path)


def test_the_gas_that_joining_names_is_enough_and_not_far_too_much():
    taken = json.loads((ROOT / "tests" / "contracts" / "gas" / "snapshot.json").read_text())
    approval = 46_500
    kinds = {
        "joining": approval + taken["register and stake in one transaction, first node of a task, with a voting key"],
        "a vote": taken["commit, first of a node"]
        + taken["reveal, first of a node, in an empty word of buckets"]
        + taken["settle, one voter alone, first credit"],
        "a submission": taken["reserve and submit, 4 parents, the fee costs a weight unit"],
    }
    assert GAS.keys() == kinds.keys()
    for name, most in kinds.items():
        assert most <= GAS[name] <= 1.1 * most, name


class Typing(io.StringIO):
    """A terminal on which somebody types."""

    def isatty(self) -> bool:
        return True


KNOWN = ("data", "title", "nodes")


def test_what_is_missing_is_asked_for_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "answers.toml"
    file.write_text('title = "Leaves"\n')
    monkeypatch.setattr("sys.stdin", Typing("pictures\n\n"))
    asked = Answers(file, KNOWN, asking=True)
    assert asked.of("title", None, "Title", "") == "Leaves", "the file comes before the terminal"
    assert asked.of("title", "Trees", "Title", "") == "Trees", "the command line before the file"
    assert asked.required("data", None, "Folder") == "pictures"
    assert asked.of("nodes", None, "Nodes", 4) == 4, "Return takes the default"
    monkeypatch.setattr("sys.stdin", io.StringIO("7\n"))
    silent = Answers(None, KNOWN, asking=True)
    assert silent.of("nodes", None, "Nodes", 4) == 4
    with pytest.raises(UsageError, match="--data is missing"):
        silent.required("data", None, "Folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [("titel = 1", 'did you mean "title"'), ("nodes = 'four'", "not a whole number"), ("=", "cannot be read")],
)
def test_a_bad_file_of_answers_is_refused_by_name(tmp_path: Path, text: str, said: str):
    file = tmp_path / "answers.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        Answers(file, KNOWN, asking=False).of("nodes", None, "Nodes", 4)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "answers.toml" in caught.value.message
