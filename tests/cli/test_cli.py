"""The command line: every command against a real chain, its JSON keys, exit codes, dry runs, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import namedtuple
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main

from pdfed_sdk.cli import app
from pdfed_sdk.demo import processes
from pdfed_sdk.errors import PdfedError
from tests.support.anvil import ROOT, free_port
from tests.support.cli_runner import PASSWORD, RECEIPT, Cli, keystore_of, runner
from tests.support.federation import UNIT
from tests.support.node_world import STAKE, Opinion, World

NODE_SECTIONS = {"chain", "store", "node", "relay", "parts", "training", "strategy"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its options."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for child, inner in command.commands.items():
                yield from walk(f"{name} {child}".strip(), inner)
        else:
            yield name, command

    yield from walk("", typer.main.get_command(app))


COMMANDS = dict(commands())
SENDING = {
    "task create",
    "task init",
    "task fund",
    "task close",
    "task pause",
    "stake add",
    "stake request",
    "stake withdraw",
    "reward settle",
    "reward pour",
    "reward divide",
    "reward royalty",
    "reward claim",
    "node register",
    "node run",
    "relay run",
    "node join",
    "node faucet",
    "node leave",
    "model submit",
    "score commit",
    "score reveal",
    "node withdraw",
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("HOME", str(tmp_path))
    return runner(monkeypatch, capsys)


@pytest.fixture
def signed(world: World, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The same, with task and chain in the environment, and the password."""
    monkeypatch.setenv("PDFED_RPC", world.anvil.url)
    monkeypatch.setenv("PDFED_TASK", world.entry.registry)
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    monkeypatch.setenv("PDFED_STORE", str(world.folder / "store"))
    return cli


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


# --- all commands ---


def test_every_command_has_json():
    assert len(COMMANDS) >= 25
    assert {name for name, command in COMMANDS.items() if "--json" not in options(command)} == set()


def test_every_command_that_sends_has_a_dry_run():
    assert {name for name, command in COMMANDS.items() if "--dry-run" in options(command)} == SENDING


def test_no_command_takes_a_key_or_a_password_itself():
    for name, command in COMMANDS.items():
        assert not options(command) & {"--key", "--private-key", "--password"}, name


def test_the_version_is_that_of_the_package(cli: Cli):
    assert cli("--version").out.strip() == version("pdfed-sdk")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_says_what_it_is(name: str, cli: Cli):
    command = COMMANDS[name]
    assert command.help, name
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"
    done = cli(*name.split(), "--help")
    assert done.code == 0
    assert "Usage: pdfed " + name in done.out


def test_help_prints_the_names_of_settings_in_brackets(cli: Cli):
    text = cli("node", "run", "--help").out
    assert all(f"Instead of {name}" in text for name in ("[node] role", "[chain] rpc", "[store] uri")), text


def test_a_parameter_is_set_in_the_cli_as_in_the_script():
    said = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "create_task.py"), "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "--set NAME=VALUE" in said.stdout
    shown = {name for parameter in COMMANDS["task create"].params if not parameter.hidden for name in parameter.opts}
    assert "--set" in shown
    assert "--param" not in shown


