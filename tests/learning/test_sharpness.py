"""Sharpness-aware minimisation: its step, and what a training by it is."""

from pathlib import Path

import pytest
import torch

from ferlab.history import read_history
from ferlab.learning.sharpness import SAM


def test_a_step_is_taken_from_the_weights_by_the_gradient_uphill():
    curvature = torch.tensor([1.0, 3.0])
    first, second = (torch.nn.Parameter(torch.tensor([value])) for value in (4.0, 1.0))
    optimizer = SAM([{"params": [first]}, {"params": [second]}], lr=0.1, radius=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (curvature * torch.cat([first, second]) ** 2).sum() / 2
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    # the gradient is (4, 3), so the worst weights at a distance of 0.5 are (4 + 0.4, 1 + 0.3)
    assert loss.item() == pytest.approx(9.5)
    assert first.item() == pytest.approx(4 - 0.1 * 4.4)
    assert second.item() == pytest.approx(1 - 0.1 * 3.9)


def test_where_the_neighbourhood_is_nothing_a_training_is_that_of_sgd(train):
    same = ("optimizer.lr=0.1", "trainer.precision=32-true")
    train("hydra.run.dir=sgd", "optimizer=sgd", *same)
    train("hydra.run.dir=sam", "optimizer=sam", "optimizer.radius=1e-30", *same)
    train("hydra.run.dir=wide", "optimizer=sam", "optimizer.radius=0.5", *same)
    sgd, sam, wide = (
        [
            (row["train/loss"], row["train/accuracy"])
            for row in read_history(Path(folder, "history.csv"))
        ]
        for folder in ("sgd", "sam", "wide")
    )
    assert sam == sgd
    assert wide != sgd


@pytest.mark.parametrize("radius", ["0", "-0.1", ".nan", "wide"])
def test_a_neighbourhood_without_extent_is_one_line(train, radius):
    status, _, err = train("optimizer=sam", f"optimizer.radius={radius}")
    assert status == 1
    assert err.startswith("ferlab: optimizer.radius must be ")
    assert err.count("\n") == 1


def test_fp16_is_refused_before_anything_is_read(train):
    status, _, err = train("optimizer=sam", "trainer.precision=16-mixed")
    assert status == 1
    assert "use trainer.precision=bf16-mixed or 32-true" in err
    assert err.count("\n") == 1
