"""Golden curves: a refactoring that changes the mathematics of a training cannot pass unseen.

`make golden` writes them anew; do that only where the mathematics is meant to change, and say so.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ferlab.data.batches import Batch
from ferlab.emotions import EMOTIONS
from ferlab.files import write_json
from ferlab.instantiate import conf_folder, instantiate, plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.networks.build import LayeredNetwork, build_network
from ferlab.networks.specs import parse_model

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ("A", "B", "C", "D", "E", "F")
STEPS = 30
BATCH = 8  # fewer, and batch normalisation makes much of rounding
SIZE = 16  # pixels: the four poolings of E and F leave one

# Threads, instruction sets and torch versions were seen to change 1e-13 of a loss at most.
TOLERANCE = 1e-10  # relative


class FixedDropout(nn.Module):
    """Dropout with NumPy's masks: torch's are others on another processor or in another version."""

    def __init__(self, probability: float, random: np.random.Generator) -> None:
        super().__init__()
        self.kept = 1 - probability
        self.random = random

    def forward(self, inputs: Tensor) -> Tensor:
        mask = torch.from_numpy(self.random.random(tuple(inputs.shape)) < self.kept)
        return inputs * mask / self.kept


def shipped(name: str) -> DictConfig:
    """Return a file of `conf/` as it is, without a person's own `conf/local`."""
    config = OmegaConf.load(conf_folder() / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    return config


def fix_weights(network: LayeredNetwork, random: np.random.Generator) -> None:
    """Fill the network with NumPy's numbers, for the reason of FixedDropout."""
    for name, tensor in network.named_parameters():
        if tensor.ndim > 1:
            bound = math.sqrt(6 / tensor[0].numel())
            values = random.uniform(-bound, bound, tuple(tensor.shape))
        else:  # biases about 0, the scales of batch normalisation about 1
            offset = float("batch_norm.weight" in name)
            values = offset + random.uniform(-0.1, 0.1, tuple(tensor.shape))
        tensor.data.copy_(torch.from_numpy(values))
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, FixedDropout(child.p, random))


def curve(name: str) -> list[float]:
    """Return the losses of the first steps of a model's training, as the shipped `conf/` has it."""
    random = np.random.default_rng(3)  # a seed with which rounding does not grow
    network = build_network(
        parse_model({**plain(shipped(f"model/{name}")), "input_size": SIZE})
    ).double()
    fix_weights(network, random)
    classifier = EmotionClassifier(
        network,
        instantiate(shipped("optimizer/adam"), "optimizer"),
        loss=instantiate(shipped("loss/cross_entropy"), "loss"),
    ).double()
    optimizer = classifier.configure_optimizers()
    losses = []
    for step in range(STEPS):
        images = random.random((BATCH, 1, SIZE, SIZE))
        labels = random.integers(0, len(EMOTIONS), BATCH)
        batch = Batch(torch.from_numpy(images), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss = classifier.training_step(batch, step)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_the_first_steps_are_those_that_were_kept(name):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    assert curve(name) == pytest.approx(golden, rel=TOLERANCE, abs=0)


if __name__ == "__main__":
    for name in MODELS:
        write_json(GOLDEN / f"{name}.json", curve(name))
