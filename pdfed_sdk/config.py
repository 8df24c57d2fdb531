"""``pdfed.toml`` of a node: what may be set, its default, and a clear refusal of anything else."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdfed_sdk.errors import ConfigError, UsageError
from pdfed_sdk.files import in_bytes
from pdfed_sdk.ml.scoring.gate import DEFAULT_CEILING
from pdfed_sdk.types import Role

ROLES = {"trainer": Role.TRAINER, "validator": Role.VALIDATOR, "both": Role.TRAINER | Role.VALIDATOR}
"""What ``[node] role`` may be."""


@dataclass(frozen=True, slots=True)
class ChainSection:
    """``task`` is the registry's address; ``password_file`` opens the keystore where no one can type; ``from_block`` is
    where the task began (0 reads the whole chain). ``confirmations``: how deep a block must be before the node
    publishes, commits or reveals because of it (0: by the profile, 1 or 12)."""

    rpc: str = "http://127.0.0.1:8545"
    task: str = ""
    keystore: str = "keystore.json"
    password_file: str = ""
    from_block: int = 0
    confirmations: int = 0


@dataclass(frozen=True, slots=True)
class StoreSection:
    """``uri`` of the store, as `open_store` takes it; a relative folder lies in the node's home."""

    uri: str = "local:store"


@dataclass(frozen=True, slots=True)
class RelaySection:
    """``url`` of a relay that opens this node's votes when it is down ("": none), and its public ``key``."""

    url: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class NodeSection:
    """``role``: "trainer", "validator" or "both". ``base``: folder of the base pipeline, for tasks whose models are
    adapters. ``stake`` and ``max_fee``, the highest scoring fee
    to reserve for, in whole tokens (0: four times the base fee). ``poll`` in seconds. ``pace``: share of
    the time training may use. ``gate_ceiling``: most that copying may multiply a candidate's objective by.
    ``fit``: pictures that are not square are brought to the task's size by "pad" or "crop". ``unknown_classes``:
    "refuse" or "ignore" pictures of classes that the task's card does not name. ``rehearse``: measure at each start how
    long one scoring takes here, and say if the task's windows are too short for it. ``metrics``: "HOST:PORT" on which
    figures for Prometheus are served ("": not at all); they need the extra ``watch``. ``quota``: most that the models
    unpacked in the home may take, as in "8GB".
    """

    role: str = "validator"
    data: str = "data"
    base: str = ""
    fit: str = "pad"
    unknown_classes: str = "refuse"
    stake: float = 0.0
    max_fee: float = 0.0
    poll: float = 0.7
    pace: float = 1.0
    gate: bool = True
    gate_ceiling: float = DEFAULT_CEILING
    threads: int = 1
    device: str = "cpu"
    until_closed: bool = False
    rehearse: bool = True
    metrics: str = ""
    quota: str = "8GB"


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """``only``: train on the split's first so many shared pictures instead of all (0: all). ``dedup``: at most this
    share of the training pictures, the most copied by models that were scored, is left out (0: none). ``withdrawn``: a
    signed list of pictures that are no longer trained on (`node.withdrawal`). ``stop``: end a training when the loss on
    the held-out pictures rises, and take the weights of its lowest point. ``weigh``: average several parents with the
    shares that have the lowest loss on them, instead of the strategy's. ``ambient``: share of the noise schedule in
    which clean pictures are seen (0: all of it). ``time_spread``: how far the times of steps spread from the middle of
    the schedule (0: evenly over it). ``label_dropout``: share of the captions left out in training, which guidance
    needs."""

    batch: int = 32
    lr: float = 3e-3
    ema: float = 0.99
    only: int = 0
    dedup: float = 0.05
    withdrawn: str = ""
    stop: bool = True
    weigh: bool = True
    ambient: float = 0.0
    time_spread: float = 0.0
    label_dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class PartsSection:
    """Dotted paths of what makes a node's own parts; their signatures are those of the defaults."""

    dataset: str = "pdfed_sdk.node.picture_parts:load_split"
    evaluator: str = "pdfed_sdk.node.picture_parts:make_evaluator"
    trainer: str = "pdfed_sdk.node.picture_parts:make_trainer"


@dataclass(frozen=True, slots=True)
class StrategySection:
    """``class_`` (``class`` in the file) is a dotted path "package.module:Class"; the rest are its arguments."""

    class_: str = "pdfed_sdk.node.strategy:TrainFromBest"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    chain: ChainSection = field(default_factory=ChainSection)
    store: StoreSection = field(default_factory=StoreSection)
    node: NodeSection = field(default_factory=NodeSection)
    relay: RelaySection = field(default_factory=RelaySection)
    training: TrainingSection = field(default_factory=TrainingSection)
    parts: PartsSection = field(default_factory=PartsSection)
    strategy: StrategySection = field(default_factory=StrategySection)


