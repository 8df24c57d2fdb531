"""Proves the properties of test/proofs with halmos and writes docs/audit/proofs.md and proofs.json.

    .tools/halmos/bin/python tests/contracts/forge/proofs/prove.py [--only NAME] [--minutes N] [--check | --planted]

What was proved of the same sources is kept in build/proofs.json and not proved again, so an interrupted run goes on;
build/proofs-planted.json keeps the counter-examples of `--planted` in the same way.
`--check` writes no page and fails unless everything is proved. `--planted` plants the bug that each property names in a
copy of the sources, fails unless each property then has a counter-example, and writes proofs-planted.json.

A property may be proved `under` specifications: in a copy of the sources in which the calls that each names are calls
of `Assumed`. It is proved if the properties that prove those specifications are, and `conditional` otherwise. Uses
nothing but the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from planting import FORGE, ROOT, plant
from planting import PROOFS as SOURCES

PROOFS, PLANTED = (ROOT / "docs" / "audit" / name for name in ("proofs.json", "proofs-planted.json"))
ASSUMED = ROOT / "build" / "assumed"
KEPT, KEPT_PLANTED = ROOT / "build" / "proofs.json", ROOT / "build" / "proofs-planted.json"
TOOLS = Path(sys.executable).parent
SECONDS_A_QUERY, SECONDS_A_PROPERTY = 20, 600
PANICS = "0x01,0x11,0x12"  # a failed assertion, an overflow, a division by zero
RANDOM_CASES = 20_000
RESULTS = {"PASS": "proved", "FAIL": "counter-example", "TIMEOUT": "time-out"}
GOOD = ("proved", "held")  # for every value, and in every random case

Property = dict[str, Any]
STORED = json.loads((Path(__file__).parent / "properties.json").read_text())
PROPERTIES: list[Property] = STORED["properties"]
BUGS: dict[str, dict[str, str]] = STORED["bugs"]
SPECIFICATIONS: dict[str, dict[str, Any]] = STORED["specifications"]


def environment() -> dict[str, str]:
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge")).parent
    return {
        **os.environ,
        "PATH": f"{forge}:{TOOLS}:{os.environ['PATH']}",
        "FOUNDRY_PROFILE": "proofs",
        "FOUNDRY_SOLC": str(ROOT / ".solc" / "solc-v0.8.37"),
    }


def run(command: list[str], project: Path) -> str:
    """Output; past its time the command and the solvers it started are ended."""
    with subprocess.Popen(
        command, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            return process.communicate(timeout=SECONDS_A_PROPERTY)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def test_of(p: Property) -> str:
    """`PayProofs` stands in Pay.t.sol."""
    return f"test/proofs/{p['contract'].removesuffix('Proofs')}.t.sol"


def edits_of(p: Property) -> list[dict[str, str]]:
    """What is replaced in the sources that a property is proved of."""
    return [edit for name in p.get("under", []) for edit in SPECIFICATIONS[name]["edits"]]


def grounds(p: Property, path: tuple[str, ...] = ()) -> set[str]:
    """The functions that prove what a property relies on, and what they rely on; an error if one relies on itself."""
    if p["function"] in path:
        raise SystemExit(f"properties.json: {' rests on '.join((*path, p['function']))}")
    found: set[str] = set()
    for name in p.get("under", []):
        for function in SPECIFICATIONS[name]["proved_by"]:
            below = next((q for q in PROPERTIES if q["function"] == function), None)
            if below is None:
                raise SystemExit(f"properties.json: {name!r} is proved by {function}, which is no property")
            found |= {function} | grounds(below, (*path, p["function"]))
    return found


def digest(p: Property) -> str:
    """Of what a result depends on: the contracts, the test with what it imports beside it or assumes, the solver."""
    sources = [f for folder in ("contracts", "interfaces") for f in sorted((ROOT / folder).rglob("*.sol"))]
    edits, test = edits_of(p), ROOT / FORGE / test_of(p)
    specified = "./Specification.sol" in test.read_text()
    sources += [test, *(Path(__file__).parent / name for name in ("solve.py", "terms.py"))]
    sources += [ROOT / SOURCES / f"{name}.sol" for name in ("Specification",) * specified + ("Assumed",) * bool(edits)]
    sources += [ROOT / SOURCES / name for name in re.findall(r"proofs/(\w+\.sol)", json.dumps(edits))]
    content = b"".join(file.read_bytes() for file in sources) + (json.dumps(edits).encode() if edits else b"")
    return hashlib.sha256(content + p["function"].encode()).hexdigest()[:16]


def project_of(p: Property) -> Path:
    """A built project with the sources that a property is proved of: these, or a copy under its specifications."""
    edits = edits_of(p)
    project = plant(*edits, copy=ASSUMED, tests=[Path(test_of(p)).name]) if edits else ROOT / FORGE
    build(project)
    return project


def build(project: Path) -> None:
    """As halmos does, so that it finds everything built."""
    command = ["forge", "build", "--ast", "--root", str(project), "--extra-output", "storageLayout", "metadata"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the proofs do not compile\n{done.stdout[-3_000:]}{done.stderr[-3_000:]}")


def prove(p: Property, project: Path) -> tuple[str, float]:
    """Result of one property and the seconds it took, the build left out."""
    if p["function"].startswith("test"):
        return run_by_forge(p, project)
    command = [
        "halmos", "--root", ".", "--forge-build-out", "../../../build/forge-proofs", "--contract", p["contract"],
        "--function", f"{p['function']}\\b", "--loop", "40", "--panic-error-codes", PANICS, "--solver-threads", "1",
        "--no-status", "--early-exit", "--solver-timeout-branching", "50ms",
        "--solver-timeout-assertion", f"{SECONDS_A_QUERY}s",
        "--solver-command", f"{sys.executable} {Path(__file__).parent / 'solve.py'}",
    ]  # fmt: skip
    started = time.monotonic()
    try:
        text = run(command, project)
    except subprocess.TimeoutExpired:
        return "time-out", time.monotonic() - started
    text = re.sub(r"\x1b\[\d+m", "", text)
    found = re.findall(rf"\[(PASS|FAIL|TIMEOUT|ERROR)\] {p['function']}\(.*?time: ([\d.]+)s", text)
    if len(found) != 1:
        raise SystemExit(f"{p['contract']}.{p['function']}: no result from halmos\n{text[-3_000:]}")
    return RESULTS.get(found[0][0], "error"), float(found[0][1])


def run_by_forge(p: Property, project: Path) -> tuple[str, float]:
    """A property that forge tries: `test_` for every parameter there is, `testFuzz_` at random, always the same."""
    function = p["function"]
    command = ["forge", "test", "--root", str(project), "--match-test", rf"^{function}\(", test_of(p)]
    env = environment() | {"FOUNDRY_FUZZ_RUNS": str(RANDOM_CASES), "FOUNDRY_FUZZ_SEED": "0x1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if not re.search(rf"\[(PASS|FAIL)[^\n]* {function}\(", done.stdout):
        raise SystemExit(f"{function}: no result from forge\n{done.stdout[-3_000:]}{done.stderr[-3_000:]}")
    amount, unit = re.findall(r"finished in ([\d.]+)(s|ms|µs)", done.stdout)[-1]
    seconds = float(amount) / {"s": 1, "ms": 1e3, "µs": 1e6}[unit]
    passed = "held" if function.startswith("testFuzz_") else "proved"
    return (passed if "[PASS]" in done.stdout else "counter-example"), round(seconds, 2)


def planted(chosen: list[Property], minutes: float) -> list[dict[str, object]]:
    """What becomes of each property under its bug; what was tried of the same sources and bug is not tried again."""
    end = time.monotonic() + 60 * minutes
    kept = json.loads(KEPT_PLANTED.read_text()) if KEPT_PLANTED.exists() else {}
    keys = {p["function"]: digest(p) + json.dumps(BUGS.get(p["mutant"])) for p in chosen}
    rows: list[dict[str, object]] = []
    for p in (p for p in chosen if p["mutant"] in BUGS):
        key = hashlib.sha256(keys[p["function"]].encode()).hexdigest()[:16]
        if kept.get(key, {}).get("result") != "counter-example":
            if time.monotonic() > end:
                continue
            project = plant(BUGS[p["mutant"]], *edits_of(p), tests=[Path(test_of(p)).name])
            build(project)
            result, seconds = prove(p, project)
            kept[key] = {"result": result, "seconds": seconds}
            KEPT_PLANTED.write_text(json.dumps(kept, indent=1) + "\n")
            print(f"{result:16} {seconds:6.1f} s  {p['function']}, planted: {p['mutant']}", flush=True)
        rows.append({"function": p["function"], "bug": p["mutant"], **kept[key]})
    return rows


def proofs(chosen: list[Property], minutes: float) -> list[dict[str, object]]:
    """Results of these properties, those that are kept among them; none is begun when the time is up."""
    end = time.monotonic() + 60 * minutes
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    keys = {p["function"]: digest(p) for p in chosen}  # now: a long run may see later changes
    due = [p for p in chosen if kept.get(keys[p["function"]], {}).get("result") not in GOOD]
    built: tuple[object, ...] = ()
    for p in due:
        if time.monotonic() > end:
            break
        needs = (p.get("under"), p.get("under") and test_of(p))
        if needs != built:
            project, built = project_of(p), needs
        result, seconds = prove(p, project)
        kept[keys[p["function"]]] = {"result": result, "seconds": seconds}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"{result:16} {seconds:6.1f} s  {p['function']}", flush=True)
    untried = {"result": "open", "seconds": 0}
    rows = [{**p, **kept.get(keys[p["function"]], untried)} for p in chosen]
    done = {p["function"] for p in PROPERTIES if kept.get(digest(p), untried)["result"] == "proved"}
    for row in rows:
        if row["result"] == "proved" and not grounds(row) <= done:
            row["result"] = "conditional"  # on what is not proved itself
    return rows


def cells(r: dict[str, Any]) -> list[str]:
    under = "; ".join(r.get("under", []))
    return [r["statement"], r["width"], r["result"], f"{r['seconds']:.0f}", under, r["mutant"]]


def chain() -> str:
    """Table of the specifications: what each replaces, and what proves it."""
    statement = {p["function"]: p["statement"] for p in PROPERTIES}
    rows = ["| specification | in the place of | proved by |", "|---|---|---|"]
    for name, s in SPECIFICATIONS.items():
        code = ", ".join(f"`{first_line(edit['find'])}`" for edit in s["edits"])
        rows.append(f"| {name} | {code} | {'<br>'.join(statement[f] for f in s['proved_by'])} |")
    return "\n".join(rows)


def first_line(code: str) -> str:
    return code.strip().splitlines()[0].strip(" ;")


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Rows into their file, and the page of both files again."""
    path.write_text(json.dumps(rows, indent=1) + "\n")
    proved, bugs = (json.loads(p.read_text()) if p.exists() else [] for p in (PROOFS, PLANTED))
    named = {(p["function"], p["mutant"]) for p in PROPERTIES}
    bugs = [r for r in bugs if (r["function"], r["bug"]) in named]
    table = "\n".join(f"| {' | '.join(cells(r))} |" for r in proved)
    text = (Path(__file__).parent / "page.md").read_text().format(
        table=table, specifications=chain(), proved=sum(r["result"] == "proved" for r in proved), count=len(proved),
        conditional=sum(r["result"] == "conditional" for r in proved),
        held=sum(r["result"] == "held" for r in proved), cases=RANDOM_CASES,
        seconds=sum(r["seconds"] for r in proved), a_query=SECONDS_A_QUERY, a_property=SECONDS_A_PROPERTY,
        failed=sum(r["result"] == "counter-example" for r in bugs), tried=len(bugs),
        named=sum(p["mutant"] in BUGS for p in PROPERTIES),
    )  # fmt: skip
    PROOFS.with_suffix(".md").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    for p in PROPERTIES:
        grounds(p)  # an error if what it relies on is missing, or is itself
    chosen = [p for p in PROPERTIES if options.only in f"{p['contract']}.{p['function']}"]
    if options.planted:
        rows = planted(chosen, options.minutes)
        if not options.only:
            write(PLANTED, rows)
        named = sum(p["mutant"] in BUGS for p in chosen)  # a property that was not tried is not a success
        sys.exit(len(rows) < named or any(r["result"] != "counter-example" for r in rows))
    rows = proofs(chosen, options.minutes)
    if options.check:
        sys.exit(any(r["result"] not in GOOD for r in rows))
    if not options.only:
        write(PROOFS, rows)
    sys.exit(any(r["result"] not in GOOD for r in rows))


if __name__ == "__main__":
    main()
