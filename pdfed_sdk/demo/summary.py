"""What happened, as data and in words: who trained what on what, who earned what and why, and whether it adds up."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.demo import plots
from pdfed_sdk.demo.nodes import DemoNode
from pdfed_sdk.demo.quality import model_quality
from pdfed_sdk.demo.stores import DemoStores
from pdfed_sdk.errors import AuditFailed, DemoFailed
from pdfed_sdk.ml.scoring.reports import CopyTest
from pdfed_sdk.node.auditing import audit_task
from pdfed_sdk.node.task_view import Entry, TaskView
from pdfed_sdk.types import GENESIS, Address, Status

SCHEMA = 2
HONEST = ("atelier", "clinic", "studio")
"""The trainers that do not copy."""
PARTS = ("fid", "fid_floor", "v_a", "v_c", "r_c", "novelty", "novelty_floor", "qn", "objective")
PACKAGES = ("torch", "diffusers", "web3", "eth-brownie", "c2pa-python", "numpy")


def sum_up(
    folder: Path,
    client: PdfedClient,
    nodes: Sequence[DemoNode],
    addresses: Mapping[str, Address],
    notes: Mapping[str, Any],
    started: float,
    stores: DemoStores,
) -> dict[str, Any]:
    """Gather, draw, audit; writes summary.json and the pictures into ``folder``, and returns the summary."""
    events = list(client.events.replay(from_block=0))
    view = TaskView(client)
    view.apply(events)
    names = {address: name for name, address in addresses.items()}
    opinions = read_evaluations(folder, nodes)
    earned = earnings(events)
    submissions = [describe(entry, names, opinions, earned) for entry in view.entries.values()]
    gas, gas_by_node = gas_used(client, events)
    report = audit_task(client, stores.everything)
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "seconds": 0.0,
        "store": stores.kind,
        "task": client.task.registry,
        "best": {"id": view.best, "level": view.best_level, **model_quality(folder, nodes, view.best)},
        "nodes": [describe_node(client, p, addresses[p.name], earned, gas_by_node) for p in nodes],
        "submissions": submissions,
        "copies": describe_copies(submissions, opinions),
        "evaluations": sum(len(by_node) for by_node in opinions.values()),
        "evaluations_with_pairs": sum(bool(note["pairs"]) for by in opinions.values() for note in by.values()),
        "payouts": payouts(events, earned, names),
        "gas": gas,
        "killed": dict(notes.get("killed", {})),
        "audit": {"ok": report.ok, "checks": [asdict(check) for check in report.checks]},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    plots.draw_all(folder, summary, view, opinions, nodes)
    summary["seconds"] = round(time.monotonic() - started, 1)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, default=str), encoding="utf-8")
    return summary


CREDITS = ("votes", "rewards", "lineage", "returned")
"""Why a node is credited: pay for votes, own rewards, shares of descendants, scoring fees of ids that became void."""
LOSSES = ("charged", "forfeited", "fees")
"""What a node loses: charges to its votes' bonds, bonds of submissions, scoring fees with their surcharges."""
Opinions = dict[int, dict[str, dict[str, Any]]]
"""Submission id -> node name -> that node's private evaluation."""


def read_evaluations(folder: Path, nodes: Sequence[DemoNode]) -> Opinions:
    """The nodes' private evaluations. Only a demo can read them all: the homes lie on one machine."""
    found: Opinions = defaultdict(dict)
    for node in nodes:
        for path in (folder / "nodes" / node.name / "evaluations").glob("*.json"):
            note = json.loads(path.read_text(encoding="utf-8"))
            note["pairs"] = [json.loads(bytes.fromhex(pair)) for pair in note["pairs"]]
            found[int(path.stem)][node.name] = note
    return dict(found)


