"""Small pipeline folders as packages are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pdfed_sdk.family import CARD
from pdfed_sdk.ml.diffusion.ddpm import MODEL_INDEX, SCHEDULER_CONFIG, UNET_CONFIG, WEIGHTS

INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}
UNET = {"_class_name": "UNet2DModel", "block_out_channels": [2, 2], "layers_per_block": 1, "act_fn": "silu"}
SCHEDULER = {"_class_name": "DDPMScheduler", "beta_start": 0.0001, "num_train_timesteps": 1000, "trained_betas": None}


def weights(**tensors: np.ndarray) -> bytes:
    return safetensors.numpy.save(tensors or {"a": np.arange(64, dtype=np.float32), "b": np.ones((3, 4), np.float16)})


def parts(**changes: Any) -> dict[str, bytes]:
    """Files of a minimal good package; ``changes`` by file name replace one, None drops it."""
    files: dict[str, Any] = {
        MODEL_INDEX: INDEX,
        CARD: b"# A model\n",
        UNET_CONFIG: UNET,
        SCHEDULER_CONFIG: SCHEDULER,
        WEIGHTS: weights(),
    }
    files |= changes
    return {
        name: value if isinstance(value, bytes) else json.dumps(value).encode()
        for name, value in files.items()
        if value is not None
    }


def folder_of(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(value)
    return root
