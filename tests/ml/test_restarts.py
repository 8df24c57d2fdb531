"""Looking for memorised pictures: seeded, spread over classes, drawn to where copies were found."""

from __future__ import annotations

import pytest
import torch

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.restarts import hunt, restarted

SEED = bytes(range(32))


def test_a_hunt_goes_where_copies_were_found_and_is_seeded():
    model = new_model(ModelConfig(widths=(8, 16), size=8), 1)
    asked = []

    def copied(images):
        asked.append(images)
        return torch.arange(len(images)) % 10 == 3 if len(asked) == 1 else torch.zeros(len(images), dtype=torch.bool)

    images, labels, found = hunt(model, 240, SEED, copied)
    assert images.shape == (240, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert images.equal(torch.cat(asked))
    assert labels[:60].bincount().tolist() == [6] * 10
    rest = labels[60:].bincount(minlength=10)
    assert rest[3] > 2 * rest.sum() / 10  # seven shares of sixteen
    assert int(found.sum()) == 6
    asked.clear()
    again = hunt(model, 240, SEED, copied)
    assert images.equal(again[0])
    assert labels.equal(again[1])
    with pytest.raises(DataError, match="n is 3, at least 8"):
        hunt(model, 3, SEED, copied)


def test_a_restart_draws_a_sample_to_what_the_network_knows():
    """A network that knows one picture: from noise and from anywhere, the picture comes back."""
    config = ModelConfig(widths=(8, 16), size=8, prediction="sample")
    model = new_model(config)
    known = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, state, time, class_labels=None, return_dict=True):
            return (known.expand(len(state), -1, -1, -1),)

    object.__setattr__(model, "network", Knows())
    images = restarted(model, torch.arange(5), SEED)
    assert (images.int() - known.add(1).mul(127.5).round().int()).abs().max() <= 1
