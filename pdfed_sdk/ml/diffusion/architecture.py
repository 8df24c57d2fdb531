"""The architecture of a class-conditional DDPM: its size, its schedule, and every option of diffusers' UNet2DModel that
the loader understands."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from diffusers import UNet2DModel

from pdfed_sdk.errors import MlError

Allowed = Callable[[Any], bool]
MOST_TOKENS = 64 * 64
"""Pixels of a level that may attend to one another; the cost grows with their square."""


def _whole(least: int, most: int) -> Allowed:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float) -> Allowed:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _among(*values: Any) -> Allowed:
    return lambda value: any(type(value) is type(one) and value == one for one in values)


OPTIONS: Final[dict[str, tuple[Any, Allowed]]] = {
    "norm_num_groups": (8, _whole(1, 64)),
    "attention_head_dim": (8, lambda value: value is None or _whole(1, 1024)(value)),
    "add_attention": (True, _among(True, False)),
    "act_fn": ("silu", _among("silu", "swish", "mish", "gelu", "relu")),
    "norm_eps": (1e-5, _number(1e-12, 1)),
    "dropout": (0.0, _number(0, 0.9)),
    "mid_block_scale_factor": (1, _number(1e-3, 1e3)),
    "downsample_padding": (1, _whole(0, 1)),
    "downsample_type": ("conv", _among("conv", "resnet")),
    "upsample_type": ("conv", _among("conv", "resnet")),
    "resnet_time_scale_shift": ("default", _among("default", "scale_shift")),
    "center_input_sample": (False, _among(True, False)),
    "flip_sin_to_cos": (True, _among(True, False)),
    "freq_shift": (0, _whole(0, 1)),
}
"""Arguments of UNet2DModel beyond those with a field of their own: what this SDK's networks have, and what may be."""

UNSAID: Final[dict[str, Any]] = {
    name: parameter.default for name, parameter in inspect.signature(UNet2DModel.__init__).parameters.items()
}
"""What diffusers takes for an argument that a configuration does not name."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and noise schedule. ``classes`` 0 means unconditional; with label dropout one extra embedding,
    the last, stands for "no label". ``attention`` names the levels, 0 the finest, whose blocks attend. ``unet`` holds
    options of diffusers' UNet2DModel that are not as `OPTIONS` has them, as (name, value), by name. The default has
    0.165 M parameters and trains 570 pictures a core-second."""

    size: int = 16
    channels: int = 1
    classes: int = 10
    widths: tuple[int, ...] = (16, 32)
    layers: int = 1
    timesteps: int = 1000
    schedule: str = "squaredcos_cap_v2"
    prediction: str = "v_prediction"
    attention: tuple[int, ...] = ()
    unet: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        steps = len(self.widths) - 1
        if not 4 <= self.size <= 1024 or self.size % (1 << steps):
            raise MlError(f"size is {self.size}, expected 4 to 1024 and a multiple of {1 << steps}")
        if self.channels not in (1, 3) or not 0 <= self.classes <= 10_000:
            raise MlError(f"channels is {self.channels} and classes {self.classes}, expected 1 or 3 and 0 to 10000")
        if not 1 <= len(self.widths) <= 6 or any(w % 8 or not 8 <= w <= 1024 for w in self.widths):
            raise MlError(f"widths is {self.widths}, expected 1 to 6 multiples of 8 up to 1024")
        if not 1 <= self.layers <= 4 or not 1 <= self.timesteps <= 10_000:
            raise MlError(f"layers is {self.layers} and timesteps {self.timesteps}, limits 4 and 10000")
        self._check_attention()
        self._check_options()

    def _check_attention(self) -> None:
        levels = range(len(self.widths))
        if any(level not in levels for level in self.attention) or list(self.attention) != sorted({*self.attention}):
            raise MlError(f"attention is {self.attention}, expected levels of 0 to {levels[-1]} in order")
        for level in self.attention:
            side = self.size >> level
            if side * side > MOST_TOKENS:
                raise MlError(
                    f"attention at level {level} is over {side} px, limit {int(MOST_TOKENS**0.5)}",
                    hint="let only deeper levels attend",
                )

    def _check_options(self) -> None:
        names = [name for name, _ in self.unet]
        if names != sorted(set(names)):
            raise MlError(f"the options {', '.join(names)} of the network are not in order, each once")
        for name, value in self.unet:
            default, allowed = OPTIONS.get(name, (None, lambda _value: False))
            if not allowed(value) or value == default:
                raise MlError(f"option {name} of the network is {value!r}, which is not among those known")
        asked = {name: value for name, (value, _) in OPTIONS.items()} | dict(self.unet)
        groups, head = asked["norm_num_groups"], asked["attention_head_dim"]
        if any(width % groups for width in self.widths):
            raise MlError(f"widths is {self.widths}, expected multiples of norm_num_groups, {groups}")
        attend = [self.widths[level] for level in self.attention] + [self.widths[-1]] * bool(asked["add_attention"])
        if head and any(width % head for width in attend):
            raise MlError(f"widths {attend} attend, expected multiples of attention_head_dim, {head}")

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ModelConfig:
        """Inverse of `to_json`; unknown keys are refused."""
        values = json.loads(text)
        unknown = set(values) - {f.name for f in fields(ModelConfig)}
        if unknown:
            raise MlError(f"unknown key in a model configuration: {', '.join(sorted(unknown))}")
        lists = {"widths": (16, 32), "attention": (), "unet": ()}
        found = {name: tuple(values.get(name, default)) for name, default in lists.items()}
        return ModelConfig(**{**values, **found, "unet": tuple((name, value) for name, value in found["unet"])})


