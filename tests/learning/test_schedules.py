"""Schedules: what the learning rate is at each batch, and after a resume."""

import math

import pytest
import torch

from ferlab.checks import FerlabError
from ferlab.learning.schedules import Cosine, OneCycle, Plateau


def rates(schedule, steps, lr=0.1):
    """Return the learning rate of each batch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule.build(optimizer, steps, "max")
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_falls_from_the_optimizers_rate_to_the_smallest():
    found = rates(Cosine(min_lr=0.01), 101)
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * step / 101)) / 2 for step in range(101)]
    assert found == pytest.approx(expected)


def test_one_cycle_warms_up_then_falls():
    found = rates(OneCycle(warm_up=0.25, start=0.1, end=0.001), 101)
    assert found[0] == pytest.approx(0.01)
    assert max(found) == pytest.approx(0.1, rel=1e-3)
    assert found.index(max(found)) == pytest.approx(25, abs=1)
    assert found[-1] == pytest.approx(0.0001)
    assert all(a < b for a, b in zip(found[:24], found[1:25], strict=True))
    assert all(a > b for a, b in zip(found[26:-1], found[27:], strict=True))


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_one_cycle_fits_any_number_of_steps(steps):
    found = rates(OneCycle(warm_up=0.1, start=0.1, end=0.001), steps)
    assert all(0 < rate <= 0.1 for rate in found)
    assert found[-1] == pytest.approx(0.0001)


def test_plateau_waits_for_its_patience():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = Plateau(factor=0.5, patience=1, min_lr=0.3).build(optimizer, 100, "max")
    found = []
    for accuracy in (0.5, 0.4, 0.4, 0.4, 0.4, 0.4):
        scheduler.step(accuracy)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1.0, 1.0, 0.5, 0.5, 0.3, 0.3]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Plateau(factor=1.0, patience=1), "factor"),
        (lambda: Plateau(factor=0.5, patience=-1), "patience"),
        (lambda: Plateau(factor=0.5, patience=1, min_lr=-1), "min_lr"),
        (lambda: Plateau(factor=0.5, patience=1, threshold=-1), "threshold"),
        (lambda: Cosine(min_lr=-1), "min_lr"),
        (lambda: OneCycle(warm_up=0, start=0.1, end=0.1), "warm_up"),
        (lambda: OneCycle(warm_up=0.3, start=0, end=0.1), "start"),
        (lambda: OneCycle(warm_up=0.3, start=0.1, end=2), "end"),
    ],
)
def test_a_wrong_value_is_refused_by_name(make, name):
    with pytest.raises(FerlabError, match=rf"^scheduler\.{name} must be"):
        make()
