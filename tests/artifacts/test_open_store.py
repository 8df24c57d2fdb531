"""One address names a store, for the node and for every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.errors import UsageError


@pytest.mark.parametrize("uri", ["local:kept", "kept"])
def test_a_relative_folder_lies_in_the_base(uri: str, tmp_path: Path):
    store = open_store(uri, tmp_path)
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "kept"


def test_an_absolute_folder_lies_where_it_says(tmp_path: Path):
    store = open_store(f"local:{tmp_path / 'kept'}", Path("/nowhere"))
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "kept"


def test_a_kubo_node_by_its_address():
    store = open_store("kubo:http://127.0.0.1:5001/")
    assert isinstance(store, KuboStore)
    assert store.url == "http://127.0.0.1:5001"


@pytest.mark.parametrize("uri", ["s4:bucket", "ftp://127.0.0.1", "local:", "kubo:", ""])
def test_an_unknown_address_is_refused_with_the_known_forms(uri: str):
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        open_store(uri)
    assert "local:DIR" in caught.value.hint
