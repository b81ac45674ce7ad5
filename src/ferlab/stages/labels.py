"""Soft labels as one file: what cross-fitted networks say of a store's training images."""

import hashlib
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
from ferlab.files import replacing

LABELS = "labels.safetensors"


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
        FerlabError: the file is damaged, or of other classes.
    """
    file = folder / LABELS
    try:
        with safe_open(file, framework="pt") as content:
            about = content.metadata() or {}
            probabilities = content.get_tensor("probabilities").float()
        split = json.loads(about["split"])
        images, classes = about["images"], about["classes"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise FerlabError(f"{file} is damaged ({error})") from error
    if (
        classes != ",".join(EMOTIONS)
        or probabilities.shape[1:] != (len(EMOTIONS),)
        or not torch.isclose(probabilities.sum(dim=1), torch.ones(()), atol=0.01).all()
    ):
        raise FerlabError(f"{file} holds no probabilities of {', '.join(EMOTIONS)}")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Labels(probabilities, images, split, digest)
