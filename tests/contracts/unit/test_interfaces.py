"""Interface = implementation: every contract offers exactly what its interface says, and declares nothing in vain."""

import re
from typing import Any

import pytest
from support.chain import ROOT

PAIRS = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory", "TaskLens")
OWN = {"initialize()", "PartNotAClone()"}  # wiring and locking of clones; the rest of what is extra is OpenZeppelin's


def signatures(abi: list[dict[str, Any]], kind: str) -> set[str]:
    def of(entry: dict[str, Any]) -> str:
        parts = entry.get("components")
        return "(" + ",".join(map(of, parts)) + ")" + entry["type"][5:] if parts else str(entry["type"])

    return {f"{i['name']}({','.join(map(of, i['inputs']))})" for i in abi if i["type"] == kind}


@pytest.mark.parametrize("name", PAIRS)
def test_a_contract_is_its_interface(task: Any, name: str) -> None:
    contract = getattr(task.chain.project, name).abi
    interface = getattr(task.chain.project.interface, f"I{name}").abi
    assert signatures(contract, "function") - OWN == signatures(interface, "function")
    for kind in ("event", "error"):
        assert signatures(interface, kind) <= signatures(contract, kind)
    for entry in interface:
        if entry["type"] == "function":
            twin = next(
                i for i in contract if i.get("name") == entry["name"] and len(i["inputs"]) == len(entry["inputs"])
            )
            assert entry["stateMutability"] in (twin["stateMutability"], "view")
            assert [o["type"] for o in entry["outputs"]] == [o["type"] for o in twin["outputs"]]


def test_every_declared_error_can_happen() -> None:
    code = "".join(p.read_text() for p in (ROOT / "contracts").rglob("*.sol"))
    for path in (ROOT / "interfaces").glob("I*.sol"):
        for error in re.findall(r"error (\w+)\(", path.read_text()):
            assert f"revert {error}(" in code, f"{error} is never raised"


@pytest.mark.parametrize("name", PAIRS)
def test_contracts_fit_and_stay_short(task: Any, name: str) -> None:
    code = getattr(task.chain.project, name)._build["deployedBytecode"]
    assert len(code) // 2 < 24_576
    assert len((ROOT / "contracts" / f"{name}.sol").read_text().splitlines()) <= 350
