"""``pdfed task init`` and ``pdfed node join | faucet``: from folders of pictures to a task and its nodes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pdfed_sdk.cli.answers import Answers
from pdfed_sdk.cli.chain import Profile, overrides_of
from pdfed_sdk.cli.common import connect, read_password, roles
from pdfed_sdk.cli.options import LOCAL_RPC, Deployments, DryRun, Json, PasswordFile, RoleName, Rpc, TaskAddress
from pdfed_sdk.cli.output import emit, err, out, show_table
from pdfed_sdk.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.ml.data import PictureSet
    from pdfed_sdk.ml.diffusion.model import ModelConfig
    from pdfed_sdk.ml.lora.setup import AdapterSetup
    from pdfed_sdk.node.joining import Findings

Fit = Annotated[str, typer.Option(help='Pictures that are not square: "pad" on white, or "crop".')]
BaseFolder = Annotated[
    Path | None, typer.Option("--base", help="Folder of a Stable Diffusion base: the models are adapters over it.")
]
Data = Annotated[Path, typer.Option(help="A folder of pictures, or any source of them.")]


def tell(text: str) -> None:
    err.print(escape(text))


def agreed(question: str, yes: bool) -> bool:
    """Asked on a terminal only; elsewhere --yes has to say it."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nothing was sent: there is no terminal to ask on", hint="read the plan, then add --yes")
    return typer.confirm(question, err=True)


ANSWERS = {
    "data": "Folder with public pictures, a sub-folder for each class",
    "keystore": "Keystore of the sponsor",
    "title": "What the task is about, in words",
    "preset": "Network by pixels a side: 16, 28, 32 or 64 (0: --size, --widths and --layers)",
    "size": "Pixels a side",
    "channels": "1 for grey pictures, 3 for colour",
    "widths": "Channels of each level of the network",
    "layers": "Residual blocks a level",
    "nodes": "How many nodes will take part",
    "fund": "Whole tokens for the pool",
}
"""What a file of answers may hold, and how it is asked for on a terminal."""


