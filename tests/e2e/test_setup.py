"""The set-up tells what is missing: scripts/toolchain/check_versions.sh against made-up programs on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "scripts" / "toolchain" / "check_versions.sh"


@pytest.fixture
def machine(tmp_path: Path):
    """A PATH that holds only what the test puts there; call it with name="what the program prints"."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("df", "awk", "bash", "sh", "find", "make", "env"):
        real = shutil.which(tool)
        assert real
        (programs / tool).symlink_to(real)

    def run(command: list[str], cwd: Path = tmp_path, **printed: str) -> subprocess.CompletedProcess[str]:
        for name, text in printed.items():
            program = programs / name.replace("_", ".")
            program.unlink(missing_ok=True)  # never write through a link into the machine
            program.write_text(f"#!/bin/sh\necho '{text}'\n")
            program.chmod(0o755)
        env = {"PATH": str(programs)}
        return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=30)

    return run


def test_a_fitting_machine_prints_the_python_to_use(machine):
    done = machine([str(CHECK)], python3_11="3.11.7", python3="3.9.2", node="v20.1.0", npm="10.0.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "python3.11\n", "")


def test_a_newer_python_is_taken_when_3_11_is_absent(machine):
    done = machine([str(CHECK)], python3="3.13.1", node="v22.0.0", npm="10.0.0")
    assert (done.returncode, done.stdout) == (0, "python3\n")


def test_python_too_old(machine):
    done = machine([str(CHECK)], python3="3.9.2", node="v20.1.0", npm="10.0.0")
    assert done.returncode == 52
    assert "Python 3.11 or newer is needed; found python3 is 3.9.2." in done.stderr
    assert "next: install Python 3.11" in done.stderr
    assert done.stdout == ""


def test_node_too_old_and_no_python_are_told_together(machine):
    done = machine([str(CHECK)], node="v18.19.0", npm="9.2.0")
    assert done.returncode == 52
    assert "Python 3.11 or newer is needed; found none." in done.stderr
    assert "Node 20 or newer is needed; found v18.19.0." in done.stderr


def test_no_node(machine):
    done = machine([str(CHECK)], python3="3.11.2")
    assert done.returncode == 52
    assert "Node 20 or newer is needed; found none." in done.stderr


def test_no_npm(machine):
    done = machine([str(CHECK)], python3="3.11.2", node="v20.1.0")
    assert done.returncode == 52
    assert "npm is needed; found none beside Node v20.1.0." in done.stderr


def test_no_space(machine):
    table = "Filesystem 1048576-blocks Used Available Capacity Mounted\nx 100 90 10 90% /"
    done = machine([str(CHECK)], python3="3.11.2", node="v20.1.0", npm="10.0.0", df=table)
    assert done.returncode == 52
    assert "4000 MiB of free space are needed for the first set-up; found 10 MiB" in done.stderr


def test_make_setup_stops_with_the_same_message(machine, tmp_path: Path):
    checkout = tmp_path / "a folder with spaces"
    for name in ("Makefile", "pyproject.toml", ".ci/constraints.txt", "scripts/toolchain/check_versions.sh"):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    done = machine(["make", ".venv/.installed"], cwd=checkout, python3="3.8.10", node="v20.1.0", npm="10.0.0")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed; found python3 is 3.8.10." in done.stderr
    assert not (checkout / ".venv").exists()


def test_versions_are_checked_before_anything_is_installed():
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", "setup"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=True).stdout
    steps = [said.index(step) for step in ("check_versions.sh", "-m venv", "pip install", "npm ci", "compile.py")]
    assert steps == sorted(steps)
