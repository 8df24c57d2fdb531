"""Build the wheel, install it alone into a fresh environment with the newest libraries, and use it on a local chain.

This is what an integrator gets: no torch, no brownie, no compiler, and whatever web3 and eth-abi are newest today.
Run it as `make test-wheel`; it needs pip's registry and takes about a minute.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
SHIPPED = ("pdfed_sdk", "pyproject.toml", "README.md", "LICENSE")


def build(folder: Path) -> Path:
    """The wheel of the working tree, built from a copy: setuptools writes into build/, where the artefacts are."""
    source = folder / "source"
    source.mkdir()
    for origin in (ROOT / name for name in SHIPPED):
        if origin.is_dir():
            shutil.copytree(origin, source / origin.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(origin, source)
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True)
    return next(folder.glob("pdfed_sdk-*.whl"))


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pdfed-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        print(f"built: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        venv.create(folder / "plain", with_pip=True)
        python = str(folder / "plain" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "--quiet", "install", str(wheel)], check=True)
        program = shutil.copy2(Path(__file__).with_name("use_wheel.py"), folder)
        return subprocess.run([python, program, str(ANVIL)], cwd=folder, timeout=120).returncode


if __name__ == "__main__":
    sys.exit(main())
