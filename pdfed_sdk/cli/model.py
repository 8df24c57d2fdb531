"""``pdfed model init | package | verify | submit | list | lineage | fetch | sample``."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from pdfed_sdk import errors
from pdfed_sdk.cli.common import connect, read_json, read_password
from pdfed_sdk.cli.fetching import carried, fetched, number_of
from pdfed_sdk.cli.options import (
    LOCAL_RPC,
    Confirmations,
    DryRun,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    StoreUri,
    TaskAddress,
)
from pdfed_sdk.cli.output import emit, err, out, show_table, text
from pdfed_sdk.errors import ProvenanceInvalid, UsageError
from pdfed_sdk.types import BPS, Status, SubmissionId

if TYPE_CHECKING:
    from pdfed_sdk.artifacts.identity import SigningIdentity
    from pdfed_sdk.artifacts.provenance import LineageNode, ParentLink
    from pdfed_sdk.chain.signers import LocalSigner

app = typer.Typer(help="Models: make, package, verify, submit, look at.", no_args_is_help=True)

ParentOption = Annotated[
    list[str] | None, typer.Option("--parent", help="ID:BPS:PACKAGE, may be repeated; shares sum to 10000.")
]


def unlock(keystore: Path, password_file: Path | None) -> tuple[LocalSigner, SigningIdentity]:
    """The wallet, and the C2PA identity kept beside it under the same password."""
    from pdfed_sdk.artifacts.identity import SigningIdentity
    from pdfed_sdk.chain.signers import LocalSigner

    password = read_password(password_file)
    signer = LocalSigner.from_keystore(keystore, password=password)
    return signer, SigningIdentity.load_or_create(keystore.with_name("identity.json"), password)


@app.command("init")
def init(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for package.zip, genesis.json and card.json.")],
    keystore: Keystore,
    data: Annotated[str, typer.Option(help='"mnist" or a folder; only its public part is used.')] = "mnist",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 16,
    pictures: Annotated[int, typer.Option(min=1, help="Training pictures.")] = 1500,
    model: Annotated[
        str,
        typer.Option("--from", help='"best", or the number of a model of --task: carried over instead of trained.'),
    ] = "",
    task: Annotated[str, typer.Option("--task", envvar="PDFED_TASK", help="The earlier task, with --from.")] = "",
    rpc: Rpc = LOCAL_RPC,
    store: StoreUri = "local:store",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make and publish the genesis model of a task, which everything descends from, and the task's card. With --from
    both come from an earlier task: its model as it is, signed anew by the sponsor, and its card."""
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.chain.deploy import write_genesis
    from pdfed_sdk.ml.scoring.scorer import ScoringSettings, pinned
    from pdfed_sdk.node.genesis import make_genesis
    from pdfed_sdk.node.task_card import TaskCard

    signer, identity = unlock(keystore, password_file)
    if model:
        made, settled = carried(connect(rpc, task), model, store, out_dir, identity, signer.address)
    else:
        err.print(f"reading {data} and training the genesis on {pictures} pictures")
        genesis = make_genesis(
            out_dir, data=data, size=size, pictures=pictures, identity=identity, wallet=signer.address, tell=err.print
        )
        err.print("pinning how everybody scores")
        made, shape = genesis.package, genesis.shape
        settings = ScoringSettings(size=shape.size, channels=shape.channels)
        settled = TaskCard(pinned(settings), classes=genesis.classes)
    write_genesis(out_dir / "genesis.json", made.digests)
    card = settled.write(out_dir / "card.json")
    open_store(store).put(made.path)
    open_store(store).put(card)
    result = {
        "package": str(made.path),
        "cid": str(made.cid),
        "size": made.size,
        "genesis": str(out_dir / "genesis.json"),
        "card": str(card),
    }
    emit(result, as_json, lambda: show_table(result.items()))


