"""The interface is the specification: nothing external without a notice, no parameter or return without a word.

Read from the compiler's own output: the syntax tree (structs, enums, their members) and the merged documentation that a
contract inherits from its interface.
"""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from support.chain import ROOT

CONTRACTS = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory", "TaskLens")
INTERFACES = sorted(path.name for path in (ROOT / "interfaces").glob("*.sol"))
LIBRARIES = sorted(path.name for path in (ROOT / "contracts" / "libraries").glob("*.sol"))


@cache
def compiled() -> dict[str, Any]:
    """Syntax trees and documentation, without code."""
    paths = [*(ROOT / "interfaces").glob("*.sol"), *(ROOT / "contracts").glob("*.sol")]
    paths += (ROOT / "contracts" / "libraries").glob("*.sol")
    question = {
        "language": "Solidity",
        "sources": {str(p.relative_to(ROOT)): {"content": p.read_text()} for p in paths},
        "settings": {
            "evmVersion": "cancun",
            "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
            "outputSelection": {"*": {"": ["ast"], "*": ["abi", "devdoc", "userdoc"]}},
        },
    }
    command = ["node", str(ROOT / "scripts" / "toolchain" / "solc.js"), "--standard-json"]
    run = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, cwd=ROOT, check=True)
    answer = json.loads(run.stdout)
    assert not [e for e in answer.get("errors", []) if e["severity"] == "error"], answer["errors"]
    return dict(answer)


def tags(node: dict[str, Any]) -> tuple[bool, set[str], int]:
    """(has a notice, documented parameters, documented returns) of a node of the syntax tree."""
    text = (node.get("documentation") or {}).get("text", "")
    lines = [line.strip() for line in text.splitlines()]
    parameters = {line.split()[1] for line in lines if line.startswith("@param ") and len(line.split()) > 2}
    returns = sum(line.startswith("@return ") and len(line.split()) > 1 for line in lines)
    return any(line.startswith("@notice ") for line in lines), parameters, returns


def missing(node: dict[str, Any], where: str) -> Iterator[str]:
    """What is not said about one function, event, error, struct or enum."""
    notice, told, returns = tags(node)
    name = f"{where}.{node['name']}"
    if not notice:
        yield f"{name}: no notice"
    members = node.get("parameters", {}).get("parameters") if "parameters" in node else node.get("members", [])
    if node["nodeType"] == "EnumDefinition":
        yield from (f"{name}.{m['name']}: no notice" for m in members if not tags(m)[0])
    else:
        yield from (f"{name}: nothing about {m['name']}" for m in members if m["name"] not in told)
    expected = len(node.get("returnParameters", {}).get("parameters", []))
    if returns != expected:
        yield f"{name}: {returns} of {expected} returns"


def documented_here(tree: dict[str, Any], file: str) -> Iterator[str]:
    kinds = ("FunctionDefinition", "EventDefinition", "ErrorDefinition", "StructDefinition", "EnumDefinition")
    for node in tree["nodes"]:
        if node["nodeType"] in kinds:
            yield from missing(node, file)
        if node["nodeType"] == "ContractDefinition":
            if not tags(node)[0]:
                yield f"{node['name']}: no notice"
            for inner in node["nodes"]:
                if inner["nodeType"] in kinds:
                    yield from missing(inner, node["name"])


@pytest.mark.parametrize("file", INTERFACES)
def test_everything_in_an_interface_is_described(file: str) -> None:
    assert not list(documented_here(compiled()["sources"][f"interfaces/{file}"]["ast"], file))


@pytest.mark.parametrize("name", CONTRACTS)
def test_everything_a_contract_offers_is_described(name: str) -> None:
    """Inherited or written there: the merged documentation of every function of the ABI is complete. Only for the
    getter of a public variable the compiler merges nothing: there the interface alone speaks."""
    contract = compiled()["contracts"][f"contracts/{name}.sol"][name]
    interface = compiled()["contracts"][f"interfaces/I{name}.sol"][f"I{name}"]
    said, details = contract["userdoc"]["methods"], contract["devdoc"]["methods"]
    if name == "TaskFactory":
        getter = "isTask(address)"
        said[getter], details[getter] = (interface[kind]["methods"][getter] for kind in ("userdoc", "devdoc"))

    def type_of(entry: dict[str, Any]) -> str:
        parts = entry.get("components")
        return "(" + ",".join(map(type_of, parts)) + ")" + entry["type"][5:] if parts else str(entry["type"])

    for entry in contract["abi"]:
        if entry["type"] != "function":
            continue
        signature = f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"
        assert said.get(signature, {}).get("notice"), signature
        told = details.get(signature, {})
        assert set(told.get("params", {})) >= {i["name"] for i in entry["inputs"]}, signature
        assert len(told.get("returns", {})) == len(entry["outputs"]), signature


@pytest.mark.parametrize("file", LIBRARIES)
def test_every_library_function_and_type_says_what_it_is(file: str) -> None:
    for node in compiled()["sources"][f"contracts/libraries/{file}"]["ast"]["nodes"]:
        if node["nodeType"] in ("ContractDefinition", "StructDefinition"):
            assert node.get("documentation"), f"{file}: {node['name']}"
        for inner in node.get("nodes", []):
            public = inner.get("visibility") in ("external", "public", "internal") and inner.get("kind") == "function"
            if public and not inner["name"].startswith("_"):
                assert inner.get("documentation"), f"{file}: {inner['name']}"
            offered = inner.get("visibility") in ("external", "public") and inner.get("kind") == "function"
            if offered or inner.get("nodeType") == "ErrorDefinition":
                assert not list(missing(inner, file))


def test_the_check_sees_what_is_missing() -> None:
    tree = compiled()["sources"]["interfaces/IStakeVault.sol"]["ast"]
    bare = json.loads(json.dumps(tree).replace("@param amount", "@custom amount").replace("@return escrow", "escrow"))
    found = list(documented_here(bare, "IStakeVault.sol"))
    assert "IStakeVault.deposit: nothing about amount" in found
    assert "IStakeVault.totals: 2 of 3 returns" in found
