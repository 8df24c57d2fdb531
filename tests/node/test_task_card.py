"""The task card: written and read in one place, the same for files, stores and the demo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.node.task_card import MOST_BYTES, TaskCard

CARD = TaskCard(ScoringSettings(samples=64), title="digits", model="barely trained", classes=("one", "two"))


def test_what_is_written_is_read_from_a_file_and_from_a_store(tmp_path: Path):
    path = CARD.write(tmp_path / "card.json")
    store = LocalStore(tmp_path / "store")
    assert TaskCard.read(path) == TaskCard.fetch(store, store.put(path).digest) == CARD


def test_a_card_of_the_first_version_names_no_family(tmp_path: Path):
    old = {"title": "old", "scoring": json.loads(ScoringSettings().to_json()), "model": "genesis"}
    assert TaskCard.from_bytes(json.dumps(old).encode(), "it").family == "ddpm"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "Expecting"),
        (b"[]", "list"),
        (b"{}", "scoring"),
        (b"[" * 100_000, "recursion"),
        (b" " * (MOST_BYTES + 1), f"limit is {MOST_BYTES}"),
        (CARD.to_bytes().replace(b'"ddpm"', b'"gan"'), 'no model family "gan"'),
        (CARD.to_bytes().replace(b'"one"', b'"TWO"'), "classes hold a name twice"),
        (CARD.to_bytes().replace(b'"one"', b"1"), "expected names"),
    ],
)
def test_no_card_is_a_refusal_that_names_it(data: bytes, said: str):
    with pytest.raises(ConfigError, match="the card of a stranger") as caught:
        TaskCard.from_bytes(data, "the card of a stranger")
    assert said in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no\.json cannot be read"):
        TaskCard.read(tmp_path / "no.json")
