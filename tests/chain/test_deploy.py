"""Parameters and bounds, plans, manifests, deployment without brownie: twice is a no-op, wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdfed_sdk.chain.calls import FactoryCalls
from pdfed_sdk.chain.deploy import (
    Manifest,
    check_sponsor,
    create_call,
    create_task,
    deploy_factory,
    initcode,
    plan_factory,
    predict_task,
    read_genesis,
    read_task_entry,
    verify_deployment,
    verify_task,
    write_genesis,
)
from pdfed_sdk.chain.parameters import PARAMETERS, check_params, name32, params_table, task_params, text32
from pdfed_sdk.chain.rpc import Chain, Wire
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.chain.transactions import Sender
from pdfed_sdk.errors import ConfigError, ProtocolRevert, UsageError, WrongChain
from tests.support.anvil import Anvil
from tests.support.federation import FAST, GENESIS, KEYS, Federation

TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SPONSOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["development", "public"])
def test_defaults_are_inside_their_bounds(profile: Any) -> None:
    params = task_params(TOKEN, SPONSOR, profile=profile, unit=10**6)
    assert params.min_stake == 100 * 10**6
    assert text32(params.objective) == "qn-normalised"
    assert params.unbonding >= params.commit_window + params.reveal_gap + params.reveal_window
    assert len(params_table(params)) == 28
    assert params.commit_window == (30 if profile == "development" else 6 * 3600)


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_bounds_are_the_factorys(federation: Federation, row: Any) -> None:
    """t-1, t, t+1 of both bounds: this table and the contract agree on every one."""
    base = task_params(federation.entry.token, SPONSOR, min_stake=10**18)
    factory = FactoryCalls(federation.manifest.factory)
    wire, chain = Wire(federation.anvil.url, FAST), Chain("anvil", FAST)
    least, most = row.bounds(base)
    lowest = 10**16 if row.name == "min_stake" else least  # a hundredth of a token, which the factory alone can ask
    for value in (lowest - 1, lowest, most, most + 1)[row.name == "min_stake" :]:
        params = replace(base, **{row.name: value})
        ours = refusal(lambda params=params: check_params(params))  # type: ignore[misc]
        theirs = refusal(lambda params=params: wire.run(chain.one(factory.check(params))))  # type: ignore[misc]
        assert bool(ours) == bool(theirs), (value, ours, theirs)
        if not least <= value <= most:
            assert ours.startswith((f"{row.name} is {value}", "submit_window is", "unbonding is"))
        elif row.name not in ("commit_window", "reveal_gap", "reveal_window", "vote_bond_bps", "slots"):
            assert ours == ""  # those move the bounds of others


def test_a_stake_too_small_for_its_token_is_refused_by_the_factory(federation: Federation) -> None:
    """Else one account could fill the weight that a task can count."""
    wire, chain = Wire(federation.anvil.url, FAST), Chain("anvil", FAST)
    params = task_params(federation.entry.token, SPONSOR, min_stake=10**16 - 1)
    said = refusal(lambda: wire.run(chain.one(FactoryCalls(federation.manifest.factory).check(params))))
    assert "parameter minStake is 9999999999999999, allowed are 10000000000000000 to" in said


def test_bonds_above_the_stake_behind_them_are_refused_by_name_here_and_there(federation: Federation) -> None:
    base = task_params(federation.entry.token, SPONSOR)
    wire, chain = Wire(federation.anvil.url, FAST), Chain("anvil", FAST)
    for slots, fits in ((16, True), (17, False)):
        params = replace(base, slots=slots)
        ours = refusal(lambda params=params: check_params(params))  # type: ignore[misc]
        check = FactoryCalls(federation.manifest.factory).check(params)
        theirs = refusal(lambda check=check: wire.run(chain.one(check)))  # type: ignore[misc]
        assert (ours == "", theirs == "") == (fits, fits)
    assert "junk could stop honest voting" in ours
    assert "3 · slots" in theirs


def refusal(act: Callable[[], Any]) -> str:
    """What a check says; empty if it passes. A value that does not even fit its type is refused too."""
    try:
        act()
    except (UsageError, ProtocolRevert) as error:
        return error.message
    return ""


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(UsageError, match="no task parameter 'kapa_bps'") as caught:
        task_params(TOKEN, SPONSOR, kapa_bps=1)
    assert caught.value.hint == "did you mean kappa_bps?"
    with pytest.raises(UsageError, match="min_step is 1, allowed are 2 to 128"):
        task_params(TOKEN, SPONSOR, min_step=1)
    with pytest.raises(UsageError, match="token '0x12' is not an address"):
        task_params("0x12", SPONSOR)
    with pytest.raises(UsageError, match="neither development nor public"):
        task_params(TOKEN, SPONSOR, profile="test")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the name"):
        task_params(TOKEN, SPONSOR, objective="x" * 33)
    with pytest.raises(UsageError, match="sponsor is the zero address"):
        task_params(TOKEN, "0x" + "0" * 40)
    assert text32(name32("raw-qn")) == "raw-qn"


# --- plan, manifest, deployment --------------------------------------------------------------------------------------


def test_the_plan_is_what_is_missing() -> None:
    names = [step.contract for step in plan_factory()]
    assert names == ["StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory", "TaskLens", "TestToken"]
    assert all(0 < step.size < 24_576 for step in plan_factory())
    known = Manifest.empty(1).with_contract("StakeVault", TOKEN, 5).with_contract("TaskFactory", TOKEN, 7)
    assert known.block == 7
    assert [step.contract for step in plan_factory(token=False, known=known)] == [
        "ModelRegistry",
        "ScoreBook",
        "RewardPool",
        "TaskLens",
    ]
    with pytest.raises(UsageError, match="TaskFactory needs ModelRegistry, ScoreBook, RewardPool first"):
        initcode("TaskFactory", known.contracts)


def test_manifests_are_kept_by_chain(tmp_path: Path) -> None:
    assert Manifest.load(5, tmp_path) is None
    manifest = Manifest.empty(5).with_contract("TaskFactory", TOKEN, 3)
    path = manifest.save(tmp_path)
    assert path.name == "5.json"
    assert Manifest.load(5, tmp_path) == manifest
    for content in ("", "[]", "{}", json.dumps({"chain_id": 5, "block": 0, "contracts": {"A": "0x1"}, "tasks": []})):
        path.write_text(content)
        with pytest.raises((ConfigError, UsageError)):
            Manifest.load(5, tmp_path)


def test_manifests_are_kept_in_the_working_folder_and_never_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "package"
    ours.mkdir()
    monkeypatch.setattr("pdfed_sdk.chain.deploy.shipped", lambda: ours)
    monkeypatch.chdir(tmp_path)
    Manifest.empty(5).with_contract("TaskLens", "0x" + "1" * 40, 3).save(ours)
    shipped = Manifest.load(5)
    assert shipped is not None, "what is shipped is found"
    shipped.with_contract("TestToken", "0x" + "2" * 40, 4).save()
    assert (tmp_path / "deployments" / "5.json").exists()
    kept, untouched = Manifest.load(5), Manifest.load(5, ours)
    assert kept is not None
    assert "TestToken" in kept.contracts
    assert untouched == shipped


def test_deploying_and_creating_twice_is_a_no_op(spare_anvil: Callable[..., Anvil], tmp_path: Path) -> None:
    anvil = spare_anvil("--chain-id", "4242")
    signer = LocalSigner.from_key(KEYS[0], lock_folder=tmp_path)
    anvil.endow(signer.address)
    manifest = deploy_factory(anvil.url, signer, folder=tmp_path, options=FAST)
    head = anvil.ask("eth_blockNumber")
    assert deploy_factory(anvil.url, signer, folder=tmp_path, options=FAST) == manifest
    assert anvil.ask("eth_blockNumber") == head
    assert manifest == Manifest.load(4242, tmp_path)

    params = task_params(str(manifest.token), signer.address)
    foreseen, exists = predict_task(anvil.url, manifest, signer.address, params, options=FAST)
    assert not exists
    entry = create_task(anvil.url, signer, params, GENESIS, manifest, folder=tmp_path, options=FAST)
    assert entry.task == foreseen
    head = anvil.ask("eth_blockNumber")
    assert create_task(anvil.url, signer, params, GENESIS, manifest, folder=tmp_path, options=FAST) == entry
    assert anvil.ask("eth_blockNumber") == head
    other = create_task(anvil.url, signer, params, GENESIS, manifest, nonce=b"\x01" * 32, folder=tmp_path, options=FAST)
    kept = Manifest.load(4242, tmp_path)
    assert kept is not None
    assert kept.tasks == (entry, other)

    checks = [*verify_deployment(anvil.url, kept, options=FAST), *verify_task(anvil.url, kept, other.registry)]
    assert [check.name for check in checks if not check.ok] == []
    assert len(checks) > 15

    fresh = spare_anvil("--chain-id", "4242")  # the same chain id, an empty chain: the manifest is stale
    fresh.endow(signer.address)
    assert not all(check.ok for check in verify_deployment(fresh.url, kept, options=FAST))
    again = deploy_factory(fresh.url, signer, folder=tmp_path, options=FAST)
    assert again.tasks == ()
    assert all(check.ok for check in verify_deployment(fresh.url, again, options=FAST))


def test_an_interrupted_deployment_goes_on(federation: Federation, tmp_path: Path) -> None:
    whole = federation.manifest
    part = replace(whole, contracts={name: whole.contracts[name] for name in ("StakeVault", "ScoreBook")}, tasks=())
    part.save(tmp_path)
    assert not all(check.ok for check in verify_deployment(federation.anvil.url, part, options=FAST))
    done = deploy_factory(federation.anvil.url, federation.signers[0], folder=tmp_path, token=False, options=FAST)
    assert done.contracts["StakeVault"] == whole.contracts["StakeVault"]
    assert done.factory != whole.factory
    assert done.token is None


def test_foreign_code_and_tasks_are_found_out(federation: Federation) -> None:
    url, manifest = federation.anvil.url, federation.manifest
    swapped = replace(manifest, contracts={**manifest.contracts, "ScoreBook": manifest.contracts["RewardPool"]})
    wrong = [check.name for check in verify_deployment(url, swapped, options=FAST) if not check.ok]
    assert wrong == ["code of ScoreBook", "factory clones ScoreBook"]
    assert [c.ok for c in verify_task(url, manifest, federation.entry.vault, options=FAST)] == [False]
    with pytest.raises(WrongChain, match="is no task of factory"):
        read_task_entry(url, manifest, federation.entry.vault, options=FAST)
    params = task_params(federation.entry.token, SPONSOR)
    with pytest.raises(WrongChain, match="manifest is of chain 1"):
        create_task(url, federation.signers[0], params, GENESIS, replace(manifest, chain_id=1), options=FAST)


def test_genesis_files(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    write_genesis(path, GENESIS)
    assert read_genesis(path) == GENESIS
    good = json.loads(path.read_text())
    for change in ({"weights_digest": "0x12"}, {"weights_digest": "0x" + "00" * 32}, {"package_codec": "x"}):
        path.write_text(json.dumps(good | change))
        with pytest.raises(UsageError, match="genesis file"):
            read_genesis(path)
    path.write_text("[]")
    with pytest.raises(UsageError, match="cannot be read"):
        read_genesis(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_genesis(tmp_path / "none.json")


def test_a_sponsor_without_gas_or_tokens_is_told_before_anything_is_made(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, signer, poor = federation.anvil.url, LocalSigner.from_key(KEYS[0]), LocalSigner.from_key("0x" + "77" * 32)
    rich = signer.address
    assert check_sponsor(url, rich, "", 10**9).decimals == 18, "the test token is minted as needed"
    with pytest.raises(UsageError, match="has no gas"):
        check_sponsor(url, poor.address, "", 0)
    with pytest.raises(UsageError, match="fund is -1"):
        check_sponsor(url, rich, "", -1)
    with pytest.raises(UsageError, match="tells no decimals and symbol"):
        check_sponsor(url, rich, SPONSOR, 0)
    monkeypatch.setattr("pdfed_sdk.chain.deploy.TEST_TOKEN", ("Six", "SIX", 6))
    wire, chain = Wire(url, FAST), Chain("anvil", FAST)
    six = wire.run(Sender(chain, 31337, signer).send(create_call("TestToken", {}))).contract
    assert check_sponsor(url, rich, str(six), 0).decimals == 6
    with pytest.raises(UsageError, match="holds 0 SIX, the pool is to get 5"):
        check_sponsor(url, rich, str(six), 5)
