"""Folders of finished runs, evaluations and classifiers for tests, as the stages write them."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import yaml
from models import model
from omegaconf import OmegaConf
from safetensors.numpy import save_file

from ferlab.emotions import EMOTIONS
from ferlab.environment import describe_environment
from ferlab.history import HISTORY_COLUMNS, write_history
from ferlab.instantiate import conf_folder, plain
from ferlab.networks.specs import to_layers
from ferlab.reporting import results
from ferlab.reporting.predictions import Predictions, write_predictions

ENVIRONMENT = {"data": "0" * 32, "accelerator": "cpu", "precision": "32-true", "device": "cpu"}


def write_run(
    folder: Path,
    model_name: str = "A",
    optimizer: str = "adam",
    accuracy: float = 0.6,
    *,
    test_accuracy: float | None = None,
    augment: str = "report",
    seed: int = 0,
    epochs: int = 5,
    n_val: int = 70,
    n_test: int = 140,
    images_seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write what `ferlab train` leaves of a finished run, but for its weights; return the folder.

    Args:
        folder: of the run.
        model_name: one of `conf/model`.
        optimizer: one of `conf/optimizer`.
        accuracy: about what it comes to.
        test_accuracy: the same of the test images, where that is another.
        augment: one of `conf/augment`.
        seed: the run's.
        epochs: trained.
        n_val: validation images.
        n_test: test images: one half public, one half private.
        images_seed: draws the labels; equal for runs on the same images.
        changes: further values of the configuration, by dotted key.
    """
    config = {
        **_composed(),
        **{
            group: OmegaConf.to_container(OmegaConf.load(conf_folder() / group / f"{name}.yaml"))
            for group, name in (
                ("model", model_name),
                ("optimizer", optimizer),
                ("augment", augment),
            )
        },
        "seed": seed,
    }
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node[part] = dict(node[part])
            node = node[part]
        node[last] = value
    predictions = _predictions(accuracy, n_val, n_test, images_seed, seed, test_accuracy)
    history = _history(accuracy, epochs)
    best = max(history, key=lambda row: row["val/accuracy"])
    metrics = {
        "epochs": epochs,
        "best_epoch": best["epoch"],
        "train/loss": best["train/loss"],
        "train/accuracy": best["train/accuracy"],
        **results.measure(predictions),
    }
    write_record(folder, "train", config, ENVIRONMENT, metrics)
    write_predictions(predictions, folder / "predictions.npz")
    write_history(folder / "history.csv", history)
    write_model(folder / "model", model_name)
    return folder


def write_evaluation(folder: Path, *runs: Path, accuracy: float = 0.6, view: str = "flip") -> Path:
    """Write what `ferlab evaluate` leaves of these runs; return the folder."""
    config = {"run": "latest", "data": {"root": None}, "augment": {"test_time": view}}
    predictions = _predictions(accuracy, 70, 140, 0, 7)
    environment = {**ENVIRONMENT, "runs": ", ".join(map(str, runs))}
    write_record(folder, "evaluate", config, environment, results.measure(predictions))
    write_predictions(predictions, folder / "predictions.npz")
    return folder


def write_classifier(run: Path, name: str, accuracy: float = 0.6) -> Path:
    """Write what `ferlab extract_and_fit` leaves of a classifier in a run; return its folder."""
    config = {"classifier": {name: {"C": 1.0}}, "search": None, "features": {}}
    predictions = _predictions(accuracy, 70, 140, 0, 8)
    folder = run / "classical" / name
    write_record(folder, "fit", config, ENVIRONMENT, results.measure(predictions))
    write_predictions(predictions, folder / "predictions.npz")
    return folder


def write_record(
    folder: Path,
    stage: str,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> None:
    """Write the files that every stage writes."""
    folder.mkdir(parents=True)
    (folder / f"{stage}.log").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    (folder / "environment.json").write_text(json.dumps({**_environment(), **environment}))
    (folder / "metrics.json").write_text(json.dumps(metrics))


def write_model(folder: Path, name: str) -> None:
    """Write a network's description, and weights that hold nothing."""
    spec = model(name)
    folder.mkdir()
    described = {
        "name": spec.name,
        "initialisation": spec.initialisation,
        "layers": to_layers(spec),
        "classes": list(EMOTIONS),
        "input": {"shape": list(spec.input_shape), "scale": 1 / 255},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    save_file({}, folder / "model.safetensors")


@cache
def _composed() -> dict[str, Any]:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return plain(hydra.compose("train"))


@cache
def _environment() -> dict[str, object]:
    return describe_environment()


def _predictions(
    accuracy: float,
    n_val: int,
    n_test: int,
    images_seed: int,
    seed: int,
    test_accuracy: float | None = None,
) -> dict[str, Predictions]:
    images, random = np.random.default_rng(images_seed), np.random.default_rng([images_seed, seed])
    predictions = {}
    of_test = accuracy if test_accuracy is None else test_accuracy
    for split, n, right in (("val", n_val, accuracy), ("test", n_test, of_test)):
        labels = images.integers(0, 7, n)
        wrong = random.random(n) >= right
        predicted = (labels + wrong * random.integers(1, 7, n)) % 7
        probabilities = random.random((n, 7), dtype=np.float32)
        probabilities[np.arange(n), predicted] += 2
        half = np.arange(n) < n // 2
        predictions[split] = Predictions(
            names=np.array(
                [f"{split}/{EMOTIONS[label]}/{i}.jpg" for i, label in enumerate(labels)]
            ),
            images=np.zeros((0, 1, 48, 48), dtype=np.uint8),
            labels=labels,
            probabilities=probabilities / probabilities.sum(axis=1, keepdims=True),
            parts={"public": half, "private": ~half, "clean": np.arange(n) % 9 > 0}
            if split == "test"
            else {},
        )
    return predictions


def _history(accuracy: float, epochs: int) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, epochs + 1):
        share = 1 - 0.5 ** (epoch / 3)
        values = (
            1.9 - 1.2 * share,
            accuracy * share * 1.2,
            1.9 - 0.8 * share + 0.02 * epoch,
            accuracy * share,
            5e-4,
            12.5,
            2300.0,
        )
        rows.append(dict(zip(HISTORY_COLUMNS, (epoch, *values), strict=True)))
    return rows