def earnings(events: Sequence[event_types.Event]) -> dict[Address, Counter[str]]:
    """What was credited to whom and lost by whom, by reason; in token units."""
    earned: dict[Address, Counter[str]] = defaultdict(Counter)
    authors: dict[int, Address] = {}
    for event in events:
        match event:
            case event_types.SubmissionBonded():
                authors[event.id] = event.author
                earned[event.author]["fees"] += event.fee + event.surcharge
            case event_types.Settled():
                own = event.node == authors[event.id]
                earned[event.node]["returned" if own else "votes"] += event.paid
                earned[event.node]["forfeited" if own else "charged"] += event.forfeited
            case event_types.Shared():
                reason = "rewards" if event.id == event.source else "lineage"
                earned[event.author][reason] += event.to_author
                earned[event.author][f"reward #{event.id}"] += event.to_author
            case event_types.Poured():
                earned[event.author]["lineage"] += event.to_author
            case event_types.Claimed():
                earned[event.node]["claimed"] += event.amount
            case _:
                pass
    return earned


def describe(
    entry: Entry, names: Mapping[Address, str], opinions: Opinions, earned: Mapping[Address, Counter[str]]
) -> dict[str, Any]:
    """One submission for summary.json; objective parts are medians over the voters, each on its own pictures."""
    voters = {name: note for name, note in opinions.get(entry.id, {}).items() if name != names[entry.author]}
    notes = [note["candidate"] for note in voters.values() if "objective" in note["candidate"]]
    return {
        "id": entry.id,
        "author": entry.author,
        "name": names[entry.author],
        "parents": [{"id": p.id, "weight_bps": p.weight_bps} for p in entry.record.parents] if entry.record else [],
        "reference": entry.reference,
        "status": {Status.FINAL: "final", Status.VOID: "void"}.get(entry.status, "open"),
        "level": entry.level if entry.status is Status.FINAL else None,
        "improvement": entry.outcome,
        "gain": entry.gain,
        "votes": {names[voter]: value for voter, value in entry.votes.items()},
        "sealed": len(entry.commits),
        "objective_parts": {part: statistics.median(note[part] for note in notes) for part in PARTS} if notes else {},
        "by_node": {
            name: {
                "improvement": note["improvement"],
                "pairs": len(note["pairs"]),
                **{part: note["candidate"].get(part) for part in PARTS},
                "copy_ratio": copy_ratio(note["candidate"]),
            }
            for name, note in voters.items()
        },
        "reward": earned.get(entry.author, Counter())[f"reward #{entry.id}"],
    }


def copy_ratio(report: Mapping[str, Any]) -> float | None:
    """What copying multiplies the objective by; 1: the copy test found nothing."""
    copies = report.get("copies")
    if copies is None:
        return None
    excess = CopyTest(**copies).excess
    return 1 + excess / float(report["settings"]["copy_doubling"])


def describe_copies(submissions: Sequence[Mapping[str, Any]], opinions: Opinions) -> dict[str, Any]:
    """The copyist's model: who found which copies, how the votes went."""
    mine = sorted((s for s in submissions if s["name"] == "copyist"), key=lambda s: s["status"] != "final")
    if not mine:
        return {}
    found = {
        name: len(note["pairs"]) for name, note in opinions.get(mine[0]["id"], {}).items() if name != mine[0]["name"]
    }
    own = opinions.get(mine[0]["id"], {}).get("copyist", {}).get("candidate", {})
    return {
        "id": mine[0]["id"],
        "outcome": mine[0]["improvement"],
        "votes": mine[0]["votes"],
        "pairs_found": found,
        "own_novelty": own.get("novelty"),
        "own_novelty_floor": own.get("novelty_floor"),
    }


def describe_node(
    client: PdfedClient,
    node: DemoNode,
    address: Address,
    earned: Mapping[Address, Counter[str]],
    gas: Mapping[Address, int],
) -> dict[str, Any]:
    account, mine = client.account(address), earned.get(address, Counter())
    return {
        "address": address,
        "name": node.name,
        "role": node.role,
        "tells": node.tells,
        "earned": sum(mine[reason] for reason in CREDITS),
        "earned_for": {reason: mine[reason] for reason in CREDITS},
        "lost": sum(mine[reason] for reason in LOSSES),
        "lost_for": {reason: mine[reason] for reason in LOSSES},
        "net": sum(mine[reason] for reason in CREDITS) - sum(mine[reason] for reason in LOSSES),
        "claimed": mine["claimed"],
        "credit": account.credit,
        "stake": account.stake + account.locked,
        "gas": gas.get(address, 0),
    }


