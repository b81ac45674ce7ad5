"""Distillation: training labels that are in part the predictions of trained networks.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", at temperature 1; what a network
learns from networks of its own size, Furlanello et al. 2018, "Born-Again Neural Networks"; labels
of networks that have not seen the image (cross-fitting), Dao et al. 2021, "Knowledge Distillation
as Semiparametric Inference". Here the teachers predict each whole image once, in their own views,
before the training begins.
"""

import torch
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


def choose_teachers(seen: Tensor) -> Tensor:
    """Return which teachers label an image: bool (T, N).

    Those that have not seen it, where there are any, else all: a network partly memorises the
    labels that it was trained with, wrong ones too.

    Args:
        seen: bool (T, N), whether each of T teachers was trained on each of N images.
    """
    return ~seen | seen.all(dim=0)


def mean_of_chosen(probabilities: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean over the teachers that label an image: float32 (N, 7).

    Args:
        probabilities: float32 (T, N, 7).
        chosen: bool (T, N), one at least of each image.
    """
    weights = chosen.to(probabilities.dtype) / chosen.sum(dim=0)
    return torch.einsum("tn,tnc->nc", weights, probabilities)