def _section(cls: type[Any], name: str, given: Any, path: Path) -> Any:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: [{name}] is not a table", hint=f"write [{name}] and its settings below it")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key, value in given.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            meant = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(fields)}"
            raise ConfigError(f'{path}: unknown setting "{key}" in [{name}]', hint=meant)
        default = getattr(cls(), key)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ConfigError(
                f"{path}: [{name}] {key} is {value!r}, not of type {type(default).__name__}",
                hint=f"its default is {default!r}",
            )
    return cls(**given)


def load_config(path: Path) -> NodeConfig:
    """Read ``pdfed.toml``. Raises ConfigError naming the file, the setting and what was meant."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {why}", hint="make one with: pdfed node init") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="correct the line it names") from error
    strategy = raw.pop("strategy", {})
    if not isinstance(strategy, dict):
        raise ConfigError(f"{path}: [strategy] is not a table", hint="write [strategy] and its settings below it")
    sections = {
        "chain": ChainSection,
        "store": StoreSection,
        "node": NodeSection,
        "relay": RelaySection,
        "training": TrainingSection,
        "parts": PartsSection,
    }
    for name in raw:
        if name not in sections:
            raise ConfigError(f"{path}: unknown section [{name}]", hint=f"known: {', '.join(sections)}, strategy")
    built = {name: _section(cls, name, raw.get(name, {}), path) for name, cls in sections.items()}
    chosen = StrategySection(
        class_=strategy.pop("class", StrategySection().class_),
        options=strategy,
    )
    config = NodeConfig(strategy=chosen, **built)
    _check(config, path)
    return config


def _check(config: NodeConfig, path: Path) -> None:
    """Values out of bounds, in the file's words."""
    node, training = config.node, config.training
    limits: list[tuple[str, float, float, float]] = [
        ("[chain] from_block", config.chain.from_block, 0, float("inf")),
        ("[chain] confirmations", config.chain.confirmations, 0, 256),
        ("[node] stake", node.stake, 0, float("inf")),
        ("[node] max_fee", node.max_fee, 0, float("inf")),
        ("[node] poll", node.poll, 0.01, 3600),
        ("[node] pace", node.pace, 0.01, 1),
        ("[node] gate_ceiling", node.gate_ceiling, 0, float("inf")),
        ("[node] threads", node.threads, 1, 1024),
        ("[training] batch", training.batch, 1, 1 << 20),
        ("[training] lr", training.lr, 1e-9, 1),
        ("[training] ema", training.ema, 0, 1),
        ("[training] dedup", training.dedup, 0, 1),
        ("[training] ambient", training.ambient, 0, 0.99),
        ("[training] time_spread", training.time_spread, 0, 4),
        ("[training] label_dropout", training.label_dropout, 0, 0.99),
        ("[training] only", training.only, 0, float("inf")),
    ]
    for name, value, least, most in limits:
        if not least <= value <= most:
            bound = f"at least {least:g}" if most == float("inf") else f"within {least:g} … {most:g}"
            raise ConfigError(f"{path}: {name} is {value}, not {bound}", hint="docs/node.md says what it means")
    if training.only and training.withdrawn:
        raise ConfigError(
            f"{path}: [training] only and withdrawn are both set; only leaves no picture out",
            hint="train on all pictures but the withdrawn ones: remove only",
        )
    if node.role not in ROLES:
        raise ConfigError(f'{path}: [node] role is "{node.role}"', hint=f"use one of {', '.join(ROLES)}")
    try:
        in_bytes(node.quota)
    except UsageError as error:
        raise ConfigError(f"{path}: [node] quota: {error.message}", hint=error.hint) from error
    words = {"fit": (node.fit, ("pad", "crop")), "unknown_classes": (node.unknown_classes, ("refuse", "ignore"))}
    for name, (chosen, known) in words.items():
        if chosen not in known:
            raise ConfigError(f'{path}: [node] {name} is "{chosen}"', hint=f"use one of {', '.join(known)}")
    if not isinstance(config.strategy.class_, str):
        raise ConfigError(
            f"{path}: [strategy] class is {config.strategy.class_!r}", hint='write "package.module:Class"'
        )


def load_class(dotted: str) -> Any:
    """The class behind "package.module:Class"."""
    module, _, name = dotted.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a strategy in the folder the node is started from
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f'cannot load "{dotted}": {error}', hint='a dotted path looks like "package.module:Class"'
        ) from error
