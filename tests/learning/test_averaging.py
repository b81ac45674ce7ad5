"""Averaged weights: what they come to, and that no step waits for the device to make them."""

from types import SimpleNamespace

import lightning as L
import torch
from torch import nn

from ferlab.learning.averaging import AveragedWeights


class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def on(device, step=0):
    return SimpleNamespace(strategy=SimpleNamespace(root_device=device), global_step=step)


def step(average, module, number):
    average.on_train_batch_end(on(None, number), module, None, None, number - 1)


def values(module):
    return torch.cat([value.double().flatten() for value in module.state_dict().values()])


def test_the_average_forgets_by_its_decay_and_begins_with_the_first_step():
    module = Module()
    average = AveragedWeights(decay=0.75)
    average.setup(on(torch.device("cpu")), module, "fit")
    expected = None
    for number in range(1, 6):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_()
        module.network(torch.rand(4, 3))  # moves the statistics
        step(average, module, number)
        now = values(module)
        expected = now if expected is None else 0.75 * expected + 0.25 * now
        expected[-1] = now[-1]  # the batches that were counted are no average
        torch.testing.assert_close(values(average._average_model.module), expected)


def test_a_batch_without_a_step_of_the_optimizer_does_not_count():
    module = Module()
    average = AveragedWeights(decay=0.5)
    average.setup(on(torch.device("cpu")), module, "fit")
    step(average, module, 1)
    before = values(average._average_model.module)
    nn.init.ones_(module.network[0].weight)
    step(average, module, 1)
    assert torch.equal(values(average._average_model.module), before)


def test_the_average_lies_where_the_network_computes_and_no_step_asks_for_a_value():
    module = Module()
    average = AveragedWeights(decay=0.9)
    average.setup(on(torch.device("meta")), module, "fit")
    module.to("meta")  # has no values: whoever asks for one fails
    for number in (1, 2):
        step(average, module, number)
    assert {value.device.type for value in average._average_model.module.parameters()} == {"meta"}
