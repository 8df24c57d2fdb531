"""``pdfed score run | commit | reveal | noise``: judge models and pictures on a node's own data, and vote on them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pdfed_sdk.buckets import grains_of
from pdfed_sdk.cli.common import at_home, connect, read_password
from pdfed_sdk.cli.options import DryRun, Home, HomeKeystore, HomeRpc, Json, PasswordFile, TaskAddress
from pdfed_sdk.cli.output import emit, err, out, show_table
from pdfed_sdk.cli.sending import receipt_data, show_receipt
from pdfed_sdk.errors import MlError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.ml.scoring.scorer import QNReport
    from pdfed_sdk.node.runner import Node
    from pdfed_sdk.node.task_view import Entry
    from pdfed_sdk.node.voter import SealedVote

app = typer.Typer(help="Score models on your own pictures, and vote.", no_args_is_help=True)

Threads = Annotated[int, typer.Option(min=1, max=1024, help="torch threads.")]
Device = Annotated[str, typer.Option(help='Where to compute: "cpu", "cuda" or "auto".')]


@app.command("run")
def run(
    subject: Annotated[Path, typer.Argument(help="A model package or folder; or generated pictures: folder or .npz.")],
    data: Annotated[str, typer.Option(help='Your pictures: a prepared split, any source of pictures, or "mnist".')],
    to: Annotated[Path, typer.Option("--out", help="Folder of the private report.")] = Path("report"),
    reference: Annotated[
        Path | None, typer.Option(help="Model or pictures to compare with: tells the improvement.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Task card JSON: the frozen scoring settings.")] = None,
    samples: Annotated[int | None, typer.Option(help="Pictures to score (default: 128, or all given).")] = None,
    extractor: Annotated[str | None, typer.Option(help="Features of FID (default: efficientnet-lite0).")] = None,
    fit: Annotated[str, typer.Option(help='Pictures that are not square: "pad" on white, or "crop".')] = "pad",
    seed: Annotated[str, typer.Option(help="Seed of the samples: 64 hex digits, or any text.")] = "pdfed",
    cache: Annotated[Path | None, typer.Option(help="Folder for fingerprints and features of your pictures.")] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
    device: Device = "cpu",
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Score a model, or pictures one made, on your own pictures; writes a private report with pictures."""
    from pdfed_sdk.ml.device import set_threads
    from pdfed_sdk.ml.sources import Reading
    from pdfed_sdk.node import score_run

    if to.exists() and not to.is_dir():
        raise UsageError(f"--out {to} is a file", hint="name a folder")
    set_threads(threads)
    reading = Reading(fit=fit)
    case = score_run.prepare(
        subject, data, card=card, samples=samples, extractor=extractor, reference=reference, reading=reading
    )
    err.print(f"scoring {case.settings.samples} pictures against {len(case.split.train)} of yours")
    found = score_run.judge(case, score_run.seed_of(seed), cache=cache, device=device)
    for caution in found.cautions:
        err.print(f"[yellow]caution:[/] {escape(caution)}")
    page = score_run.keep_report(found, case.split.train, to, title or subject.name)
    result = {
        "subject": str(subject),
        "reference": str(reference) if reference else None,
        "improvement": found.improvement,
        "report": found.report.public(),
        "page": str(page),
        "cautions": list(found.cautions),
    }
    emit(result, as_json, lambda: show_score(found.report, found.improvement, page))


def show_score(report: QNReport, improvement: int | None, page: Path) -> None:
    """The numbers for people."""
    from pdfed_sdk.ml.scoring.page import copy_words

    copies = f"{report.confirmed_samples} of {report.samples} samples,"
    rows: list[tuple[str, Any]] = [
        ("objective J, lower is better", f"{report.objective:.3f}"),
        ("FID, its floor", f"{report.fid:.3f}, {report.fid_floor:.3f}"),
        ("novelty, its floor", f"{report.novelty:.2f}, {report.novelty_floor:.2f}"),
        ("V_A, V_C, R_C", f"{report.v_a:.3f}, {report.v_c:.3f}, {report.r_c:.3f}"),
        ("Q-N, eq. 6", f"{report.qn:.3f}"),
        ("copies", f"{copies} of {len(report.pairs)} of your pictures" if report.pairs else "none confirmed"),
        ("copy test", copy_words(report.copies)),
        ("extractor", report.extractor_id),
    ]
    if improvement is not None:
        rows.insert(0, ("improvement", f"{grains_of(improvement):+d} grains (1/32 octave), voted as {improvement:+d}"))
    show_table([*rows, ("private report", page)])


# --- votes -----------------------------------------------------------------------------------------------------------