@app.command("package")
def package(
    folder: Annotated[Path, typer.Argument(help="A diffusers pipeline folder.")],
    to: Annotated[Path, typer.Option("--out", help="Package file to write.")],
    keystore: Keystore,
    facts: Annotated[Path | None, typer.Option(help="JSON of training facts for the manifest.")] = None,
    parent: ParentOption = None,
    title: Annotated[str, typer.Option(help="Title in the manifest.")] = "",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Build a signed package; parents go in as ingredients from their own packages."""
    from pdfed_sdk.artifacts.provenance import build_package

    signer, identity = unlock(keystore, password_file)
    built = build_package(
        folder,
        to,
        identity=identity,
        wallet=signer.address,
        training=read_json(facts, "facts") if facts else {},
        parents=[_parent(item) for item in parent or []],
        title=title,
    )
    data = {"package": str(built.path), "cid": str(built.cid), "size": built.size, "digests": asdict(built.digests)}
    emit(data, as_json, lambda: out.print(f"{built.path} ({built.size:,} bytes)\n{built.cid}"))


def _parent(item: str) -> ParentLink:
    from pdfed_sdk.artifacts.provenance import ParentLink

    parts = item.split(":", 2)
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        raise UsageError(f'--parent is "{item}"', hint="write ID:BPS:PACKAGE, e.g. 3:10000:parent.zip")
    return ParentLink(SubmissionId(int(parts[0])), int(parts[1]), Path(parts[2]))


def shares(items: list[str]) -> list[tuple[int, int]]:
    """``ID:BPS`` options; the shares sum to the whole."""
    found = []
    for item in items:
        number, _, share = item.partition(":")
        if not (number.isdecimal() and share.isdecimal()):
            raise UsageError(f'--parent is "{item}"', hint="write ID:BPS, e.g. 0:10000")
        found.append((int(number), int(share)))
    total = sum(share for _, share in found)
    if total != BPS or not 1 <= len(found) <= 4:
        raise UsageError(f"{len(found)} parents with shares of {total} together", hint=f"1 to 4 parents sum to {BPS}")
    return found


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(help="A package file.")],
    as_json: Json = False,
) -> None:
    """Check a package's layout, tensors and C2PA manifest, its whole lineage included."""
    from pdfed_sdk.artifacts.provenance import inspect

    if not path.is_file():
        raise UsageError(f"{path} is not a file", hint="name a package, as built by: pdfed model package")
    data = inspect(path)
    rows = [(name, value) for name, value in data.items() if name not in ("ok", "problem", "training", "parents")]
    rows += [(f"training {name}", value) for name, value in data.get("training", {}).items()]
    rows += [(f"parent #{p['id']}", f"{p['weightBps'] / 100:g} %, {p['wallet']}") for p in data.get("parents", [])]
    emit(data, as_json, lambda: show_table([("verdict", "good" if data["ok"] else "BAD"), *rows]))
    problem = data["problem"]
    if problem:
        kind = getattr(errors, problem["error"], ProvenanceInvalid)
        raise kind(f"{path}: {problem['message']}", hint=problem["next"] or "do not use it; fetch it again")


@app.command("submit")
def submit(
    path: Annotated[Path, typer.Argument(help="A package file.")],
    task: TaskAddress,
    keystore: Keystore,
    parent: Annotated[list[str], typer.Option("--parent", help="ID:BPS, may be repeated; shares sum to 10000.")],
    rpc: Rpc = LOCAL_RPC,
    store: StoreUri = "local:store",
    max_fee: Annotated[str, typer.Option(help="Most scoring fee, in whole tokens (default: what it is now).")] = "",
    password_file: PasswordFile = None,
    confirmations: Confirmations = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Reserve, publish and submit a package. Interrupted, run it again: it goes on where it was."""
    from pdfed_sdk.artifacts.cid import cid_of
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.artifacts.provenance import digests_of
    from pdfed_sdk.chain.money import token_of
    from pdfed_sdk.node.publishing import check_own, submit_model

    links = shares(parent)
    if not path.is_file():
        raise UsageError(f"{path} is not a file", hint="name a package, as built by: pdfed model package")
    client = connect(
        rpc, task, keystore=keystore, password_file=password_file, confirmations=confirmations, dry_run=dry_run
    )
    most = token_of(client).units(max_fee) if max_fee else None
    check_own(client, path, links)
    if dry_run:
        gas = client.reserve(digests_of(path).package_digest, bytes(32), max_fee=most).gas_used
        data = {"sent": False, "id": None, "cid": str(cid_of(path)), "gas_used": gas}
        emit(data, True, lambda: None) if as_json else out.print(f"dry run: would reserve with about {gas:,} gas")
        return
    receipt = submit_model(client, open_store(store), path, links, max_fee=most)
    data = {"sent": True, "id": receipt.id, "cid": receipt.cid, "gas_used": receipt.gas_used}
    emit(data, as_json, lambda: out.print(f"submission #{receipt.id}, {receipt.cid}, gas {receipt.gas_used:,}"))


@app.command("list")
def list_models(task: TaskAddress, rpc: Rpc = LOCAL_RPC, as_json: Json = False) -> None:
    """All submissions with status, level and parents."""
    client = connect(rpc, task)
    views = client.submissions()
    best = client.best().id
    rows: list[dict[str, Any]] = [
        {
            "id": view.id,
            "author": view.submission.terms.author,
            "status": Status(view.submission.status).name.lower(),
            "parents": [[p.id, p.weight_bps] for p in view.parents],
            "reference": view.submission.terms.reference_id,
            "outcome": view.submission.result.outcome,
            "level": view.submission.standing.level,
            "gain": view.submission.standing.gain,
            "votes": view.tally.reveals,
            "best": view.id == best,
        }
        for view in views
    ]

    def show() -> None:
        columns = ("id", "author", "status", "parents", "outcome", "level", "gain", "votes")
        shown = []
        for row in rows:
            parents = " + ".join(f"#{i} {share / 100:g} %" for i, share in row["parents"])
            final = row["status"] == "final"
            numbers = [row[k] if final else None for k in ("outcome", "level", "gain")]
            shown.append([f"#{row['id']}{' best' if row['best'] else ''}", row["author"], row["status"], parents])
            shown[-1] += [*map(text, numbers), row["votes"]]
        show_table(shown, columns, f"models of {task}")

    emit(rows, as_json, show)


@app.command("lineage")
def show_lineage(
    path: Annotated[Path, typer.Argument(help="A package file.")],
    data_root: Annotated[str, typer.Option("--trained-on", help="Root of a training set, as manifests name it.")] = "",
    as_json: Json = False,
) -> None:
    """The family tree in a package's manifest; with --trained-on also which models saw that training set."""
    from pdfed_sdk.artifacts.provenance import lineage
    from pdfed_sdk.node.withdrawal import trained_on

    if data_root and not re.fullmatch(r"(0x)?[0-9a-f]{64}", data_root):
        raise UsageError(f'--trained-on is "{data_root}"', hint="a root is 64 hex digits; pdfed model verify shows it")
    root = lineage(path)
    touched = trained_on(root, data_root) if data_root else None
    told = {
        "direct": "trained on it",
        "descended": "descends from a model that was",
        "spared": "trained on it without the pictures withdrawn until then",
    }

    def show() -> None:
        tree = Tree(describe(root))
        grow(root, tree, set())
        out.print(tree)
        for name, words in told.items():
            for facts in getattr(touched, name, ()):
                out.print(escape(f"{facts.title or 'model'} by {facts.wallet}: {words}"))

    def digests(name: str) -> list[str]:
        return [facts.manifest_digest.hex() for facts in getattr(touched, name)]

    found = family(root, set())
    if touched is not None:
        found["trained_on"] = {name: digests(name) for name in told}
    emit(found, as_json, show)


def describe(node: LineageNode) -> str:
    return escape(f"{node.facts.title or 'model'} by {node.facts.wallet or 'unknown'}")


def grow(node: LineageNode, tree: Tree, seen: set[int]) -> None:
    """Ancestors below a branch; one that was drawn is only named, as a family of averages grows without bound."""
    for parent in node.parents:
        known = id(parent) in seen
        seen.add(id(parent))
        branch = tree.add(describe(parent) + (" (see above)" if known and parent.parents else ""))
        if not known:
            grow(parent, branch, seen)


def family(node: LineageNode, seen: set[int]) -> dict[str, Any]:
    """The tree as JSON; the parents of a model that was listed before are null."""
    facts = {name: getattr(node.facts, name) for name in ("title", "wallet", "weights_digest", "manifest_digest")}
    if id(node) in seen:
        return {**facts, "parents": None}
    seen.add(id(node))
    return {**facts, "parents": [family(parent, seen) for parent in node.parents]}


@app.command("fetch")
def fetch(
    submission: Annotated[int, typer.Argument(help="Number of the model; 0 is genesis.")],
    to: Annotated[Path, typer.Option("--out", help="File to write.")],
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    store: StoreUri = "local:store",
    as_json: Json = False,
) -> None:
    """Fetch a model's package and check it against the chain."""
    cid = fetched(connect(rpc, task), submission, store, to)
    emit({"package": str(to), "cid": str(cid)}, as_json, lambda: out.print(f"{to}\n{cid}"))


@app.command("sample")
def sample(
    model: Annotated[str, typer.Argument(help='"best", or the number of a model; 0 is genesis.')],
    to: Annotated[Path, typer.Option("--out", help="Folder for the pictures; made here.")],
    task: TaskAddress,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Pictures.")] = 16,
    steps: Annotated[int, typer.Option(min=1, max=1_000, help="Steps of the sampler.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal pictures.")] = 0,
    rpc: Rpc = LOCAL_RPC,
    store: StoreUri = "local:store",
    as_json: Json = False,
) -> None:
    """Fetch a model, check it against the chain, and sample pictures from it: one PNG each."""
    import tempfile

    from PIL import Image

    from pdfed_sdk.artifacts.package import open_package
    from pdfed_sdk.family import load_model

    if to.exists() and any(to.iterdir()):
        raise UsageError(f"{to} is not empty", hint="choose another --out; nothing was changed")
    client = connect(rpc, task)
    number = number_of(client, model)
    with tempfile.TemporaryDirectory() as scratch:
        package, folder = Path(scratch) / "package.zip", Path(scratch) / "model"
        fetched(client, number, store, package)
        open_package(package, folder)
        loaded = load_model(folder)
        pictures, labels = loaded.family.sample(loaded, count, seed.to_bytes(32, "big"), steps=steps)
    to.mkdir(parents=True, exist_ok=True)
    files = []
    for index, (picture, label) in enumerate(zip(pictures, labels.tolist(), strict=True)):
        path = to / f"{index:04d}-class{label}.png"
        rows = picture.permute(1, 2, 0).squeeze(-1).cpu().numpy()
        Image.fromarray(rows).save(path)
        files.append(str(path))
    emit({"model": number, "files": files}, as_json, lambda: out.print(f"{count} pictures of model #{number} in {to}"))
