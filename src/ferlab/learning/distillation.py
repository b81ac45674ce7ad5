"""Distillation: training labels that are in part what trained networks make of the images.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", at temperature 1; what a network
learns from networks of its own size, Furlanello et al. 2018, "Born-Again Neural Networks". Here the
teachers see each whole image once, in their own views, before the training begins.
"""

import torch.nn.functional as F
from torch import Tensor

from ferlab.emotions import EMOTIONS


def soften(labels: Tensor, probabilities: Tensor, share: float) -> Tensor:
    """Return soft labels, the shares of the classes: float32 (N, 7); each row sums to 1.

    Args:
        labels: int64 (N,).
        probabilities: float32 (N, 7), the teachers' mean.
        share: what of each label is theirs, in [0, 1].
    """
    hard = F.one_hot(labels, len(EMOTIONS)).to(probabilities.dtype)
    return hard.lerp(probabilities, share)
