"""How long one image takes to judge, and how many a second in large batches."""

import statistics
from collections.abc import Sequence

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import WARM_UP, Effort, Figure, Measured, figure, look_into, now
from ferlab.learning.classifier import EmotionClassifier

LARGE = 512  # images of a batch


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the latency of a batch of one image and the throughput of large batches."""
    latencies, rates = look_into(
        "benchmarks.inference.Inference", overrides, rounds=effort.rounds, seconds=effort.seconds
    )
    return [
        figure("inference, latency of one image", "ms", [1e3 * seconds for seconds in latencies]),
        figure(f"inference, batches of {LARGE}", "images/s", rates),
    ]


class Inference(Callback):
    """Judges images with the network of a training before its first step.

    Of each round the median call counts: a latency is what one usually waits.
    """

    def __init__(self, rounds: int, seconds: float) -> None:
        self._rounds = rounds
        self._seconds = seconds

    def on_train_start(self, trainer: L.Trainer, pl_module: EmotionClassifier) -> None:
        pl_module.eval()
        latencies, rates = [], []
        with torch.inference_mode(), trainer.precision_plugin.predict_step_context():
            for _ in range(WARM_UP + self._rounds):
                latencies.append(self._call(pl_module, 1))
                rates.append(LARGE / self._call(pl_module, LARGE))
        raise Measured((latencies[WARM_UP:], rates[WARM_UP:]))

    def _call(self, module: EmotionClassifier, batch_size: int) -> float:
        """Return the seconds of one call, from pixels in memory to probabilities in memory."""
        images = torch.rand(batch_size, 1, 48, 48)
        calls: list[float] = []
        begin = now(module.device)
        while not calls or now(module.device) - begin < self._seconds:
            start = now(module.device)
            module(images.to(module.device)).softmax(dim=1).cpu()
            calls.append(now(module.device) - start)
        return statistics.median(calls)
