"""Loss and confusion matrix of a split, accumulated on the device without waiting for it."""

import torch
from torch import Tensor
from torchmetrics import Metric

from ferlab.emotions import EMOTIONS

MONITORS = {"val/accuracy": "max", "val/loss": "min"}
"""What a training may be steered by, and which of its values are the better ones."""


class EpochMetrics(Metric):
    """The mean loss and the confusion matrix of the samples seen since the last reset.

    torchmetrics' own confusion matrix counts with `torch.bincount`, which makes the host wait for
    a CUDA device in each step; `index_add_` of integers does not, and is exact in any order.
    The state is part of the module's state dict, so an epoch can be resumed in its middle.

    Attributes:
        loss_sum: float32 (), sum of the samples' losses.
        confusion: int64 (7, 7), rows = true class, columns = predicted class.
    """

    full_state_update = False
    loss_sum: Tensor
    confusion: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = len(EMOTIONS)
        self.add_state("loss_sum", torch.zeros(()), dist_reduce_fx="sum", persistent=True)
        self.add_state(
            "confusion",
            torch.zeros(n, n, dtype=torch.int64),
            dist_reduce_fx="sum",
            persistent=True,
        )

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Add a batch: logits (B, 7), labels int64 (B,), and its mean loss ()."""
        cells = labels * len(EMOTIONS) + logits.argmax(dim=1)
        self.confusion.view(-1).index_add_(0, cells, torch.ones_like(cells))
        self.loss_sum += loss.detach() * len(labels)

    def compute(self) -> dict[str, Tensor]:
        """Return `loss` and `accuracy`, both float32 (), and `confusion` of all processes' samples.

        Each process must call it: it waits for the others.
        """
        return {**self.of_this_process(), "confusion": self.confusion.clone()}

    def of_this_process(self) -> dict[str, Tensor]:
        """Return `loss` and `accuracy` of the samples that this process saw, both float32 ()."""
        n = self.confusion.sum()
        return {"loss": self.loss_sum / n, "accuracy": self.confusion.trace() / n}
