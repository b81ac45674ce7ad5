"""Losses of a training: logits and labels, or shares of labels, to one number."""

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ferlab.checks import check_choice, check_number
from ferlab.emotions import EMOTIONS

CLASS_WEIGHTS = ("none", "balanced")


class Loss(nn.Module):
    """What cross-entropy and focal loss share: smoothed labels and weights of the classes.

    Args:
        label_smoothing: share of each label that is spread evenly over all classes, in [0, 1)
            (Szegedy et al. 2016, "Rethinking the Inception Architecture").
        class_weights: `balanced` weighs a class by the inverse of its frequency, as scikit-learn
            does: see `balance`.
    """

    weight: Tensor

    def __init__(self, label_smoothing: float = 0.0, class_weights: str = "none") -> None:
        super().__init__()
        self.label_smoothing = check_number(
            "loss.label_smoothing", label_smoothing, at_least=0, below=1
        )
        self.class_weights = check_choice("loss.class_weights", class_weights, CLASS_WEIGHTS)
        self.register_buffer("weight", torch.ones(len(EMOTIONS)))

    def balance(self, class_counts: ArrayLike) -> None:
        """Set the weights from the rows per class of an epoch, (7,), where they are balanced.

        Rows count as what they are labelled, whatever soft labels say.

        The weight of a class with n of N rows is N / 7n; of a class without rows, 1.
        """
        if self.class_weights == "balanced":
            counts = torch.as_tensor(class_counts, dtype=torch.float32)
            weight = counts.sum() / (len(EMOTIONS) * counts.clamp(min=1))
            self.weight.copy_(torch.where(counts > 0, weight, 1.0))


class CrossEntropy(Loss):
    """Cross-entropy, PyTorch's `F.cross_entropy` with its options under our names."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss () of logits (B, 7).

        Args:
            logits: float32 (B, 7).
            labels: int64 (B,), or shares of the classes float32 (B, 7).
        """
        if self.class_weights != "balanced":
            # Without weights of ones: for these PyTorch would wait for a CUDA device, if smoothed.
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if labels.ndim == 1:
            # Of classes PyTorch would divide by the weights of the batch, of shares by its rows.
            labels = F.one_hot(labels, len(EMOTIONS)).to(logits.dtype)
        return F.cross_entropy(
            logits, labels, weight=self.weight, label_smoothing=self.label_smoothing
        )


class FocalLoss(Loss):
    """Focal loss: rows that are right already count less (Lin et al. 2017, equation 4).

    Args:
        gamma: >= 0; 0 is cross-entropy, larger values look away from what is easy.
    """

    def __init__(
        self, gamma: float = 2.0, label_smoothing: float = 0.0, class_weights: str = "none"
    ) -> None:
        super().__init__(label_smoothing, class_weights)
        self.gamma = check_number("loss.gamma", gamma, at_least=0)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss () of logits (B, 7); labels as of CrossEntropy."""
        log_p = F.log_softmax(logits, dim=1)
        # Never quite 0, of which powers below 1 have an infinite gradient.
        lacking = (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).tiny)
        terms = self._targets(labels) * lacking**self.gamma * -log_p
        return terms.sum(dim=1).mean()

    def _targets(self, labels: Tensor) -> Tensor:
        """Return the weight of each class in the loss of each row: float32 (B, 7).

        Args:
            labels: int64 (B,), or shares of the classes float32 (B, 7).
        """
        shares = F.one_hot(labels, len(EMOTIONS)).float() if labels.ndim == 1 else labels
        smoothed = torch.lerp(
            shares, torch.full_like(shares, 1 / len(EMOTIONS)), self.label_smoothing
        )
        return smoothed * self.weight
