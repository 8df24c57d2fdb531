"""What a task of adapters needs on a machine: its base, byte for byte, and captions that the base can read."""

from __future__ import annotations

from pathlib import Path

from pdfed_sdk.errors import ConfigError, MlError
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.lora.base_files import use_base
from pdfed_sdk.node.task_card import TaskCard


def check_base(card: TaskCard, home: Path, named: str, setting: str = "[node] base") -> None:
    """Let this process find the base that the card's adapters need in ``home / named``; ``setting`` is where a person
    names it. ConfigError: missing, or other bytes."""
    if card.adapter is None:
        return
    if not named:
        raise ConfigError(
            f"the task's adapters need the base {card.adapter.base}",
            hint=f"fetch it, and name its folder: {setting}",
        )
    try:
        found = use_base(home / named)
    except MlError as error:
        raise ConfigError(f"{setting}: {error.message}", hint=error.hint) from error
    if found != card.adapter.base:
        raise ConfigError(
            f"{setting} {named} has the digest {found}, the task's card says {card.adapter.base}",
            hint="fetch the very base that the card names; equal names are not equal bytes",
        )


def check_own_captions(card: TaskCard, split: NodeSplit) -> None:
    """Raises DataError naming a caption that the base cannot read: no candidate is to be blamed for it later."""
    if card.adapter is not None:
        from pdfed_sdk.ml.lora.prompts import check_captions

        check_captions(split.train, card.adapter)
