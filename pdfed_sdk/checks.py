"""The outcome of one check, as deployment scripts and the audit report it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One statement that was checked."""

    name: str
    ok: bool
    detail: str = ""
