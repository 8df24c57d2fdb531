"""``pdfed model init | package | verify | submit | list | lineage | fetch``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.tree import Tree

from pdfed_sdk.artifacts import provenance
from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.deploy import write_genesis
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.common import (
    LOCAL_RPC,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    StorePath,
    TaskAddress,
    connect,
    emit,
    err,
    out,
    read_password,
)
from pdfed_sdk.errors import ProvenanceInvalid, UsageError
from pdfed_sdk.types import GENESIS, Status, SubmissionId

app = typer.Typer(help="Models: make, package, verify, submit, look at.", no_args_is_help=True)

ParentOption = Annotated[
    list[str] | None, typer.Option("--parent", help="ID:BPS:PACKAGE, may be repeated; shares sum to 10000.")
]


@app.command("init")
def init(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for package.zip, genesis.json and card.json.")],
    keystore: Keystore,
    data: Annotated[str, typer.Option(help='"mnist" or a folder; only its public part is used.')] = "mnist",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 16,
    pictures: Annotated[int, typer.Option(help="Training pictures; 0 leaves the model untrained.")] = 1500,
    store: StorePath = Path("store"),
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make the genesis model of a task: a first, barely trained model that everything descends from."""
    from pdfed_sdk.node.genesis import make_genesis

    password = read_password(password_file)
    signer = LocalSigner.from_keystore(keystore, password=password)
    identity = SigningIdentity.load_or_create(keystore.with_name("identity.json"), password)
    made = make_genesis(out_dir, data=data, size=size, pictures=pictures, identity=identity, wallet=signer.address)
    LocalStore(store).put(made.path)
    write_genesis(out_dir / "genesis.json", made.digests)
    result = {
        "package": str(made.path),
        "cid": str(made.cid),
        "size": made.size,
        "genesis": str(out_dir / "genesis.json"),
    }
    emit(result, as_json, lambda: out.print(f"{made.path} ({made.size:,} bytes)\n{made.cid}"))


