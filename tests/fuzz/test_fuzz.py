"""A share of `make test-fuzz`, with a seed of its own."""

from __future__ import annotations

import json

import pytest

from pdfed_sdk.errors import MlError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model, save_pipeline
from tests.support.fuzzing import SHARES, run


def test_what_strangers_send_is_accepted_or_refused_and_nothing_else():
    outcomes = run(400, seed=11)
    assert set(outcomes) == set(SHARES)
    for name, counts in outcomes.items():
        assert sum(counts.values()) > 20, name
        refused = sum(counts.values()) - counts["accepted"]
        assert (refused > 0) == (name != "home_notes"), f"{name}: a home's notes are left out, all else is refused"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("unet/config.json", '"sample_size": 1e999'),
        ("unet/config.json", '"in_channels": 1e999'),
        ("scheduler/scheduler_config.json", '"prediction_type": true'),
        ("scheduler/scheduler_config.json", '"num_train_timesteps": 1e999'),
        ("scheduler/scheduler_config.json", '"beta_schedule": "unheard of"'),
    ],
)
def test_configurations_that_once_escaped_are_the_models_fault(tmp_path, file, text):
    folder = save_pipeline(new_model(ModelConfig(widths=(8, 16))), tmp_path / "model")
    values = json.loads((folder / file).read_text())
    name = json.loads("{" + text.replace("1e999", "1") + "}").popitem()[0]
    assert name in values
    del values[name]
    (folder / file).write_text(json.dumps(values)[:-1] + f", {text}}}")
    with pytest.raises(MlError):
        load_model(folder)