def test_help_is_quick_because_nothing_heavy_is_imported():
    script = (
        "import sys, pdfed_sdk.cli as c; print([m for m in ('torch', 'eth_abi', 'numpy', 'c2pa') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_wrong_option_leaves_with_2(cli: Cli):
    done = cli("stake", "add", "5", "--taks", "0x")
    assert done.code == 2
    assert "--taks" in done.err
    assert cli("stake").code == 2


def test_exit_codes_are_those_of_the_error_tree():
    def family(kind: type[PdfedError]) -> Iterator[type[PdfedError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`{name}`" not in text] == [], "docs/cli.md lists every command"
    for kind in family(PdfedError):
        if kind.__module__ == "pdfed_sdk.errors":
            assert f"| {kind.exit_code} | `{kind.__name__}` |" in text


def test_leaving_takes_everything_out(signed: Cli, world: World, tmp_path: Path):
    leave = ("node", "leave", "--keystore", keystore_of(world, 4, tmp_path), "--json")
    held = world.client(4).token_balance()
    asked = signed(*leave)
    assert asked.code == 0, asked.err
    assert asked.json["request"]["sent"]
    account = world.client(4).account()
    assert (account.stake, account.unbonding > 0) == (0, True)
    early = signed(*leave)
    assert not any(receipt["sent"] for receipt in early.json.values())
    assert "can be taken out in" in early.err
    world.to(account.unbonding_at + 1)
    assert signed(*leave).json["withdraw"]["sent"]
    assert world.client(4).token_balance() == held + account.unbonding


def test_settling_what_does_not_exist_is_refused(signed: Cli, world: World, tmp_path: Path):
    done = signed("reward", "settle", "99", "--keystore", keystore_of(world, 4, tmp_path))
    assert done.code == 2
    assert "no submission 99" in done.err


def test_a_plain_wheel_says_what_to_install():
    """In a process of its own: modules imported without torch would stay so for every test after it."""
    code = (
        "import sys; sys.modules['torch'] = None; from pdfed_sdk.cli import main; "
        "sys.argv = ['pdfed', 'score', 'run', 'x.npz', '--data', 'mnist']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 52
    assert "pip install 'pdfed-sdk[node]'" in done.stderr


def test_doctor_names_the_optional_parts(cli: Cli):
    told = {row["what"]: row for row in cli("doctor", "--json").json["findings"]}
    assert told["extra node"]["found"] == "installed"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {f"extra {name}" for name in project["optional-dependencies"].keys() - {"dev", "contracts"}} <= set(told)


# --- passwords, addresses, dead chains ---


def test_no_password_and_no_terminal_is_an_error_not_a_prompt(world: World, cli: Cli, tmp_path: Path):
    keystore = keystore_of(world, 1, tmp_path)
    done = cli("stake", "add", "5", "--task", world.entry.registry, "--rpc", world.anvil.url, "--keystore", keystore)
    assert done.code == 14
    assert "no password for the keystore" in done.err
    assert "--password-file" in done.err
    assert done.out == ""


def test_a_wrong_password_names_the_keystore(signed: Cli, world: World, tmp_path: Path):
    keystore, wrong = keystore_of(world, 1, tmp_path), tmp_path / "wrong"
    wrong.write_text("guess\n")
    done = signed("stake", "add", "5", "--keystore", keystore, "--password-file", wrong)
    assert done.code == 14
    assert str(keystore) in done.err.replace("\n", "")
    assert "guess" not in done.err


def test_no_task_named(cli: Cli):
    done = cli("task", "show", "--task", "")
    assert done.code == 2
    assert "--task ADDRESS" in done.err


def test_a_dead_endpoint_is_named(cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pdfed_sdk.chain.rpc.time.sleep", lambda _seconds: None)
    url = f"http://127.0.0.1:{free_port()}"
    done = cli("task", "show", "--task", world.entry.registry, "--rpc", url)
    assert done.code == 11
    assert url in done.err
    assert "next: check the URL" in done.err
    assert done.out == ""


def test_an_address_without_a_task(signed: Cli):
    done = signed("task", "show", "--task", "0x" + "12" * 20)
    assert done.code == 12


def test_a_revert_shows_the_contracts_reason_and_sends_nothing(signed: Cli, world: World, tmp_path: Path):
    before = world.anvil.ask("eth_blockNumber")
    done = signed("task", "close", "--keystore", keystore_of(world, 1, tmp_path))
    assert done.code == 20
    assert "Registry" in done.err or "sponsor" in done.err
    assert "next:" in done.err
    assert world.anvil.ask("eth_blockNumber") == before


def test_only_the_guardian_pauses_and_genesis_takes_no_royalty(signed: Cli, world: World, tmp_path: Path):
    keystore = keystore_of(world, 1, tmp_path)
    done = signed("task", "pause", "60", "--keystore", keystore)
    assert done.code == 20
    assert "guardian" in done.err
    world.client(0).mint(world.signers[1].address, UNIT)
    done = signed("reward", "royalty", "0", "1", "--keystore", keystore)
    assert done.code == 20
    assert "genesis" in done.err


# --- sending ---


@pytest.mark.parametrize(
    "arguments",
    [
        ("stake", "add", "7.5"),
        ("stake", "request", "100"),
        ("reward", "claim"),
        ("reward", "pour"),
        ("task", "fund", "10"),
        ("task", "close"),
    ],
)
def test_a_dry_run_sends_nothing(signed: Cli, world: World, tmp_path: Path, arguments: tuple[str, ...]):
    index = 0 if arguments[0] == "task" else 1
    bank = world.client(0)
    bank.mint(world.signers[index].address, 10 * UNIT)
    world.client(index).approve(10 * UNIT)
    before = world.anvil.ask("eth_blockNumber")
    done = signed(*arguments, "--keystore", keystore_of(world, index, tmp_path), "--dry-run", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == RECEIPT
    assert done.json["sent"] is False
    assert done.json["events"] == []
    assert world.anvil.ask("eth_blockNumber") == before


def test_stake_add_and_request(signed: Cli, world: World, tmp_path: Path):
    keystore = keystore_of(world, 1, tmp_path)
    world.client(0).mint(world.signers[1].address, 8 * UNIT)
    done = signed("stake", "add", "7.5", "--keystore", keystore)
    assert done.code == 0, done.err
    assert "sent 0x" in done.out
    assert "amount 7.5 " in done.out
    done = signed("stake", "request", "100", "--keystore", keystore, "--json")
    assert set(done.json) == RECEIPT
    assert done.json["sent"] is True
    (event,) = done.json["events"]
    assert (event["event"], event["amount"]) == ("UnstakeRequested", 100 * UNIT)
    account = world.client(1).account()
    assert (account.stake, account.unbonding) == (STAKE - 92_500_000_000_000_000_000, 100 * UNIT)


@pytest.mark.parametrize("amount", ["0", "ten", "nan", "1e400", "0.0000000000000000001", "-5"])
def test_impossible_amounts_are_refused(signed: Cli, world: World, tmp_path: Path, amount: str):
    done = signed("stake", "add", "--keystore", keystore_of(world, 1, tmp_path), "--", amount)
    assert done.code == 2, done.err
    assert "amount is" in done.err


def test_nothing_to_do_is_said(signed: Cli, world: World, tmp_path: Path):
    keystore = keystore_of(world, 1, tmp_path)
    assert "nothing to do" in signed("reward", "claim", "--keystore", keystore).out
    done = signed("reward", "pour", "--keystore", keystore, "--json")
    assert (done.json["sent"], done.json["due"], done.json["tx_hash"]) == (False, False, None)


def test_settle_finalises_and_settles(signed: Cli, world: World, tmp_path: Path):
    submission = world.submit(1)
    nodes = [world.node(index) for index in (2, 3, 4)]
    for node in nodes:
        node.tick()
    world.to_reveal(submission)
    for node in nodes:
        node.tick()
    world.to_end(submission, later=0)
    keystore = keystore_of(world, 5, tmp_path)
    done = signed("reward", "settle", submission, "--keystore", keystore, "--dry-run", "--json")
    assert done.code == 0, done.err
    done = signed("reward", "settle", submission, "--keystore", keystore, "--json")
    assert {name: set(value) for name, value in done.json.items()} == {"finalize": RECEIPT, "settle": RECEIPT}
    assert done.json["settle"]["sent"]
    claimed = signed("reward", "claim", "--keystore", keystore_of(world, 2, tmp_path))
    assert "Claimed" in claimed.out


def test_register_is_resumable(signed: Cli, world: World, tmp_path: Path):
    keystore = keystore_of(world, 6, tmp_path)
    done = signed("node", "register", "--keystore", keystore, "--dry-run", "--json")
    assert {name: set(value) for name, value in done.json.items()} == {"register": RECEIPT, "deposit": RECEIPT}
    assert signed("node", "register", "--keystore", keystore, "--role", "painter").code == 2
    assert signed("node", "register", "--keystore", keystore).code == 0
    done = signed("node", "register", "--keystore", keystore, "--stake", "200", "--json")
    assert done.json["register"]["due"] is False
    assert done.json["deposit"]["sent"] is True
    assert world.client(6).account().stake == 200 * UNIT


# --- looking ---


def test_task_show(signed: Cli, world: World):
    data = signed("task", "show", "--json").json
    wanted = {"task", "chain_id", "token", "params", "count", "best", "closed", "next_to_finalize", "fee"}
    assert set(data) == {*wanted, "open", "balances", "totals"}
    assert data["token"]["decimals"] == 18
    text = signed("task", "show").out
    assert any(line.startswith("commons ") and f" {data['token']['symbol']}" in line for line in text.splitlines())
    assert "reserve to last commit, s" in text
    assert any(line.split()[:2] == ["min_stake", "100"] for line in text.splitlines()), "whole tokens"
    assert "…" not in text, "nothing is cut off in a pipe"


def test_events_tail(signed: Cli, world: World):
    world.submit(1)
    lines = signed("events", "tail", "--json").out.splitlines()
    names = [json.loads(line)["event"] for line in lines]
    assert {"NodeRegistered", "Deposited", "Reserved", "Submitted"} <= set(names)
    assert f"amount {STAKE // UNIT} " in signed("events", "tail").out


def test_node_status_with_and_without_a_keystore(signed: Cli, world: World, tmp_path: Path, monkeypatch: Any):
    submission = world.submit(1)
    world.node(2).tick()
    me = world.signers[2].address
    keys = {"node", "registered", "stake", "locked", "unbonding", "credit", "unbonding_at", "since", "roles", "weight"}
    by_address = signed("node", "status", "--node", me, "--json").json
    keys |= {"voting_key", "now", "sealed", "open", "tokens", "gas", "votes", "earned", "lost", "results"}
    assert set(by_address) == keys
    assert by_address["tokens"] == world.client(2).token_balance()
    assert by_address["votes"] == [{"id": submission, "improvement": None, "grains": None, "settled": False}]
    waiting = signed("node", "status", "--node", world.signers[3].address)
    assert f"to vote on #{submission}" in waiting.out
    assert by_address["roles"] == ["trainer", "validator"]
    (vote,) = by_address["sealed"]
    assert set(vote) == {"id", "reveal_start", "reveal_end", "state"}
    assert (vote["id"], vote["state"]) == (submission, "sealed")
    keystore = keystore_of(world, 2, tmp_path)
    opened = signed("node", "status", "--keystore", keystore, "--json").json
    assert opened["sealed"][0]["state"] == "ready", "opened from the chain: the default state folder is empty"
    monkeypatch.delenv("PDFED_PASSWORD")
    locked = signed("node", "status", "--keystore", keystore, "--json").json
    assert (locked["node"], locked["sealed"][0]["state"]) == (me, "sealed")
    assert f"vote on #{submission}" in signed("node", "status", "--keystore", keystore).out
    assert signed("node", "status").code == 2
    stranger = signed("node", "status", "--node", "0x" + "77" * 20)
    assert "not registered" in stranger.out


def test_node_status_says_what_was_earned_and_lost_and_why(signed: Cli, world: World, tmp_path: Path):
    submission = world.submit(1)
    for index in (2, 3, 4):
        world.node(index, opinion=Opinion(4)).tick()
    world.to_reveal(submission)
    for index in (2, 3):  # the fourth never opens its vote
        world.node(index).voter.reveal(world.client(0).now())
    world.to_end(submission)
    signed("reward", "settle", submission, "--keystore", keystore_of(world, 1, tmp_path))
    silent = signed("node", "status", "--node", world.signers[4].address, "--json").json
    (lost,) = silent["results"]
    assert (lost["id"], lost["told"]) == (submission, "vote: never opened: the whole bond goes to the commons")
    assert silent["lost"] == -lost["amount"] > 0
    shown = signed("node", "status", "--node", world.signers[4].address).out
    assert "never opened" in shown
    assert "earned and lost" in shown
    author = signed("node", "status", "--node", world.signers[1].address, "--json").json
    assert author["results"][0]["told"].startswith("scoring fee: for the voters")
    assert author["earned"] - author["lost"] == sum(one["amount"] for one in author["results"])
    assert author["votes"] == []
    last = signed("node", "status", "--node", world.signers[1].address, "--last", "1", "--json").json
    assert last["results"] == author["results"][-1:]


def test_a_home_names_task_chain_and_key_for_what_is_sent(signed: Cli, world: World, tmp_path: Path, monkeypatch: Any):
    home = tmp_path / "home"
    home.mkdir()
    key = keystore_of(world, 4, tmp_path)
    (home / "pdfed.toml").write_text(
        f'[chain]\nrpc = "{world.anvil.url}"\ntask = "{world.entry.registry}"\nkeystore = "{key}"\n'
    )
    for name in ("PDFED_TASK", "PDFED_RPC"):
        monkeypatch.delenv(name)
    done = signed("stake", "request", "1", "--home", home, "--json")
    assert done.json["events"][0]["node"] == world.signers[4].address
    assert "who signs?" in signed("reward", "claim", "--task", world.entry.registry).err


def test_amounts_and_roles_are_told_in_words(signed: Cli, world: World, tmp_path: Path):
    done = signed("stake", "request", "100000", "--keystore", keystore_of(world, 4, tmp_path))
    assert done.code == 20
    assert "500 PDF of free stake, 100,000 PDF are needed" in done.err
    world.submit(1)
    told = signed("events", "tail").out
    assert "roles trainer and validator" in told
    assert "{" not in told, "no Python in what people read"
    assert "weight bps 10000" in told


def test_audit(signed: Cli, world: World):
    world.submit(1)
    done = signed("audit", "--store", world.folder / "store", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"ok", "checks"}
    assert all(set(check) == {"name", "ok", "detail"} for check in done.json["checks"])
    assert "checks hold" in done.err


# --- this machine ---


def test_doctor_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    done = cli("doctor", "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"ok", "findings"}
    assert all(set(f) == {"what", "found", "needed", "ok", "hint"} for f in done.json["findings"])
    monkeypatch.setattr(processes, "tool", lambda _name, _root: None)
    done = cli("doctor")
    assert done.code == 52
    assert "Node: found not found, needed 20 or newer" in done.err
    assert "MISSING" in done.out


def test_keys(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    path = tmp_path / "key.json"
    made = cli("keys", "new", path, "--json").json
    assert set(made) == {"address", "keystore"}
    assert path.stat().st_mode & 0o077 == 0
    assert cli("keys", "show", path).out.strip() == made["address"]
    assert cli("keys", "new", path).code == 2


def test_a_password_prompt_is_asked_twice_on_a_terminal(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers = iter(["one", "two"])
    monkeypatch.setattr("pdfed_sdk.cli.common.getpass.getpass", lambda _prompt: next(answers))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    done = cli("keys", "new", tmp_path / "key.json")
    assert done.code == 14
    assert "differ" in done.err
    assert not (tmp_path / "key.json").exists()


def test_node_init_and_config_show(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    home = tmp_path / "home"
    assert cli("node", "init", "--home", home, "--role", "painter").code == 2
    assert not home.exists()
    made = cli("node", "init", "--home", home, "--role", "both", "--json").json
    assert set(made) == {"address", "keystore", "config"}
    shown = cli("config", "show", "--home", home, "--json").json
    assert set(shown) == NODE_SECTIONS
    assert shown["node"]["role"] == "both"
    assert shown["strategy"]["least_level"] is None, "JSON knows no infinity"
    told = cli("config", "show", "--home", home).out
    assert '"both"' in told, "as it stands in pdfed.toml"
    assert "True" not in told
    assert cli("node", "init", "--home", home).code == 2


def test_task_create_dry_run_prints_the_plan(signed: Cli, world: World, tmp_path: Path):
    from pdfed_sdk.chain.deploy import write_genesis

    write_genesis(tmp_path / "genesis.json", world.client(0).genesis())
    (tmp_path / "card.json").write_text("{}")
    common = ("--genesis", tmp_path / "genesis.json", "--card", tmp_path / "card.json", "--dry-run", "--unchecked")
    before = world.anvil.ask("eth_blockNumber")
    done = signed("task", "create", *common, "--keystore", keystore_of(world, 0, tmp_path), "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"created", "deploys_if_missing", "params"}
    bad = signed("task", "create", *common, "--keystore", keystore_of(world, 0, tmp_path), "--set", "commit_windw=5")
    assert bad.code == 2
    assert "did you mean commit_window" in bad.err
    former = signed("task", "create", *common, "--keystore", keystore_of(world, 0, tmp_path), "--param", "min_voters=4")
    assert "min_voters" in former.out, "the former name of --set still works"
    assert world.anvil.ask("eth_blockNumber") == before


def test_task_create_refuses_a_genesis_that_no_node_could_begin_with(signed: Cli, world: World, tmp_path: Path):
    from pdfed_sdk.chain.deploy import write_genesis
    from pdfed_sdk.ml.scoring.scorer import ScoringSettings
    from pdfed_sdk.node.task_card import TaskCard

    write_genesis(tmp_path / "genesis.json", world.client(0).genesis())
    card = TaskCard(ScoringSettings(extractor="pixels")).write(tmp_path / "card.json")
    common = ("task", "create", "--genesis", tmp_path / "genesis.json", "--card", card)
    before = world.anvil.ask("eth_blockNumber")
    missing = signed(*common, "--keystore", keystore_of(world, 0, tmp_path))
    assert missing.code == 2
    assert "package.zip is not there" in missing.err
    signed("model", "fetch", "0", "--out", tmp_path / "package.zip")
    stranger = signed(*common, "--keystore", keystore_of(world, 1, tmp_path))
    assert stranger.code == 34, "signed by the sponsor of another task"
    assert signed(*common, "--keystore", keystore_of(world, 0, tmp_path)).code == 40, "its stand-in does not load"
    assert world.anvil.ask("eth_blockNumber") == before


Usage = namedtuple("Usage", "total used free")


def test_the_demo_refuses_before_it_touches_anything(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    done = cli("demo", "--out", theirs, "--quick")
    assert done.code == 2
    assert "not empty and not a former demo" in done.err.replace("\n", " ")
    assert (theirs / "thesis.txt").read_text() == "mine"
    monkeypatch.setattr(processes.shutil, "disk_usage", lambda _place: Usage(1, 1, 3 << 20))
    done = cli("demo", "--out", tmp_path / "new", "--quick")
    assert done.code == 52
    assert "3 MB" in done.err
    assert "free some space" in done.err
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    monkeypatch.setattr(processes, "_version", lambda _command: "v18.2.0")
    with pytest.raises(processes.EnvironmentProblem, match=r"Node: found v18\.2\.0, needed 20"):
        processes.require_tools(ROOT, tmp_path)
    monkeypatch.setattr(processes.sys, "version_info", (3, 9, 2))
    with pytest.raises(processes.EnvironmentProblem, match="Python"):
        processes.require_tools(ROOT, tmp_path)
