"""``pdfed task init`` and ``pdfed node join | faucet``: from folders of pictures to a task and its nodes."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pdfed_sdk.cli.chain import Profile, _overrides
from pdfed_sdk.cli.common import connect, read_password, roles
from pdfed_sdk.cli.options import LOCAL_RPC, DryRun, Json, Keystore, PasswordFile, RoleName, Rpc, TaskAddress
from pdfed_sdk.cli.output import emit, err, out, show_table
from pdfed_sdk.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.ml.data import PictureSet
    from pdfed_sdk.ml.lora.setup import AdapterSetup

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


def task_init(
    data: Data,
    keystore: Keystore,
    folder: Annotated[Path, typer.Option("--out", help="Folder for genesis, card and task.pdfed.")] = Path("task"),
    rpc: Rpc = LOCAL_RPC,
    store: Annotated[str, typer.Option(help="Where the genesis is published; below --out.")] = "ipfs:ipfs",
    title: Annotated[str, typer.Option(help="What the task is about, in words.")] = "",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 32,
    channels: Annotated[int, typer.Option(help="1 (grey) or 3 (colour).")] = 3,
    fit: Fit = "pad",
    widths: Annotated[str, typer.Option(help="Channels of each level of the network.")] = "32,64",
    layers: Annotated[int, typer.Option(help="Residual blocks a level.")] = 1,
    base: BaseFolder = None,
    prompts: Annotated[
        Path | None, typer.Option(help="For adapters: a prompt a line (default: captions of --data).")
    ] = None,
    rank: Annotated[int, typer.Option(help="For adapters: their rank.")] = 8,
    guidance: Annotated[float, typer.Option(help="For adapters: weight of the prompt; 1: none.")] = 3.0,
    pictures: Annotated[int, typer.Option(help="Training pictures of the genesis.")] = 1500,
    samples: Annotated[int, typer.Option(help="Pictures an evaluation samples.")] = 128,
    extractor: Annotated[str, typer.Option(help="Features of FID.")] = "efficientnet-lite0",
    nodes: Annotated[int, typer.Option(help="Nodes that are expected.")] = 4,
    fund: Annotated[int, typer.Option(help="Whole tokens for the pool.")] = 0,
    token: Annotated[str, typer.Option(help="ERC-20 of the task (default: a test token).")] = "",
    profile: Annotated[Profile, typer.Option(help="Parameter defaults.")] = Profile.DEVELOPMENT,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One parameter, NAME=VALUE; repeatable.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a task of your own: public pictures, genesis, card, contracts, and the join file for its nodes."""
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.ml.diffusion.model import ModelConfig
    from pdfed_sdk.ml.sources import Reading, load_pictures
    from pdfed_sdk.node import founding

    password = read_password(password_file)
    signer = LocalSigner.from_keystore(keystore, password=password)
    overrides = _overrides(settings or [])
    if (folder / "task.pdfed").exists():
        raise UsageError(f"{folder} holds a task already", hint="choose another --out; nothing was changed")
    public = load_pictures(data, size=size, channels=channels, reading=Reading(fit))
    network: Any = ModelConfig(size=size, channels=channels, widths=_numbers(widths), layers=layers)
    if base is not None:
        network = adapters(public, base, prompts, rank, guidance)
    wishes = founding.Wishes(title, network, pictures, samples, extractor, nodes, profile.value)
    founding.check(public, wishes)
    folder.mkdir(parents=True, exist_ok=True)
    made = founding.prepare(folder, public, wishes, signer, password, tell)
    plan: dict[str, Any] = {
        "sponsor": signer.address,
        "pictures": len(public),
        "classes": list(made.card.classes),
        "seconds_to_score": round(made.seconds, 2),
        "windows": made.windows | overrides,
        "card": str(made.card_file),
        "created": False,
        "task": None,
        "join": None,
    }
    if not dry_run:
        show_table(
            [(name, plan[name]) for name in ("sponsor", "pictures", "classes", "windows")]
        ) if not as_json else None
        if not agreed("deploy, create and fund this task?", yes):
            return
        unit = 10**18 if not token else _unit(rpc, token)
        join = founding.found(
            *(folder, made, wishes),
            rpc=rpc,
            signer=signer,
            store_uri=store,
            token=token,
            fund=fund * unit,
            overrides=overrides,
            tell=tell,
        )
        plan |= {"created": True, "task": join.task, "join": str(folder / "task.pdfed")}
    then = "dry run: nothing was sent" if dry_run else f"give {plan['join']} to the nodes: pdfed node join task.pdfed"
    emit(plan, as_json, lambda: show_table([*plan.items(), ("next", then)]))


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


def _unit(rpc: str, token: str) -> int:
    from web3 import Web3

    from pdfed_sdk.chain.erc20 import TokenCalls

    call = TokenCalls(token).decimals()  # type: ignore[arg-type]
    answer = Web3(Web3.HTTPProvider(rpc)).eth.call({"to": call.to, "data": call.data})
    return int(10 ** int.from_bytes(answer, "big"))


def node_join(
    file: Annotated[Path, typer.Argument(help="The sponsor's task.pdfed.")],
    data: Data,
    home: Annotated[Path, typer.Option(help="The node's folder, made here.")] = Path("node"),
    role: RoleName = "both",
    stake: Annotated[float, typer.Option(help="Whole tokens to join with.")] = 400.0,
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
        rows = [(name, value) for name, value in result.items() if name not in ("skipped", "cautions")]
        show_table([*rows, *(("skipped", one) for one in found.skipped)])
        if not dry_run:
            out.print(f"send {result['address']} {stake:g} tokens of the task and gas; on a development chain:")
            out.print(f"  pdfed node faucet --home {home}\nthen: pdfed node run --home {home}")

    emit(result, as_json, show)


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
    amount = token_of(client).units(tokens or config.node.stake or 400.0)
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
    emit(result, as_json, lambda: show_table(result.items()))


def add_to(task: typer.Typer, node: typer.Typer) -> None:
    task.command("init")(task_init)
    node.command("join")(node_join)
    node.command("faucet")(node_faucet)
