"""Measures the way of the data: `python scripts/bench_data.py [key=value ...]`.

Needs FER-2013 as a folder tree, and a machine that does nothing else. Reports

* the seconds to decode and cache all images, and to open the warm cache;
* images per second of the loader with its augmentation, without a network, beside torchvision's
  ImageFolder with the same transforms (v2, on PIL images) on the same rows in a DataLoader with
  two workers: in turns, as the median of paired ratios;
* the share of a training step that `augment=standard` takes, on the device that trains.

Writes `outputs/bench/<time>.json`.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2

from ferlab.augment.targeted import EpochPlan
from ferlab.augment.transforms import RandomTransforms, make_transforms
from ferlab.data.batches import TrainBatches, to_float
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import fer2013, find_root
from ferlab.files import write_json
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.runs import RunFolder, describe_environment
from ferlab.stages.compose import make_classifier, make_data
from ferlab.stages.entry import run_stage

ROUNDS = 7
SECONDS = 4.0  # of each side per round


class AsUsual(Dataset[tuple[Tensor, int]]):
    """The same rows with the same transforms, one PIL image at a time."""

    def __init__(self, root: Path, data: FaceDataModule, plan: EpochPlan) -> None:
        folder = ImageFolder(str(root / "train"), loader=_open_grey)
        place = {
            f"train/{Path(path).relative_to(root / 'train')}": path for path, _ in folder.samples
        }
        names = data.store.names[data.train_and_val_rows[0]][plan.source.numpy()]
        self.paths = [place[name] for name in names]
        self.labels = data.store.labels[data.train_and_val_rows[0]][plan.source.numpy()].tolist()
        self.transformed = plan.transformed.tolist()
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        assert data.augmentation.transforms is not None
        self.random = v2.Compose([*_as_torchvision(data.augmentation.transforms), *to_tensor])
        self.plain = v2.Compose(to_tensor)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        transform = self.random if self.transformed[index] else self.plain
        return transform(_open_grey(self.paths[index])), self.labels[index]


def _open_grey(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L")


def _as_torchvision(transforms: RandomTransforms) -> Iterator[v2.Transform]:
    """Yield torchvision's transforms of the same kinds and strengths."""
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


def bench(config: DictConfig, folder: RunFolder) -> None:
    """Measure, print and write."""
    root = find_root(config.data.root)
    with tempfile.TemporaryDirectory() as cache:
        cold = _seconds(lambda: fer2013(str(root), cache))
        warm = statistics.median(_seconds(lambda: fer2013(str(root), cache)) for _ in range(5))
    result: dict[str, Any] = {"decode_seconds": cold, "warm_open_seconds": warm}

    data = make_data(config)
    trainer = make_trainer(folder.path, config.trainer.accelerator, config.trainer.precision)
    data.trainer = trainer
    device = trainer.strategy.root_device
    ours = data.train_dataloader()
    labels = torch.from_numpy(data.store.labels[data.train_and_val_rows[0]])
    usual = DataLoader(
        AsUsual(root, data, data.augmentation.plan(labels, config.seed, 0)),
        batch_size=config.data.batch_size,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
    )
    rates = [
        (_rate(_forever(ours), config, device), _rate(_forever(usual), config, device))
        for _ in range(ROUNDS)
    ]
    result |= {
        "loader_images_per_second": statistics.median(rate for rate, _ in rates),
        "usual_images_per_second": statistics.median(rate for _, rate in rates),
        "loader_ratio": statistics.median(ours / usual for ours, usual in rates),
        "loader_ratio_spread": _spread([ours / usual for ours, usual in rates]),
    }

    shares = list(_augmentation_shares(config, data, device, trainer.precision == "bf16-mixed"))
    result |= {
        "standard_share_of_step": statistics.median(shares),
        "standard_share_spread": _spread(shares),
    }
    for name, value in result.items():
        print(f"{name:<28}{value}")
    environment = {**describe_environment(), "device": describe_device(trainer)}
    write_json(Path(f"{folder.path}.json"), {**result, "environment": environment})


def _augmentation_shares(
    config: DictConfig, data: FaceDataModule, device: torch.device, bf16: bool
) -> Iterator[float]:
    """Yield the share of `augment=standard` in steps of training."""
    preset = OmegaConf.load(Path(__file__).parents[1] / "conf/augment/standard.yaml")
    transforms = make_transforms(OmegaConf.to_container(preset.transforms))
    classifier = make_classifier(config).to(device)
    optimizer = torch.optim.Adam(classifier.network.parameters(), lr=1e-4, fused=True)
    size = config.data.batch_size
    images = torch.from_numpy(data.store.images[:size]).to(device)
    labels = torch.from_numpy(data.store.labels[:size]).to(device)
    for number in range(ROUNDS + 2):
        spent = np.zeros(2)
        for _ in range(5):
            start = _now(device)
            x = transforms(to_float(images), torch.rand(size, RandomTransforms.N_DRAWS).to(device))
            middle = _now(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(classifier(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            spent += middle - start, _now(device) - middle
        if number >= 2:
            yield spent[0] / spent.sum()


def _forever(batches: "TrainBatches | DataLoader[Any]") -> Iterator[Any]:
    while True:
        yield from batches


def _rate(batches: Iterator[Any], config: DictConfig, device: torch.device) -> float:
    """Return images per second, once the first batches are there."""
    for _ in range(5):
        next(batches)
    start, n = _now(device), 0
    while (passed := time.perf_counter() - start) < SECONDS:
        next(batches)
        n += 1
    passed = _now(device) - start
    return n * int(config.data.batch_size) / passed


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _spread(values: list[float]) -> list[float]:
    return [min(values), max(values)]


if __name__ == "__main__":
    folder = f"hydra.run.dir=outputs/bench/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    sys.exit(run_stage("train", bench, [folder, *sys.argv[1:]]))
