"""Trainings that are cut off, or meet an error, in the middle of a batch."""

from collections.abc import Callable

import pytest

from ferlab.learning.classifier import EmotionClassifier


class PowerCut(BaseException):
    """The process is gone: what is on the disk is all there is."""


def cut_power() -> None:
    raise PowerCut


def at_batch(
    monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int, action: Callable[[], object]
) -> None:
    """Call `action` once, in the middle of the given batch."""
    step = EmotionClassifier.training_step

    def step_with_action(module, data, batch_idx):
        if (module.current_epoch, batch_idx) == (epoch, batch):
            monkeypatch.setattr(EmotionClassifier, "training_step", step)
            action()
        return step(module, data, batch_idx)

    monkeypatch.setattr(EmotionClassifier, "training_step", step_with_action)