def unet_arguments(config: ModelConfig) -> dict[str, Any]:
    """What UNet2DModel is made with."""
    levels = len(config.widths)
    attends = ["Attn" if level in config.attention else "" for level in range(levels)]
    return {
        "sample_size": config.size,
        "in_channels": config.channels,
        "out_channels": config.channels,
        "block_out_channels": list(config.widths),
        "layers_per_block": config.layers,
        "down_block_types": [f"{attend}DownBlock2D" for attend in attends],
        "up_block_types": [f"{attend}UpBlock2D" for attend in reversed(attends)],
        "num_class_embeds": config.classes + 1 if config.classes else None,
        **{name: value for name, (value, _) in OPTIONS.items()},
        **dict(config.unet),
    }


def unet_fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ModelConfig that unet/config.json says. KeyError, TypeError or ValueError for what it cannot be;
    MlError for an argument of UNet2DModel that no field stands for and that is not as diffusers has it."""
    said = {name: default for name, default in UNSAID.items() if name not in ("self", "sample_size")} | dict(found)
    embeddings, blocks = said["num_class_embeds"], said["down_block_types"]
    config: dict[str, Any] = {
        "size": int(said["sample_size"]),
        "channels": int(said["in_channels"]),
        "classes": int(embeddings) - 1 if embeddings else 0,
        "widths": tuple(int(width) for width in said["block_out_channels"]),
        "layers": int(said["layers_per_block"]),
        "attention": tuple(level for level, block in enumerate(blocks) if block == "AttnDownBlock2D"),
        "unet": tuple(sorted((name, said[name]) for name, (own, _) in OPTIONS.items() if said[name] != own)),
    }
    shown = unet_arguments(ModelConfig(**config))
    for name, value in shown.items():
        if (list(said[name]) if isinstance(said[name], tuple) else said[name]) != value:
            raise MlError(f"configuration key {name} is {said[name]!r}, expected {value!r}")
    for name, default in UNSAID.items():
        if name not in shown and said.get(name, default) != default:
            raise MlError(f"configuration key {name} is {said[name]!r}, expected {default!r}")
    return config
