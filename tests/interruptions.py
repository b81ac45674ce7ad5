"""Trainings and predictions that are cut off, or meet an error, in the middle of a batch."""

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


def at_first_prediction(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Call `action` once, in the first batch that a network predicts."""
    predict_step = EmotionClassifier.predict_step

    def step_with_action(*arguments):
        monkeypatch.setattr(EmotionClassifier, "predict_step", predict_step)
        action()
        return predict_step(*arguments)

    monkeypatch.setattr(EmotionClassifier, "predict_step", step_with_action)
