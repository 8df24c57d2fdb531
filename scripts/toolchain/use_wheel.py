"""What an integrator does with the plain wheel; `check_wheel.py` runs it in an environment that holds nothing else.

Usage: python use_wheel.py ANVIL. Works in the current folder.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pdfed_sdk
import pdfed_sdk.chain
from pdfed_sdk import PdfedClient
from pdfed_sdk.chain.deploy import create_task, deploy_factory, task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import ModelDigests, Role

NOT_NEEDED = ("torch", "brownie", "diffusers", "solcx", "pytest")
TOLD = ("pdfed-sdk", "web3", "eth-abi", "eth-account", "eth-utils", "hexbytes", "cryptography", "typer", "rich")
ANVILS_FIRST_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def import_everything() -> None:
    found = [name for name in NOT_NEEDED if importlib.util.find_spec(name)]
    assert not found, f"the plain wheel pulled in {found}"
    assert "site-packages" in str(pdfed_sdk.__file__), pdfed_sdk.__file__
    for module in pkgutil.iter_modules(pdfed_sdk.chain.__path__, "pdfed_sdk.chain."):
        importlib.import_module(module.name)
    print("imported:", ", ".join(f"{name} {metadata.version(name)}" for name in TOLD))


def use_a_chain(url: str) -> None:
    signer = LocalSigner.from_key(ANVILS_FIRST_KEY)
    manifest = deploy_factory(url, signer, token=True, folder=Path("deployments"))
    params = task_params(manifest.token, signer.address)
    genesis = ModelDigests(b"\1" * 32, 0x55, b"\2" * 32, b"\3" * 32)
    task = create_task(url, signer, params, genesis, manifest=manifest)
    client = PdfedClient.connect(url, task=task.registry, signer=signer, state=Path("state"))
    client.mint(signer.address, 10 * params.min_stake)
    client.register(Role.TRAINER)
    client.deposit(params.min_stake)
    seen = [type(event).__name__ for event in client.events.replay(from_block=0)]
    assert "NodeRegistered" in seen, seen
    assert "Deposited" in seen, seen
    print("on chain: factory", manifest.factory, "task", task.registry, "events", " ".join(seen))


def main(anvil: str) -> None:
    import_everything()
    with subprocess.Popen([anvil, "--port", "0"], stdout=subprocess.PIPE, text=True) as chain:
        try:
            assert chain.stdout
            port = next(found[1] for line in chain.stdout if (found := re.search(r"Listening on \S+:(\d+)", line)))
            use_a_chain(f"http://127.0.0.1:{port}")
        finally:
            chain.terminate()
    print("wheel ok")


if __name__ == "__main__":
    main(sys.argv[1])
