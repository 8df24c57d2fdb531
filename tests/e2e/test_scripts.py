"""The brownie scripts against a chain the user already runs: plan, deploy, create, verify, and twice is once."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

from pdfed_sdk.chain.deploy import Manifest, write_genesis
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import ModelDigests

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
CHAIN_ID = 525_252
PASSWORD = "correct horse"


class Chain:
    """A private anvil with its default base fee, and a folder of manifests for it."""

    def __init__(self, folder: Path) -> None:
        command = [str(ANVIL), "--port", "0", "--chain-id", str(CHAIN_ID)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout
        found = (re.search(r"Listening on \S+:(\d+)", line) for line in self.process.stdout)
        self.rpc = f"http://127.0.0.1:{next(match[1] for match in found if match)}"
        self.web3 = Web3(HTTPProvider(self.rpc))
        self.folder = folder
        self.genesis = folder / "genesis.json"
        write_genesis(self.genesis, ModelDigests(b"\1" * 32, 0x55, b"\2" * 32, b"\3" * 32))
        self.keystore = folder / "sponsor.json"
        self.sponsor = LocalSigner.create_keystore(self.keystore, PASSWORD).address
        self.web3.provider.make_request("anvil_setBalance", [self.sponsor, hex(10**20)])

    def script(self, name: str, *options: str, rc: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / f"{name}.py")]
        if "--rpc" not in options:
            command += ["--rpc", self.rpc]
        command += ["--deployments", str(self.folder), *options]
        environment = {k: v for k, v in os.environ.items() if k != "PDFED_PASSWORD"} | env
        done = subprocess.run(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == rc, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    @property
    def manifest(self) -> Manifest:
        manifest = Manifest.load(CHAIN_ID, self.folder)
        assert manifest
        return manifest

    def transactions(self) -> int:
        who = [self.sponsor, self.web3.eth.accounts[0]]
        return sum(self.web3.eth.get_transaction_count(Web3.to_checksum_address(address)) for address in who)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("deployments"))
    try:
        yield chain
    finally:
        chain.process.terminate()
        chain.process.wait()


@pytest.fixture(scope="module")
def deployed(chain: Chain) -> Chain:
    chain.script("deploy", "--test-token")
    return chain


@pytest.fixture(scope="module")
def with_task(deployed: Chain) -> Chain:
    make_task(deployed)
    return deployed


def make_task(chain: Chain) -> str:
    options = ["--unchecked", "--genesis", str(chain.genesis), "--mint", "--fund", "5000", "--set", "reveal_window=11"]
    return chain.script("create_task", *options, "--from", str(chain.keystore), PDFED_PASSWORD=PASSWORD).stdout


# --- the way of a user ---


def test_deploy_prints_a_plan_and_checks_what_it_deployed(deployed: Chain):
    contracts = deployed.manifest.contracts
    assert {"TaskFactory", "TaskLens", "StakeVault", "TestToken"} <= set(contracts)
    assert all(deployed.web3.eth.get_code(Web3.to_checksum_address(place)) for place in contracts.values())
    assert deployed.manifest.block > 0


def test_deploying_twice_sends_nothing(deployed: Chain):
    before, contracts = deployed.transactions(), deployed.manifest.contracts
    done = deployed.script("deploy", "--test-token")
    assert "nothing to do" in done.stdout
    assert deployed.transactions() == before
    assert deployed.manifest.contracts == contracts


def test_a_task_is_created_funded_and_recorded(with_task: Chain):
    entry = with_task.manifest.tasks[-1]
    assert entry.sponsor == with_task.sponsor
    assert entry.token == with_task.manifest.token
    assert entry.block > with_task.manifest.block


def test_creating_the_same_task_twice_sends_nothing(with_task: Chain):
    before, tasks = with_task.transactions(), with_task.manifest.tasks
    assert "nothing to do" in make_task(with_task)
    assert with_task.transactions() == before
    assert with_task.manifest.tasks == tasks


def test_a_nonce_makes_an_equal_task_beside_it(with_task: Chain):
    tasks = with_task.manifest.tasks
    options = ["--unchecked", "--genesis", str(with_task.genesis), "--set", "reveal_window=11", "--nonce", "second"]
    password = with_task.folder / "password"
    password.write_text(PASSWORD + "\n")
    with_task.script("create_task", *options, "--from", str(with_task.keystore), "--password-file", str(password))
    assert len(with_task.manifest.tasks) == len(tasks) + 1


def test_verify_accepts_what_was_deployed(with_task: Chain):
    done = with_task.script("verify")
    assert "DIFFERS" not in done.stdout
    assert done.stdout.count("task 0x") == len(with_task.manifest.tasks)


def test_a_dry_run_sends_nothing(deployed: Chain):
    before = deployed.transactions()
    options = ["--unchecked", "--genesis", str(deployed.genesis), "--profile", "public", "--nonce", "dry", "--dry-run"]
    done = deployed.script("create_task", *options)
    assert "TaskFactory.createTask" in done.stdout
    assert "nothing was sent" in done.stdout
    assert deployed.transactions() == before


def test_on_a_terminal_it_asks_and_no_means_no(deployed: Chain):
    before = deployed.transactions()
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "scripts" / "create_task.py"), "--rpc", deployed.rpc, "--nonce", "asked"]
    command += ["--deployments", str(deployed.folder), "--unchecked", "--genesis", str(deployed.genesis)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.write(ours, b"n\n")
        said = process.communicate(timeout=60)[0]
    assert "send 1 transactions? [y/N]" in said
    assert "nothing was sent" in said
    assert process.returncode == 0
    assert deployed.transactions() == before


def test_brownie_run_does_the_same(deployed: Chain, tmp_path: Path):
    env = {**os.environ, "HOME": str(tmp_path), "SOLCX_BINARY_PATH": str(ROOT / ".solc")}
    brownie = str(Path(sys.executable).with_name("brownie"))

    def call(*words: str) -> str:
        done = subprocess.run(
            [brownie, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("networks", "add", "Ethereum", "ours", f"host={deployed.rpc}", f"chainid={CHAIN_ID}")
    there = ["--deployments", str(deployed.folder)]
    said = call("run", "scripts/deploy.py", "main", "--network", "ours", "--", "--test-token", *there)
    assert "nothing to do" in said
    said = call("run", "scripts/deploy.py", "main", "--network", "ours", "--", "--deployments", str(tmp_path))
    assert "deployment of TaskFactory gas" in said
    assert "Traceback" not in said
    assert "Traceback" not in call("run", "scripts/verify.py", "main", "--network", "ours", "--", *there)
    kept = ROOT / "build" / "deployments" / str(CHAIN_ID)
    assert not kept.exists() or not list(kept.iterdir()), "brownie's own record would stop a run on a restarted chain"


# --- cut off, reset, tampered ---


def rewrite(chain: Chain, folder: Path, change: Any) -> list[str]:
    """Options for a changed copy of the manifest."""
    kept = json.loads((chain.folder / f"{CHAIN_ID}.json").read_text())
    change(kept)
    folder.mkdir(exist_ok=True)
    (folder / f"{CHAIN_ID}.json").write_text(json.dumps(kept))
    return ["--deployments", str(folder)]


def test_a_run_that_was_cut_off_is_continued(deployed: Chain, tmp_path: Path):
    def cut(kept: dict[str, Any]) -> None:
        kept["contracts"] = {name: kept["contracts"][name] for name in ("StakeVault", "ModelRegistry")}
        kept["tasks"] = []

    before = deployed.transactions()
    done = deployed.script("deploy", *rewrite(deployed, tmp_path, cut))
    assert deployed.transactions() == before + 4
    assert done.stdout.count("  keep ") == 2


def test_a_manifest_of_a_chain_that_was_reset_is_begun_anew(deployed: Chain, tmp_path: Path):
    def move(kept: dict[str, Any]) -> None:
        kept["contracts"] = {name: "0x" + f"{i + 77:040x}" for i, name in enumerate(kept["contracts"])}

    place = rewrite(deployed, tmp_path, move)
    done = deployed.script("deploy", *place)
    assert "  keep " not in done.stdout
    manifest = Manifest.load(CHAIN_ID, tmp_path)
    assert manifest
    assert manifest.tasks == ()


def test_verify_finds_a_contract_that_is_not_ours(deployed: Chain, tmp_path: Path):
    def swap(kept: dict[str, Any]) -> None:
        contracts = kept["contracts"]
        contracts["ScoreBook"], contracts["RewardPool"] = contracts["RewardPool"], contracts["ScoreBook"]

    done = deployed.script("verify", *rewrite(deployed, tmp_path, swap), rc=50)
    assert "DIFFERS  code of ScoreBook" in done.stdout
    assert "4 of" in done.stderr


# --- refusals ---


def refused(chain: Chain, *options: str, rc: int, **env: str) -> str:
    before = chain.transactions()
    done = chain.script("create_task", "--unchecked", "--genesis", str(chain.genesis), *options, rc=rc, **env)
    assert chain.transactions() == before
    assert "next: " in done.stderr
    return done.stderr


def test_unknown_parameter(deployed: Chain):
    assert "did you mean commit_window?" in refused(deployed, "--set", "comit_window=40", rc=2)


def test_parameter_out_of_bounds(deployed: Chain):
    assert "min_step is 1, allowed are 2 to 128" in refused(deployed, "--set", "min_step=1", rc=2)


def test_too_few_tokens(deployed: Chain):
    said = refused(deployed, "--from", str(deployed.keystore), "--fund", "1e9", rc=2, PDFED_PASSWORD=PASSWORD)
    assert "lacks" in said


def test_wrong_password(deployed: Chain):
    said = refused(deployed, "--from", str(deployed.keystore), rc=14, PDFED_PASSWORD="wrong")
    assert "does not open" in said
    assert "wrong" not in said.replace("wrong password", "")


def test_no_password_and_no_terminal(deployed: Chain):
    assert "no terminal to ask on" in refused(deployed, "--from", str(deployed.keystore), rc=14)


def test_a_key_on_the_command_line_is_refused_and_not_repeated(deployed: Chain):
    said = refused(deployed, "--from", "0x" + "ab" * 32, rc=2)
    assert "private key" in said
    assert "abab" not in said


def test_no_chain_there(deployed: Chain):
    done = deployed.script("deploy", "--rpc", "http://127.0.0.1:9", rc=11)
    assert "http://127.0.0.1:9 does not answer" in done.stderr


def test_no_factory_yet(deployed: Chain, tmp_path: Path):
    assert "run scripts/deploy.py first" in refused(deployed, "--deployments", str(tmp_path), rc=2)


def test_no_genesis_file(deployed: Chain, tmp_path: Path):
    assert "nothing.json cannot be read" in refused(deployed, "--genesis", str(tmp_path / "nothing.json"), rc=2)


def test_a_task_that_no_node_could_begin_with_is_refused(deployed: Chain, tmp_path: Path):
    """No card; no package to look at; a genesis that another key signed; a network that does not load."""
    from pdfed_sdk.artifacts.identity import SigningIdentity
    from pdfed_sdk.artifacts.provenance import build_package
    from pdfed_sdk.ml.scoring import ScoringSettings
    from pdfed_sdk.node.task_card import TaskCard
    from tests.support.pipelines import folder_of, parts

    def refusal(*options: str, rc: int) -> str:
        before = deployed.transactions()
        genesis = ("--genesis", str(tmp_path / "genesis.json"), "--from", str(deployed.keystore))
        done = deployed.script("create_task", *genesis, *options, rc=rc, PDFED_PASSWORD=PASSWORD)
        assert deployed.transactions() == before
        return done.stderr

    card = str(TaskCard(ScoringSettings()).write(tmp_path / "card.json"))
    other = "0x" + "1" * 40
    for wallet, name in ((other, "foreign.zip"), (deployed.sponsor, "broken.zip")):
        made = build_package(
            folder_of(tmp_path / name[:-4], parts()),
            tmp_path / name,
            identity=SigningIdentity.create("test"),
            wallet=wallet,
            training={},
        )
        write_genesis(tmp_path / "genesis.json", made.digests)
        if wallet == other:
            assert "no card was named" in refusal(rc=2)
            assert "package.zip is not there" in refusal("--card", card, rc=2)
            assert other in refusal("--card", card, "--package", str(tmp_path / name), rc=34)
        else:
            refusal("--card", card, "--package", str(tmp_path / name), rc=40)