@app.command("commit")
def commit(
    submission: Annotated[int, typer.Argument(help="Number of an open submission.")],
    home: Annotated[Path, typer.Option(help="The node's folder: keys, pdfed.toml, data, state.")] = Path(),
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Score a submission against its reference on the node's own pictures, and seal the vote."""
    from pdfed_sdk.config import load_config
    from pdfed_sdk.node.assemble import build_node

    config = load_config(home / "pdfed.toml")
    if not config.chain.task:
        raise UsageError(f"{home / 'pdfed.toml'} names no task", hint="set [chain] task")
    if password_file is None and config.chain.password_file:
        password_file = home / config.chain.password_file
    node = build_node(home, config, read_password(password_file), dry_run=dry_run)
    node.view.refresh()
    sealed = node.voter.vote(open_entry(node, submission))
    if sealed is None:
        raise UsageError(f"submission {submission} is not in the store yet", hint="its author may still publish it")
    published = publication(sealed)
    result = {
        "submission": submission,
        "improvement": sealed.evaluation.improvement,
        "publication": published,
        "receipt": receipt_data(sealed.receipt),
    }

    def show() -> None:
        from pdfed_sdk.chain.money import token_of

        out.print(f"improvement {sealed.evaluation.improvement:+d}, evidence root 0x{sealed.evidence_root.hex()}")
        show_receipt(sealed.receipt, token_of(node.client))

    emit(result, as_json, show)


def open_entry(node: Node, submission: int) -> Entry:
    """The submission, if this node can vote on it now."""
    from pdfed_sdk.types import Status

    entry = node.view.entries.get(submission)
    if entry is None:
        raise UsageError(f"no submission {submission}", hint=f"the task has ids 1 … {len(node.view.entries)}")
    if node.me in entry.commits:
        raise UsageError(f"the vote on {submission} is sealed already", hint="open it with: pdfed score reveal")
    if entry.author == node.me:
        raise UsageError(f"submission {submission} is this node's own", hint="authors do not vote on their models")
    now = node.client.now()
    if entry.status is not Status.OPEN or now >= entry.windows.commit_end:
        state = f"{Status(entry.status).name.lower()}, commits ended at {entry.windows.commit_end}, now it is {now}"
        raise UsageError(f"submission {submission} takes no votes: {state}", hint="see: pdfed model list")
    return entry


def publication(sealed: SealedVote) -> dict[str, Any] | None:
    """What may be told of a vote once it is open; None where the model could not be scored."""
    from pdfed_sdk.ml.scoring.reports import Publication, QNReport

    try:
        report = QNReport.from_dict(json.loads(sealed.evaluation.report)["candidate"])
    except (ValueError, KeyError, TypeError, MlError):  # unusable, or another evaluator's report
        return None
    return Publication.of(report, sealed.evaluation.improvement, sealed.evidence_root).to_dict()


@app.command("reveal")
def reveal(
    task: TaskAddress = "",
    rpc: HomeRpc = "",
    keystore: HomeKeystore = None,
    home: Home = None,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Open all sealed votes whose window is there; names those that still wait."""
    place = at_home(home, task=task, rpc=rpc, keystore=keystore, password_file=password_file)
    if place.keystore is None:
        raise UsageError("no keystore named", hint="give --keystore FILE or --home DIR")
    client = connect(
        place.rpc,
        place.task,
        keystore=place.keystore,
        password_file=place.password_file,
        state=place.state,
        confirmations=place.confirmations,
        dry_run=dry_run,
    )
    receipts, left = client.reveal_due(), client.due()
    now = client.now()
    waiting = [{**asdict(vote), "state": vote.state.name.lower()} for vote in left if now < vote.reveal_start]
    lost = [vote.id for vote in left if vote.state.name.lower() == "mismatch"]

    def show() -> None:
        from pdfed_sdk.chain.money import token_of

        token = token_of(client)
        for receipt in receipts:
            show_receipt(receipt, token)
        if not receipts:
            show_receipt(None, token)
        for vote in waiting:
            out.print(f"the vote on #{vote['id']} opens in {vote['reveal_start'] - now} s")

    emit({"reveals": [receipt_data(r) for r in receipts], "waiting": waiting, "lost": lost}, as_json, show)


# --- noise -----------------------------------------------------------------------------------------------------------


@app.command("noise")
def noise(
    data: Annotated[str, typer.Option(help='Pictures to divide among the nodes: a source, or "mnist".')] = "mnist",
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 16,
    voters: Annotated[int, typer.Option(min=1, help="Nodes that vote.")] = 4,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of equal retrains.")] = 6,
    pictures: Annotated[int, typer.Option(min=1, help="Training pictures a submission.")] = 6_000,
    genesis: Annotated[int, typer.Option(min=1, help="Training pictures of the genesis model.")] = 2_000,
    generations: Annotated[int, typer.Option(min=0, help="Submissions between genesis and the retrains.")] = 2,
    samples: Annotated[
        list[int] | None, typer.Option(min=2, help="Generated pictures an evaluation (128); may be given again.")
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Measure how votes scatter when nothing improved, and the minStep that follows; defaults are the demo's sizes."""
    from pdfed_sdk.ml.device import set_threads
    from pdfed_sdk.ml.scoring.noop_retrain import LEAST_STEP, NoiseSetup, measure, samples_needed

    set_threads(threads)
    counts = tuple(samples or (128,))
    setup = NoiseSetup(data, size, voters, pairs, pictures, genesis, generations, counts)
    every = measure(setup, tell=err.print)
    needed = samples_needed(every)

    def show() -> None:
        for count, found in every.items():
            rows = [(f"pair {i}", *(f"{value:+.2f}" for value in row)) for i, row in enumerate(found.values, 1)]
            show_table(rows, (f"grains, {count} samples", *(f"voter {i + 1}" for i in range(voters))))
            out.print(f"deviation of one voter {found.deviation:.2f}, of the outcome {found.outcome_deviation:.2f}")
            out.print(f"minStep {found.min_step} (three deviations of the outcome, at least {LEAST_STEP})")
        if len(every) > 1:
            out.print(f"samples for a minStep of 3: {needed or 'no number is enough'}")

    first = asdict(every[counts[0]])
    more = {"by_samples": {count: asdict(found) for count, found in every.items()}, "samples_needed": needed}
    emit(first | more, as_json, show)
