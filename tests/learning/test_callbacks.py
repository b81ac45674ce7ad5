"""Callbacks: which epoch's weights are kept, and by what a training stops."""

from types import SimpleNamespace

import pytest
import torch

from ferlab.learning.callbacks import BestWeights, make_early_stopping
from ferlab.learning.classifier import EmotionClassifier
from ferlab.networks.build import build_network
from ferlab.networks.specs import parse_network


@pytest.mark.parametrize("monitor", ["val/accuracy", "val/loss"])
def test_of_equal_epochs_the_weights_of_the_first_are_kept(monitor):
    module = EmotionClassifier(build_network(parse_network(["flatten"])))
    best = BestWeights(monitor)
    trainer = SimpleNamespace(enable_validation=True, callback_metrics={monitor: torch.tensor(0.5)})
    for epoch in range(2):
        module.network.output.bias.data.fill_(epoch)
        best.on_validation_epoch_end(trainer, module)
        best.on_train_epoch_end(trainer, module)
    best.restore(module)
    assert not module.network.output.bias.any()


def test_early_stopping_waits_for_more_accuracy_or_less_loss():
    for monitor, mode in (("val/accuracy", "max"), ("val/loss", "min")):
        stopping = make_early_stopping(monitor, 3)
        assert (stopping.mode, stopping.patience) == (mode, 3)
