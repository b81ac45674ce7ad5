"""What one would write instead: ImageFolder, torchvision's transforms, DataLoader with workers."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

from ferlab.augment.transforms import RandomTransforms
from ferlab.data.datamodule import FaceDataModule
from ferlab.emotions import EMOTIONS
from ferlab.networks.build import LayeredNetwork

N_WORKERS = 2
PREFETCHED = 2 * N_WORKERS  # batches that the workers make ahead
ORDER = ["conv", "dense", "batch_norm", "activation", "pool", "dropout"]


class Faces(ImageFolder):
    """The images that `write_images` wrote; those whose name says so are transformed."""

    def __init__(self, root: Path, transforms: RandomTransforms | None) -> None:
        super().__init__(str(root), loader=_open_grey)
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        self._plain = v2.Compose(to_tensor)
        self._random = v2.Compose([*_as_torchvision(transforms), *to_tensor])

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        transform = self._random if path.endswith("-transformed.jpg") else self._plain
        return transform(self.loader(path)), label


def write_images(data: FaceDataModule, folder: Path) -> None:
    """Write the images of a training epoch, the added ones among them, as `<class>/*.jpg`."""
    rows = data.rows("train")
    plan = data.augmentation.plan(torch.from_numpy(data.store.labels[rows]), data.seed, 0)
    for emotion in EMOTIONS:
        (folder / emotion).mkdir()
    for number, (row, marked) in enumerate(
        zip(rows[plan.source.numpy()], plan.transformed.tolist(), strict=True)
    ):
        name = f"{number}-transformed.jpg" if marked else f"{number}.jpg"
        place = folder / EMOTIONS[data.store.labels[row]] / name
        Image.fromarray(data.store.images[row, 0]).save(place, quality=95)


def usual_batches(folder: Path, data: FaceDataModule) -> Iterator[Any]:
    """Yield batches of images and labels of the written images, epoch after epoch."""
    loader = DataLoader(
        Faces(folder, data.augmentation.transforms),
        batch_size=data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=N_WORKERS,
        persistent_workers=True,
    )
    while True:
        yield from loader


def write_as_usual(network: LayeredNetwork) -> None:
    """Make the network what one would write: pooled after the activation, PyTorch's dropout."""
    for number, row in enumerate(network.layers):
        parts = dict(row.named_children())
        if "dropout" in parts:
            parts["dropout"] = nn.Dropout(parts["dropout"].p)
        if "conv" in parts or "dense" in parts:
            in_order = sorted(parts.items(), key=lambda part: ORDER.index(part[0]))
            network.layers[number] = nn.Sequential(OrderedDict(in_order))


def _open_grey(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L")


def _as_torchvision(transforms: RandomTransforms | None) -> Iterator[v2.Transform]:
    """Yield torchvision's transforms of the same kinds and strengths.

    Raises:
        SystemExit: there are others among them.
    """
    if transforms is None:
        return
    if transforms.erasing or min(transforms.rotation_p, transforms.translation_p) < 1:
        raise SystemExit("ImageFolder's side erases nothing; take augment=report or standard")
    bilinear = InterpolationMode.BILINEAR
    if transforms.rotation or transforms.zoom or transforms.translation:
        yield v2.RandomAffine(
            transforms.rotation,
            translate=(transforms.translation,) * 2,
            scale=(1 - transforms.zoom, 1 + transforms.zoom),
            interpolation=bilinear,
        )
    if transforms.flip:
        yield v2.RandomHorizontalFlip(transforms.flip)
    if transforms.crop < 1:
        yield v2.RandomResizedCrop(
            48, scale=(transforms.crop**2, 1), ratio=(1, 1), interpolation=bilinear, antialias=False
        )
    if transforms.brightness or transforms.contrast:
        yield v2.ColorJitter(transforms.brightness, transforms.contrast)
