"""Runs ``pdfed`` in this process, as a user without a terminal would."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from pdfed_sdk.cli import main
from tests.support.node_world import World

PASSWORD = "correct horse battery staple"

RECEIPT = {"sent", "due", "tx_hash", "block", "gas_used", "events"}
"""Keys of a receipt in JSON."""


@dataclass
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    for name in ("PDFED_PASSWORD", "PDFED_TASK", "PDFED_RPC", "PDFED_KEYSTORE", "PDFED_STORE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["pdfed", *map(str, arguments)])
        handlers = list(logging.getLogger().handlers)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for handler in set(logging.getLogger().handlers) - set(handlers):
                logging.getLogger().removeHandler(handler)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


def keystore_of(world: World, index: int, folder: Path) -> Path:
    """A keystore of a node's key that opens quickly (few rounds; only for tests)."""
    key = world.signers[index]._account.key  # type: ignore[attr-defined]
    path = folder / f"keystore{index}.json"
    path.write_text(json.dumps(Account.encrypt(key, PASSWORD, kdf="pbkdf2", iterations=2)))
    return path
