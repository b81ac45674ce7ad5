"""Soft labels as one file: what cross-fitted networks predict for a store's training images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.files import digest_file, replacing
from ferlab.running.split import shipped_split_settings

LABELS = "labels.safetensors"

_MOST_IMAGES = 10_000_000  # no memory is taken for more


class Labels(NamedTuple):
    """Soft labels of all training images of a store, whatever test images it has.

    Attributes:
        probabilities: float32 (M, 7), in the store's order, each row of networks that had not seen
            its image.
        images: the digest of the store's training images.
        split: by dotted key, what settled which of the images validated, which trained no network.
        digest: SHA-256 of the file, in hex.
    """

    probabilities: Tensor
    images: str
    split: dict[str, object]
    digest: str


def save_labels(
    folder: Path, probabilities: Tensor, images: str, split: Mapping[str, object]
) -> None:
    """Write `labels.safetensors` into `folder`, in fp16; the arguments are those of `Labels`."""
    about = {"images": images, "split": json.dumps(split), "classes": ",".join(EMOTIONS)}
    with replacing(folder / LABELS) as partial:
        partial.write_bytes(save({"probabilities": probabilities.half().contiguous()}, about))


def load_labels(folder: Path) -> Labels:
    """Return what `save_labels` wrote into `folder`.

    Raises:
        FerlabError: the file is damaged, or holds something else.
    """
    file = folder / LABELS
    try:
        with safe_open(file, framework="pt") as content:
            about = content.metadata() or {}
            shape = content.get_slice("probabilities").get_shape()
            if len(shape) != 2 or shape[1] != len(EMOTIONS) or shape[0] > _MOST_IMAGES:
                raise ValueError(f"probabilities have the shape {shape}")
            probabilities = content.get_tensor("probabilities")
        images, split, classes = about["images"], json.loads(about["split"]), about["classes"]
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise FerlabError(f"{file} is damaged ({error})") from error
    if not isinstance(split, dict) or split.keys() != shipped_split_settings().keys():
        raise FerlabError(f"{file} is damaged (it does not tell which images validated)")
    if (
        classes != ",".join(EMOTIONS)
        or probabilities.dtype != torch.float16
        or not (probabilities >= 0).all()
        or not torch.isclose(probabilities.float().sum(dim=1), torch.ones(()), atol=0.01).all()
    ):
        raise FerlabError(f"{file} does not hold probabilities of {', '.join(EMOTIONS)} in fp16")
    return Labels(probabilities.float(), images, split, digest_file(file))