@app.command("package")
def package(
    folder: Annotated[Path, typer.Argument(help="A diffusers pipeline folder.")],
    to: Annotated[Path, typer.Option("--out", help="Package file to write.")],
    keystore: Keystore,
    facts: Annotated[Path | None, typer.Option(help="JSON of training facts for the manifest.")] = None,
    parent: ParentOption = None,
    title: str = "",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Build a signed package; parents go in as ingredients from their own packages."""
    password = read_password(password_file)
    signer = LocalSigner.from_keystore(keystore, password=password)
    identity = SigningIdentity.load_or_create(keystore.with_name("identity.json"), password)
    built = provenance.build_package(
        folder,
        to,
        identity=identity,
        wallet=signer.address,
        training=json.loads(facts.read_text(encoding="utf-8")) if facts else {},
        parents=[_parent(item) for item in parent or []],
        title=title,
    )
    data = {"package": str(built.path), "cid": str(built.cid), "size": built.size, "digests": asdict(built.digests)}
    emit(data, as_json, lambda: out.print(f"{built.path} ({built.size:,} bytes)\n{built.cid}"))


def _parent(item: str) -> provenance.ParentLink:
    parts = item.split(":", 2)
    if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit()):
        raise UsageError(f'--parent is "{item}"', hint="write ID:BPS:PACKAGE, e.g. 3:10000:parent.zip")
    return provenance.ParentLink(SubmissionId(int(parts[0])), int(parts[1]), Path(parts[2]))


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(help="A package file.")],
    as_json: Json = False,
) -> None:
    """Check a package's layout, tensors and C2PA manifest, its whole lineage included."""
    if not path.is_file():
        raise UsageError(f"{path} is not a file", hint="name a package, as built by: pdfed model package")
    data = provenance.inspect(path)

    def show() -> None:
        for name, value in data.items():
            out.print(f"{name}: {value if isinstance(value, str) else json.dumps(value, default=str)}")

    emit(data, as_json, show)
    if not data["ok"]:
        raise ProvenanceInvalid(
            f"{path}: {'; '.join(map(str, data['problems']))}", hint="do not use it; fetch it again"
        )


@app.command("submit")
def submit(
    path: Annotated[Path, typer.Argument(help="A package file.")],
    task: TaskAddress,
    keystore: Keystore,
    parent: Annotated[list[str], typer.Option("--parent", help="ID:BPS, may be repeated; shares sum to 10000.")],
    rpc: Rpc = LOCAL_RPC,
    store: StorePath = Path("store"),
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Reserve, publish and submit a package. Interrupted, run it again: it goes on where it was."""
    from pdfed_sdk.node.publishing import submit_model

    client = connect(rpc, task, keystore=keystore, password_file=password_file)
    links = [tuple(int(part) for part in item.split(":")) for item in parent]
    if any(len(link) != 2 for link in links):
        raise UsageError(f"--parent is {parent}", hint="write ID:BPS, e.g. 0:10000")
    receipt = submit_model(client, LocalStore(store), path, [(link[0], link[1]) for link in links])
    data = {"id": receipt.id, "cid": receipt.cid, "gas_used": receipt.gas_used}
    emit(data, as_json, lambda: out.print(f"submission {receipt.id}, {receipt.cid}, gas {receipt.gas_used:,}"))


@app.command("list")
def list_models(task: TaskAddress, rpc: Rpc = LOCAL_RPC, as_json: Json = False) -> None:
    """All submissions with status, level and parents."""
    client = connect(rpc, task)
    views = client.submissions()
    best = client.best().id
    rows: list[dict[str, Any]] = [
        {
            "id": view.id,
            "author": view.submission.author,
            "status": Status(view.submission.status).name.lower(),
            "parents": [[p.id, p.weight_bps] for p in view.parents],
            "reference": view.submission.reference_id,
            "outcome": view.submission.outcome,
            "level": view.submission.level,
            "gain": view.submission.gain,
            "votes": view.tally.reveals,
            "best": view.id == best,
        }
        for view in views
    ]

    def show() -> None:
        table = Table(title=f"models of {task}")
        for column in ("id", "author", "status", "parents", "outcome", "level", "gain", "votes"):
            table.add_column(column)
        for row in rows:
            parents = " + ".join(f"#{i}" for i, _ in row["parents"])
            mark = "*" if row["best"] else ""
            cells = [f"{row['id']}{mark}", row["author"], row["status"], parents]
            table.add_row(*cells, *(str(row[k]) for k in ("outcome", "level", "gain", "votes")))
        out.print(table)

    emit(rows, as_json, show)


@app.command("lineage")
def show_lineage(path: Annotated[Path, typer.Argument(help="A package file.")], as_json: Json = False) -> None:
    """The family tree in a package's manifest."""
    root = provenance.lineage(path)

    def describe(node: provenance.LineageNode) -> str:
        return f"{node.facts.title or 'model'} by {node.facts.wallet or 'unknown'}"

    def grow(node: Any, tree: Tree) -> None:
        for parent in node.parents:
            grow(parent, tree.add(describe(parent)))

    def show() -> None:
        tree = Tree(describe(root))
        grow(root, tree)
        out.print(tree)

    emit(asdict(root), as_json, show)


@app.command("fetch")
def fetch(
    submission: Annotated[int, typer.Argument(help="Number of the model; 0 is genesis.")],
    to: Annotated[Path, typer.Option("--out", help="File to write.")],
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    store: StorePath = Path("store"),
    as_json: Json = False,
) -> None:
    """Fetch a model's package and check it against the chain."""
    from pdfed_sdk.node.board import Board
    from pdfed_sdk.node.shelf import Shelf

    client = connect(rpc, task)
    board = Board(client)
    board.refresh()
    if submission != GENESIS and submission not in board.entries:
        raise UsageError(f"no submission {submission}", hint=f"the task has ids 0 … {len(board.entries)}")
    digests = board.digests_of(SubmissionId(submission))
    if digests is None:
        raise UsageError(f"submission {submission} is reserved, not submitted", hint="wait, or see: pdfed model list")
    cid = Cid(digests.package_codec, digests.package_digest)
    kept = LocalStore(store)
    kept.fetch(cid, to)
    provenance.verify_package(
        to, Shelf(to.parent, kept, board, board.params.sponsor).expected(SubmissionId(submission), digests)
    )
    err.print("verified against the chain")
    emit({"package": str(to), "cid": str(cid)}, as_json, lambda: out.print(f"{to}\n{cid}"))