def payouts(
    events: Sequence[event_types.Event], earned: Mapping[Address, Counter[str]], names: Mapping[Address, str]
) -> dict[str, Any]:
    """All money that moved out of the pool and the scoring fees, in token units."""
    total: Counter[str] = Counter()
    for mine in earned.values():
        total.update({reason: mine[reason] for reason in (*CREDITS, *LOSSES, "claimed")})
    returned = sum(e.passed for e in events if isinstance(e, event_types.Poured) and e.reference_id == GENESIS)
    return {
        "voters": total["votes"],
        **{reason: total[reason] for reason in LOSSES},
        "returned": total["returned"],
        "authors": total["rewards"],
        "lineage": total["lineage"],
        "claimed": total["claimed"],
        "lineage_to_commons": returned,
        "claims": {names[e.node]: e.amount for e in events if isinstance(e, event_types.Claimed) and e.node in names},
    }


VERBS = {
    "Submitted": "submit",
    "Reserved": "reserve",
    "Committed": "commit",
    "Revealed": "reveal",
    "Finalized": "finalize",
    "Settled": "settle",
    "Poured": "pour",
    "Shared": "pour",
    "Claimed": "claim",
    "NodeRegistered": "register",
    "Deposited": "deposit",
    "Funded": "fund",
}


def gas_used(client: PdfedClient, events: Sequence[event_types.Event]) -> tuple[dict[str, Any], dict[Address, int]]:
    """Gas by act (median, number, total) and by node, from the receipts of all transactions that left an event."""
    acts: dict[str, str] = {}
    for event in events:
        verb = VERBS.get(type(event).__name__)
        if verb and acts.get(event.where.tx_hash) != "finalize":
            acts[event.where.tx_hash] = verb
    receipts = client.receipts(list(acts))
    used: dict[str, list[int]] = defaultdict(list)
    by_node: Counter[Address] = Counter()
    for tx_hash, verb in acts.items():
        used[verb].append(receipts[tx_hash].gas_used)
        by_node[receipts[tx_hash].sender] += receipts[tx_hash].gas_used
    table = {
        verb: {"median": int(statistics.median(g)), "transactions": len(g), "total": sum(g)} for verb, g in used.items()
    }
    return {"by_act": table, "total": sum(sum(g) for g in used.values())}, dict(by_node)


def print_summary(console: Console, summary: Mapping[str, Any], folder: Path) -> None:
    """The summary for a person: two tables that fit into 80 columns, and sentences that the terminal wraps."""
    console.print(models_table(summary))
    console.print(nodes_table(summary))

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    best, copies = summary["best"], summary["copies"]
    say(
        f"best model #{best['id']}, level {best['level']}: FID {best['fid']:.3g}, genesis {best['genesis_fid']:.3g} "
        f"({best['fid_ratio']:.0%} of it), on all nodes' test pictures"
    )
    if copies:
        found = ", ".join(f"{name} {count}" for name, count in copies["pairs_found"].items() if count)
        told = f"outcome {copies['outcome']}; its copies were recognised by: {found or 'nobody'}"
        say(f"the copyist's model #{copies['id']}: {told}")
    gas = summary["gas"]["by_act"]
    say("gas (median): " + ", ".join(f"{verb} {row['median']:,}" for verb, row in gas.items()))
    for check in summary["audit"]["checks"]:
        say(f"  {'ok ' if check['ok'] else 'BAD'} {check['name']}: {check['detail']}")
    say(f"{summary['seconds']:.0f} s; summary.json, samples.png, pairs.png, progress.png, lineage.png in {folder}")
    say(f"open this in a browser: {folder / 'report.html'}")


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for column in columns:
        table.add_column(column)
    return table


