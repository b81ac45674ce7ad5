"""Trainings that are killed, at random and in every place, come to what undisturbed ones do.

Children of multiprocessing's fork server: what takes long, the imports, is done once.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import lightning as L
import pytest
import torch
from conftest import TINY, Outcome

from ferlab.cli import main
from ferlab.learning import callbacks
from ferlab.learning.classifier import EmotionClassifier
from ferlab.reporting import figures, results
from ferlab.stages import train as stage

pytestmark = pytest.mark.slow

RUN = [
    *TINY,
    "augment=report",
    "augment.extra={disgust: 20, surprise: 0, angry: 0, fear: 0}",
    "augment.frozen=false",
    "scheduler.patience=0",
    "callbacks=ema",
    "callbacks.ema.decay=0.9",
    "optimizer.lr=0.01",
    "checkpoint.every=3batches",
    "hydra.run.dir=run",
]

PLACES = {
    "start": (stage, "make_data"),
    "the first files": (stage.RunFolder, "open"),
    "a batch": (EmotionClassifier, "training_step"),
    "the step of the optimizer": (EmotionClassifier, "optimizer_step"),
    "a checkpoint, before it is written": (L.Trainer, "save_checkpoint"),
    "a file, written and not yet named": (os, "fsync"),
    "a file, about to be named": (os, "replace"),
    "validation": (EmotionClassifier, "validation_step"),
    "the end of an epoch": (callbacks.BestWeights, "on_train_epoch_end"),
    "the best weights": (callbacks.BestWeights, "write"),
    "prediction": (EmotionClassifier, "predict_step"),
    "the model": (stage, "save_network"),
    "the report": (results, "write_report"),
    "its figures": (figures, "save"),
    "the metrics": (stage, "write_json"),
}
"""What is called in each part of a training: its owner and its name there."""


def _run(folder: Path, place: str | None, call: int) -> None:
    """Train in `folder`, in a child; kill it at the given call of PLACES[place]."""
    os.chdir(folder)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    torch.set_num_threads(1)
    if place is not None:
        owner, name = PLACES[place]
        real, calls = getattr(owner, name), iter(range(1, 10**9))

        def kill_or_call(*args: object, **kwargs: object) -> object:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(owner, name, kill_or_call)
    sys.exit(main(["train", *RUN]))


@pytest.fixture(scope="module")
def context(session_cache):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["ferlab.stages.train", "tensorboard", "pytest"])
    return server


@pytest.fixture
def start(context, tmp_path):
    """Start a training in `tmp_path`; it is killed at a call of a place, where one is named."""

    def start_one(place: str | None = None, call: int = 1) -> ForkServerProcess:
        process = context.Process(target=_run, args=(tmp_path, place, call))
        process.start()
        return process

    return start_one


def finish(process: ForkServerProcess) -> int:
    process.join(300)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


@pytest.fixture(scope="module")
def undisturbed(context, tmp_path_factory, session_cache):
    """The run that nothing disturbs, and how long it takes, in seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLAB_CACHE", str(session_cache))
        for _ in range(2):  # the first one fills the cache and warms up
            begun = time.monotonic()
            process = context.Process(target=_run, args=(folder, None, 0))
            process.start()
            assert finish(process) == 0, (folder / "err").read_text()
            seconds = time.monotonic() - begun
            kept = folder.rename(folder.with_name(f"whole-{seconds}"))
            folder.mkdir()
    return kept, seconds


def assert_same(folder: Path, whole: Path) -> None:
    """Compare results, weights and the whole state of the training, bit by bit."""
    Outcome(folder / "run").assert_equal(Outcome(whole / "run"))
    for name in ("model/model.safetensors", "metrics.json", "predictions.npz"):
        assert (folder / "run" / name).read_bytes() == (whole / "run" / name).read_bytes()
    ours, theirs = (
        torch.load(place / "run/checkpoints/last.ckpt", weights_only=True)
        for place in (folder, whole)
    )
    for part in ("scheduler", "epoch", "global_step"):
        assert ours[part] == theirs[part]
    for part in ("state_dict", "averaging_state", "optimizer_states"):
        torch.testing.assert_close(ours.get(part), theirs.get(part), rtol=0, atol=0)
    assert files_in(folder) == files_in(whole)


def files_in(folder: Path) -> set[str]:
    """Return the names of all files of the run, hidden ones too, but for TensorBoard's."""
    files = (path.relative_to(folder) for path in (folder / "run").rglob("*") if path.is_file())
    return {str(path) for path in files if "tfevents" not in path.name}


CALLS = random.Random(8)
FORCED = [
    (place, call)
    for place, most in {
        "start": 1,
        "the first files": 1,
        "a batch": 18,
        "the step of the optimizer": 18,
        "a checkpoint, before it is written": 4,
        "a file, written and not yet named": 24,
        "a file, about to be named": 24,
        "validation": 3,
        "the end of an epoch": 3,
        "the best weights": 1,
        "prediction": 2,
        "the model": 1,
        "the report": 1,
        "its figures": 4,
        "the metrics": 1,
    }.items()
    for call in sorted(CALLS.sample(range(1, most + 1), 2 if most > 4 else 1))
]
MOMENTS = [CALLS.random() for _ in range(40 - len(FORCED))]


@pytest.mark.parametrize(("place", "call"), FORCED)
def test_a_run_that_is_killed_there_comes_to_the_same(start, undisturbed, tmp_path, place, call):
    whole, _ = undisturbed
    assert finish(start(place, call)) == -signal.SIGKILL
    assert finish(start()) == 0, (tmp_path / "err").read_text()
    assert_same(tmp_path, whole)


@pytest.fixture
def end_at(start, undisturbed, tmp_path):
    """Start a training and end it after a share of the time that the undisturbed one took."""

    def end(moment: float, end: Callable[[ForkServerProcess], None]) -> int:
        while True:
            process = start()
            process.join(moment * undisturbed[1])
            end(process)
            if status := finish(process):
                return status
            shutil.rmtree(tmp_path / "run")  # it was finished already: this machine is less busy
            moment *= 0.8

    return end


@pytest.mark.parametrize("moment", MOMENTS, ids="{:.3f}".format)
def test_a_run_that_is_killed_then_comes_to_the_same(start, end_at, undisturbed, tmp_path, moment):
    assert end_at(moment, ForkServerProcess.kill) == -signal.SIGKILL
    assert finish(start()) == 0, (tmp_path / "err").read_text()
    assert_same(tmp_path, undisturbed[0])


@pytest.mark.parametrize("moment", [CALLS.random() for _ in range(10)], ids="{:.3f}".format)
def test_a_run_that_is_asked_to_end_then_comes_to_the_same(
    start, end_at, undisturbed, tmp_path, moment
):
    # At its start and in its report there is nothing to save: SIGTERM ends it as it does others.
    assert end_at(moment, ForkServerProcess.terminate) in (130, -signal.SIGTERM)
    assert finish(start()) == 0, (tmp_path / "err").read_text()
    assert_same(tmp_path, undisturbed[0])