def task_init(
    data: Annotated[Path | None, typer.Option(help="A folder of public pictures, or any source of them.")] = None,
    keystore: Annotated[Path | None, typer.Option(envvar="PDFED_KEYSTORE", help="The sponsor's keystore.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for genesis, card and task.pdfed.")] = Path("task"),
    answers: Annotated[Path | None, typer.Option(help="TOML file with any of the options below, by name.")] = None,
    title: Annotated[str | None, typer.Option(help="What the task is about, in words.")] = None,
    preset: Annotated[int | None, typer.Option(help="Network as in pdfed train, by pixels: 16, 28, 32, 64.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side (default: the preset's, else 32).")] = None,
    channels: Annotated[int | None, typer.Option(help="1 (grey) or 3 (colour; the default).")] = None,
    widths: Annotated[str | None, typer.Option(help="Channels of each level (default: the preset's, 32,64).")] = None,
    layers: Annotated[int | None, typer.Option(help="Residual blocks a level (default: the preset's, 1).")] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes that are expected (default: 4).")] = None,
    fund: Annotated[int | None, typer.Option(help="Whole tokens for the pool (default: none).")] = None,
    rpc: Rpc = LOCAL_RPC,
    store: Annotated[str, typer.Option(help="Where the genesis is published; below --out.")] = "ipfs:ipfs",
    fit: Fit = "pad",
    base: BaseFolder = None,
    prompts: Annotated[
        Path | None, typer.Option(help="For adapters: a prompt a line (default: captions of --data).")
    ] = None,
    rank: Annotated[int, typer.Option(help="For adapters: their rank.")] = 8,
    guidance: Annotated[float, typer.Option(help="For adapters: weight of the prompt; 1: none.")] = 3.0,
    pictures: Annotated[int, typer.Option(help="Training pictures of the genesis.")] = 1500,
    samples: Annotated[int, typer.Option(help="Pictures an evaluation samples.")] = 128,
    extractor: Annotated[str, typer.Option(help="Features of FID.")] = "efficientnet-lite0",
    scoring: Annotated[
        list[str] | None, typer.Option(help="A further setting of the card's scoring, NAME=VALUE; repeatable.")
    ] = None,
    token: Annotated[str, typer.Option(help="ERC-20 of the task (default: a test token).")] = "",
    profile: Annotated[Profile, typer.Option(help="Parameter defaults.")] = Profile.DEVELOPMENT,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One parameter, NAME=VALUE; repeatable.")] = None,
    deployments: Deployments = Path("deployments"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a task of your own: public pictures, genesis, card, contracts, and the join file for its nodes. On a
    terminal it asks for what is missing."""
    from pdfed_sdk.chain.deploy import check_sponsor
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.ml.sources import Reading, load_pictures
    from pdfed_sdk.node import founding

    asked = Answers(answers, ANSWERS, asking=not yes)
    public_folder = asked.required("data", data, ANSWERS["data"])
    sponsor = Path(asked.required("keystore", keystore, ANSWERS["keystore"]))
    if (folder / "task.pdfed").exists():
        raise UsageError(f"{folder} holds a task already", hint="choose another --out; nothing was changed")
    name = asked.of("title", title, ANSWERS["title"], "")
    network = _network(asked, preset, size, channels, widths, layers)
    count = asked.of("nodes", nodes, ANSWERS["nodes"], 4)
    amount = asked.of("fund", fund, ANSWERS["fund"], 0)
    password = read_password(password_file)
    signer = LocalSigner.from_keystore(sponsor, password=password)
    currency = check_sponsor(rpc, signer.address, token, amount)
    tell(f"reading {public_folder}")
    public = load_pictures(public_folder, size=network.size, channels=network.channels, reading=Reading(fit))
    model = network if base is None else adapters(public, base, prompts, rank, guidance)
    wishes = founding.Wishes(
        *(name, model, pictures, samples, extractor, count, profile.value),
        scoring=scoring_of(scoring or []),
        parameters=overrides_of(settings or []),
    )
    founding.check(public, wishes)
    folder.mkdir(parents=True, exist_ok=True)
    made = founding.prepare(folder, public, wishes, signer, password, tell)
    plan: dict[str, Any] = {
        "sponsor": signer.address,
        "pictures": len(public),
        "classes": list(made.card.classes),
        "seconds_to_score": round(made.seconds, 2),
        "windows": made.windows,
        "card": str(made.card_file),
        "created": False,
        "task": None,
        "join": None,
    }
    if not dry_run:
        if not as_json:
            show_table(plan_rows(plan, ("sponsor", "pictures", "classes", "windows")))
        if not agreed("deploy, create and fund this task?", yes):
            return
        unit = 10**currency.decimals
        join = founding.found(
            *(folder, made, wishes),
            rpc=rpc,
            signer=signer,
            store_uri=store,
            token=token,
            unit=unit,
            fund=amount * unit,
            deployments=deployments,
            tell=tell,
        )
        plan |= {"created": True, "task": join.task, "join": str(folder / "task.pdfed")}
    then = "dry run: nothing was sent" if dry_run else f"give {plan['join']} to the nodes: pdfed node join task.pdfed"
    emit(plan, as_json, lambda: show_table([*plan_rows(plan), ("next", then)]))


def scoring_of(items: list[str]) -> dict[str, Any]:
    """Fields of ScoringSettings from ``--scoring NAME=VALUE``; what the other options say is not among them."""
    from dataclasses import fields

    from pdfed_sdk.ml.scoring.reports import ScoringSettings

    elsewhere = {"samples", "extractor", "size", "channels", "extractor_sha256", "fingerprint_sha256", "version"}
    known = {field.name: field.default for field in fields(ScoringSettings) if field.name not in elsewhere}
    found: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        if name not in known:
            raise UsageError(f'--scoring is "{item}"', hint=f"NAME=VALUE; names are {', '.join(known)}")
        kind: Any = type(known[name])
        try:
            found[name] = value == "true" if kind is bool else kind(value)
        except ValueError as error:
            raise UsageError(f'--scoring is "{item}"', hint=f"its default is {known[name]}") from error
    return found


def plan_rows(plan: dict[str, Any], names: Iterable[str] = ()) -> list[tuple[str, Any]]:
    """What was found or planned, in words."""
    return [(name.replace("_", " "), in_words(plan[name])) for name in names or plan]


def in_words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')}: {one}" for key, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _network(
    asked: Answers, preset: int | None, size: int | None, channels: int | None, widths: str | None, layers: int | None
) -> ModelConfig:
    """A preset's network, with what is said of size, widths and layers on top."""
    from pdfed_sdk.ml.diffusion.model import ModelConfig
    from pdfed_sdk.ml.runs import PRESETS

    free = any(value is not None for value in (size, widths, layers)) and preset is None
    chosen = 0 if free else asked.of("preset", preset, ANSWERS["preset"], 0)
    if chosen and chosen not in PRESETS:
        raise UsageError(f"preset is {chosen}", hint=f"one of {', '.join(map(str, PRESETS))}, or 0 for none")
    known = PRESETS.get(chosen)
    pixels, levels, blocks = (chosen, known.widths, known.layers) if known else (32, (32, 64), 1)
    if known is None:
        pixels = asked.of("size", size, ANSWERS["size"], pixels)
        levels = _numbers(asked.of("widths", widths, ANSWERS["widths"], ",".join(map(str, levels))))
        blocks = asked.of("layers", layers, ANSWERS["layers"], blocks)
    return ModelConfig(
        size=size or pixels,
        channels=asked.of("channels", channels, ANSWERS["channels"], 3),
        widths=_numbers(widths) if widths else levels,
        layers=layers or blocks,
        attention=known.attention if known and not widths else (),
    )


def adapters(public: PictureSet, base: Path, prompts: Path | None, rank: int, guidance: float) -> AdapterSetup:
    """The setup that a task of adapters over ``base`` freezes."""
    from pdfed_sdk.ml.lora.prompts import read_prompts, setup_for

    written = () if prompts is None else read_prompts(prompts)
    return setup_for(public, base, written, rank=rank, guidance=guidance)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f'--widths is "{text}"', hint="as in 32,64") from error


def node_join(
    file: Annotated[Path, typer.Argument(help="The sponsor's task.pdfed.")],
    data: Data,
    home: Annotated[Path, typer.Option(help="The node's folder, made here.")] = Path("node"),
    role: RoleName = "both",
    stake: Annotated[float, typer.Option(help="Whole tokens to join with.")] = 410.0,
    base: BaseFolder = None,
    fit: Fit = "pad",
    unknown: Annotated[str, typer.Option(help='Classes the task lacks: "refuse" or "ignore".')] = "refuse",
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Check pictures, classes, disk and speed against a task, then make a node's keys and settings for it."""
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.ml.sources import Reading
    from pdfed_sdk.node.join_file import JoinFile
    from pdfed_sdk.node.joining import examine, write_home

    roles(role)
    join, reading = JoinFile.read(file), Reading(fit, (), unknown)
    if (home / "pdfed.toml").exists():
        raise UsageError(f"{home / 'pdfed.toml'} exists already", hint="choose another --home; nothing was changed")
    with tempfile.TemporaryDirectory(prefix="pdfed-join-") as scratch:
        found = examine(join, data, Path(scratch), reading, stake, base)
    result: dict[str, Any] = {"task": join.task, "joined": False, "address": None, **asdict(found)}
    if not dry_run:
        password = read_password(password_file, new=True)
        signer = LocalSigner.create_keystore(home / "keystore.json", password)
        write_home(home, join, data, role, reading, stake, base)
        result |= {"joined": True, "address": signer.address}
    for caution in found.cautions:
        err.print(f"caution: {escape(caution)}")

    def show() -> None:
        rows = [*plan_rows(result, ("task", "joined", "address", "title", "pictures", "classes")), *taken(found, stake)]
        show_table([*rows, *(("skipped", one) for one in found.skipped)])
        whom = f"send {result['address']}" if not dry_run else "the node will need"
        out.print(f"{whom} {stake:g} tokens of the task and gas; on a development chain, once it has joined:")
        out.print(f"  pdfed node faucet --home {home}\nthen: pdfed node run --home {home}")

    emit(result, as_json, show)


def taken(found: Findings, stake: float) -> list[tuple[str, str]]:
    """What taking part takes, in words: time, tokens, gas."""
    gas = "; ".join(f"{act}: {amount:,}" for act, amount in found.gas.items())
    return [
        ("time", f"one scoring takes {found.seconds} s here, the commit window is {found.commit_window} s"),
        ("stake", f"{stake:g} tokens to join with; the least is {found.stake}"),
        ("a submission", f"reserves {found.bonds} of it, as bond and scoring fee"),
        ("gas", f"{gas}; the price now is {found.gas_price:.3g} gwei"),
    ]


def node_faucet(
    home: Annotated[Path, typer.Option(help="The node's folder.")] = Path("node"),
    tokens: Annotated[float, typer.Option(help="Whole test tokens (default: [node] stake of the home).")] = 0.0,
    task: TaskAddress = "",
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """On a development chain: gas and test tokens for a node."""
    from web3 import Web3
    from web3.types import RPCEndpoint

    from pdfed_sdk.chain.money import token_of
    from pdfed_sdk.config import load_config

    config = load_config(home / "pdfed.toml")
    client = connect(
        config.chain.rpc,
        task or config.chain.task,
        keystore=home / config.chain.keystore,
        password_file=password_file,
        state=home / "state",
        dry_run=dry_run,
    )
    amount = token_of(client).units(tokens or config.node.stake or 410.0)
    if not dry_run:
        provider = Web3(Web3.HTTPProvider(config.chain.rpc)).provider
        answer = provider.make_request(RPCEndpoint("anvil_setBalance"), [client.address, hex(10**20)])
        if "error" in answer:
            raise ConfigError(
                f"{config.chain.rpc} gives nothing away: it is no development chain",
                hint=f"get gas and the task's token for {client.address} elsewhere",
            )
        client.mint(client.address, amount)
    result = {"address": client.address, "tokens": amount, "sent": not dry_run}
    shown = result | {"tokens": token_of(client).show(amount)}
    emit(result, as_json, lambda: show_table(plan_rows(shown)))


def add_to(task: typer.Typer, node: typer.Typer) -> None:
    task.command("init")(task_init)
    node.command("join")(node_join)
    node.command("faucet")(node_faucet)
