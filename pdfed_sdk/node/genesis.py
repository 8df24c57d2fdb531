"""The first model of a task: barely trained on public pictures, so that everything descends from one known package."""

from __future__ import annotations

import json
from pathlib import Path

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import BuiltPackage, build_package
from pdfed_sdk.ml.data import partition
from pdfed_sdk.ml.diffusion.model import ModelConfig, save_pipeline
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.scoring.scorer import ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.types import Address


def write_task_card(path: Path, settings: ScoringSettings, title: str = "") -> Path:
    """The card of a task: JSON whose digest goes on chain. Its "scoring" part freezes how everybody scores."""
    card = {"title": title, "scoring": json.loads(settings.to_json()), "model": "genesis"}
    path.write_text(json.dumps(card, indent=1, sort_keys=True), encoding="utf-8")
    return path


def make_genesis(
    folder: Path, *, data: str, size: int, pictures: int, identity: SigningIdentity, wallet: Address, seed: int = 0
) -> BuiltPackage:
    """Train on the public part of ``data`` and save ``folder/model`` and the signed ``folder/package.zip``."""
    public, _ = partition(load_pictures(data, size=size))
    config = ModelConfig(size=size, channels=public.channels, classes=len(public.classes))
    result = train(TrainConfig(pictures=pictures, seed=seed), public, model=config)
    save_pipeline(result.model, folder / "model")
    write_card(folder / "model", title="genesis", wallet=wallet, facts=result.facts.to_dict())
    return build_package(
        folder / "model",
        folder / "package.zip",
        identity=identity,
        wallet=wallet,
        training=result.facts.to_dict(),
        title="genesis",
    )
