"""What proofs rest on: each line that a specification or a bug replaces is there once; no proof rests on itself."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "proofs"))

import prove


@pytest.mark.parametrize("p", prove.PROPERTIES, ids=lambda p: p["function"])
def test_every_replaced_line_is_there_once(p: dict[str, Any]) -> None:
    """The bug first and then the specifications, as a planted proof has them."""
    bugs = [prove.BUGS[p["mutant"]]] if p["mutant"] in prove.BUGS else []
    for edits in (prove.edits_of(p), bugs + prove.edits_of(p)):
        texts: dict[str, str] = {}
        for edit in edits:
            text = texts.get(edit["file"]) or (prove.ROOT / edit["file"]).read_text()
            assert text.count(edit["find"]) == 1, edit
            texts[edit["file"]] = text.replace(edit["find"], edit["replace"])


def test_every_chain_of_proofs_ends() -> None:
    assert all(p["function"] not in prove.grounds(p) for p in prove.PROPERTIES)
    named = {function for s in prove.SPECIFICATIONS.values() for function in s["proved_by"]}
    assert named <= {p["function"] for p in prove.PROPERTIES}


def test_a_proof_that_rests_on_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = next(p for p in prove.PROPERTIES if p["function"] == "check_what_is_earned_is_conserved")
    part = next(p for p in prove.PROPERTIES if p["function"] == "check_what_is_held_down_is_a_part")
    monkeypatch.setitem(prove.SPECIFICATIONS, "circle", {"proved_by": [whole["function"]], "edits": []})
    monkeypatch.setitem(part, "under", [*part["under"], "circle"])
    with pytest.raises(SystemExit, match=r"check_what_is_earned_is_conserved rests on .* rests on"):
        prove.grounds(whole)
