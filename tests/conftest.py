"""What all tests share: a cache of their own, and `ferlab train` on something tiny."""

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import torch

from ferlab.cli import main

torch.set_num_threads(1)  # tiny networks gain nothing from two, and lose much on a busy machine

TINY = [
    "data=drawn",
    "data.size=140",
    "data.batch_size=16",
    "augment=none",
    "model.layers=[{conv: 4, kernel: 3, batch_norm: true, pool: 4, dropout: 0.25}, flatten,"
    " {dense: 8, dropout: 0.25}]",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.max_epochs=3",
]


TINY_TREE = ["data.root=faces", "data.batch_size=16", *TINY[3:]]
"""The same on the folder `faces` (`faces.make_tree`)."""


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained_once(
    tmp_path_factory: pytest.TempPathFactory, session_cache: Path
) -> Callable[..., tuple[Path, str]]:
    """`ferlab train` on tiny drawn data, once for equal overrides: to the run and what it said."""

    @cache
    def run(*overrides: str) -> tuple[Path, str]:
        folder, said = tmp_path_factory.mktemp("once"), StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
            patch.chdir(folder)
            patch.setenv("FERLAB_CACHE", str(session_cache))
            assert main(["train", *TINY, *overrides, "hydra.run.dir=run"]) == 0
        return folder / "run", said.getvalue()

    return run


@pytest.fixture
def finished(trained_once: Callable[..., tuple[Path, str]]) -> Callable[..., str]:
    """A folder and overrides to what that training said, whose run then lies in the folder."""

    def run(folder: str, *overrides: str) -> str:
        trained, said = trained_once(*overrides)
        shutil.copytree(trained, folder)
        return said

    return run


@pytest.fixture(autouse=True)
def apart_from_this_machine(
    tmp_path: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run each test in an empty folder, with a cache that only the tests use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FERLAB_CACHE", str(session_cache))
    monkeypatch.delenv("FERLAB_DATA", raising=False)


@pytest.fixture
def train(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`ferlab train` on tiny drawn data: overrides to exit status, standard output, error."""

    def run(*overrides: str) -> tuple[int, str, str]:
        capfd.readouterr()
        flags = [override for override in overrides if override.startswith("-")]
        values = [override for override in overrides if not override.startswith("-")]
        status = main(["train", *flags, *TINY, *values])
        out, err = capfd.readouterr()
        return status, out, err

    return run


class Outcome:
    """What a run came to, less what depends on the clock."""

    def __init__(self, folder: Path) -> None:
        self.metrics = json.loads((folder / "metrics.json").read_text())
        with (folder / "history.csv").open(newline="") as file:
            self.history = [
                {key: row[key] for key in row if key not in ("seconds", "images_per_second")}
                for row in csv.DictReader(file)
            ]
        self.weights = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)

    def assert_equal(self, other: "Outcome") -> None:
        assert self.metrics == other.metrics
        assert self.history == other.history
        assert self.weights.keys() == other.weights.keys()
        assert all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)