def models_table(summary: Mapping[str, Any]) -> Table:
    """Every submission; the objective's parts are medians over the voters, each on its own pictures."""
    columns = ("model", "author", "parents", "votes", "outcome", "level", "FID", "R_C", "novelty", "J")
    models = _table("Models (FID to J: medians over the voters, each on its own pictures)", columns)
    for s in summary["submissions"]:
        parts = s["objective_parts"]
        star = "*" if s["id"] == summary["best"]["id"] else ""
        models.add_row(
            f"#{s['id']}{star}",
            s["name"],
            " ".join(f"#{p['id']}" for p in s["parents"]),
            " ".join(f"{v:+d}" for v in s["votes"].values()),
            s["status"] if s["improvement"] is None else f"{s['improvement']:+d}",
            "" if s["level"] is None else str(s["level"]),
            *(f"{parts[k]:.3g}" if parts else "" for k in ("fid", "r_c", "novelty", "objective")),
        )
    return models


def nodes_table(summary: Mapping[str, Any]) -> Table:
    """What every node earned and lost and why, in tokens."""
    columns = ("node", *CREDITS[:3], "lost", "net", "claimed", "stake", "gas")
    nodes = _table("Nodes (tokens; gas in millions)", columns)
    for n in summary["nodes"]:
        money = [n["earned_for"][why] for why in CREDITS[:3]] + [n[why] for why in columns[4:-1]]
        nodes.add_row(n["name"], *(f"{m / 1e18:,.2f}" for m in money), f"{n['gas'] / 1e6:,.2f}")
    return nodes


def check_promises(summary: Mapping[str, Any], *, full: bool) -> None:
    """Raise AuditFailed when something does not add up, DemoFailed when the demo did not show what it promises."""
    if not summary["audit"]["ok"]:
        bad = [check["name"] for check in summary["audit"]["checks"] if not check["ok"]]
        raise AuditFailed(f"the audit failed: {', '.join(bad)}", hint="read the lines marked BAD above")
    if not full:
        return
    broken = [text for text, kept in promises(summary).items() if not kept]
    if broken:
        raise DemoFailed(
            "; ".join(broken), hint="read summary.json and the logs beside it; a slow machine may need a rerun"
        )


def promises(summary: Mapping[str, Any]) -> dict[str, bool]:
    """What the demo promises, each with whether it was kept."""
    final = [s for s in summary["submissions"] if s["status"] == "final"]
    by_name = {n["name"]: n for n in summary["nodes"]}
    copies, best = summary["copies"], summary["best"]
    return {
        "fewer than 5 final submissions": len(final) >= 5,
        "fewer than 3 authors": len({s["author"] for s in final}) >= 3,
        "no final model has two parents": any(len(s["parents"]) > 1 for s in final),
        "a final model has votes of fewer than 3 nodes": all(len(s["votes"]) >= 3 for s in final),
        "fewer than 4 evaluations have verified pairs": summary["evaluations_with_pairs"] >= 4,
        "fewer than two nodes caught the copyist": sum(
            bool(copies.get("pairs_found", {}).get(name)) and vote < 0 for name, vote in copies.get("votes", {}).items()
        )
        >= 2,
        "the copyist's model was not voted down": (copies.get("outcome") or 0) < 0,
        "fewer than two authors were rewarded": sum(
            bool(n["earned_for"]["rewards"] or n["earned_for"]["lineage"]) for n in summary["nodes"]
        )
        >= 2,
        "the copyist's net is not below that of every honest trainer": all(
            by_name["copyist"]["net"] < by_name[name]["net"] for name in HONEST
        ),
        "the best model's FID is above a third of the genesis model's": best["fid_ratio"] <= 1 / 3,
        "a node did not claim what it earned": all(n["claimed"] == n["earned"] for n in summary["nodes"]),
        "no node was killed": bool(summary["killed"]),
    }
