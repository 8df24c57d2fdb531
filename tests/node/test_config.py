"""``pdfed.toml``: defaults, refusals that name the setting, and docs/node.md that lists every one."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from pdfed_sdk.config import NodeConfig, load_class, load_config
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.node.strategy import TrainFromBest
from tests.support.anvil import ROOT


def load(tmp_path: Path, text: str) -> NodeConfig:
    path = tmp_path / "pdfed.toml"
    path.write_text(text)
    return load_config(path)


def test_an_empty_file_is_all_defaults(tmp_path: Path):
    assert load(tmp_path, "") == NodeConfig()


def test_values_are_taken(tmp_path: Path):
    config = load(tmp_path, '[node]\nrole = "both"\nstake = 5\n[strategy]\nclass = "a:B"\nbudget = 7\n')
    assert (config.node.role, config.node.stake) == ("both", 5)
    assert (config.strategy.class_, config.strategy.options) == ("a:B", {"budget": 7})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[nodes]\n", r"unknown section \[nodes\]"),
        ("[node]\nstak = 5\n", 'did you mean "stake"'),
        ('[node]\nstake = "5"\n', "stake is '5', not of type float"),
        ("[node]\ngate = 1\n", "gate is 1, not of type bool"),
        ("[node]\nthreads = true\n", "threads is True, not of type int"),
        ("[node]\nthreads = 0\n", r"\[node\] threads is 0, not within 1"),
        ("[node]\npace = 1.5\n", r"\[node\] pace is 1.5, not within"),
        ("[node]\npace = nan\n", r"\[node\] pace is nan"),
        ("[node]\nstake = -1\n", r"\[node\] stake is -1, not at least 0"),
        ('[node]\nrole = "painter"\n', r'\[node\] role is "painter"'),
        ("[training]\nlr = 3\n", r"\[training\] lr is 3"),
        ("node = 3\n", r"\[node\] is not a table"),
        ("strategy = 3\n", r"\[strategy\] is not a table"),
        ("[strategy]\nclass = 3\n", r"\[strategy\] class is 3"),
        ('[node]\nquota = "much"\n', r'\[node\] quota: "much" is no amount of bytes'),
        ("[node\n", "is not valid TOML"),
    ],
)
def test_refusals_name_file_setting_and_limit(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert re.search(said, str(caught.value))
    assert str(tmp_path / "pdfed.toml") in caught.value.message


def test_missing_and_unreadable_files(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read") as caught:
        load_config(tmp_path / "pdfed.toml")
    assert "pdfed node init" in caught.value.hint
    (tmp_path / "pdfed.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "pdfed.toml")


def test_a_class_by_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_own_strategy.py").write_text("class Mine: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_class("my_own_strategy:Mine").__name__ == "Mine"
    for wrong in ("my_own_strategy:Yours", "nowhere:Mine", "", ":", "my_own_strategy"):
        with pytest.raises(ConfigError, match="cannot load"):
            load_class(wrong)


def test_the_manual_lists_every_setting_with_its_default():
    text = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    for section in ("chain", "store", "node", "training", "parts"):
        table = text[text.index(f"### [{section}]") :].split("###")[1]
        for field in dataclasses.fields(getattr(NodeConfig(), section)):
            assert f"| `{field.name}` | `{json.dumps(field.default)}` |" in table, f"[{section}] {field.name}"


def test_the_guide_lists_every_setting_of_the_default_strategy():
    text = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    table = text[text.index("### [strategy]") :]
    for field in dataclasses.fields(TrainFromBest):
        shown = "none" if field.default in (None, float("-inf")) else f"`{json.dumps(field.default)}`"
        assert f"| `{field.name}` | {shown} |" in table, f"[strategy] {field.name}"
