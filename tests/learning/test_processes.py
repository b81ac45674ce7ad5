"""Several processes train what one would."""

import contextlib
import json
import os
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY
from faces import make_store
from mistakes import mistake_of

from ferlab.cli import main
from ferlab.data.datamodule import FaceDataModule
from ferlab.learning.processes import processes_and_nodes

# Normalisation counts and dropout draws in each process by itself.
PLAIN = [
    "model.layers=[{conv: 4, pool: 4}, flatten, {dense: 8}]",
    "augment.mixup=0.2",
    "augment.refine=0.34",
]


LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ferlab"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def torchrun(*overrides: str) -> subprocess.CompletedProcess[str]:
    """Run `ferlab train` in two processes."""
    command = [sys.executable, *LAUNCH, "train", *TINY, *PLAIN, *overrides]
    return subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True)


def one_folder() -> Path:
    (folder,) = Path("outputs/train/F-adam").iterdir()
    return folder


@pytest.mark.slow
def test_two_processes_come_to_the_metrics_of_one_at_the_same_global_batch(train):
    assert train(*PLAIN, "hydra.run.dir=one")[0] == 0
    done = torchrun("logger.confusion_every=3")
    assert done.returncode == 0, done.stderr
    folder = one_folder()
    one, two = (json.loads((run / "metrics.json").read_text()) for run in (Path("one"), folder))
    assert two == pytest.approx(one, rel=1e-4)
    assert done.stdout.count("best epoch") == 1
    assert not list(folder.rglob(".*"))
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    (confusion,) = state["callbacks"]["Pictures"]["confusions"].values()
    assert sum(map(sum, confusion)) == len(np.load(folder / "predictions.npz")["val_labels"])


@pytest.mark.slow
def test_two_processes_go_on_with_the_run_that_the_first_one_finds():
    assert torchrun().returncode == 0
    metrics = one_folder() / "metrics.json"
    came_to = metrics.read_text()
    metrics.unlink()  # as where it was stopped before its end
    command = [sys.executable, *LAUNCH, "train", "resume=latest"]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert metrics.read_text() == came_to


@pytest.mark.slow
def test_two_processes_show_their_progress_in_a_terminal():
    terminal, end = os.openpty()
    termios.tcsetwinsize(end, (24, 120))
    values = [*TINY, *PLAIN, "data.batch_size=4", "trainer.max_epochs=1"]
    command = [sys.executable, *LAUNCH, "train", *values]
    running = subprocess.Popen(command, env=ONE_THREAD, stdout=end, stderr=end)
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # raised when the other end is closed
        while more := os.read(terminal, 4096):
            shown += more
    assert running.wait() == 0
    assert b"accuracy=" in shown
    assert b"best epoch 1 of 1" in shown


@pytest.mark.slow
def test_a_batch_that_cannot_be_divided_is_refused():
    done = torchrun("data.batch_size=15")
    assert done.returncode != 0
    assert "data.batch_size=15 cannot be divided among 2 processes" in done.stderr


@pytest.mark.parametrize("stage", ["evaluate", "extract_and_fit", "tune", "compare", "explore"])
def test_other_stages_under_torchrun_are_refused(stage, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    assert main([stage]) == 1
    assert f"{stage} cannot run under torchrun" in capsys.readouterr().err


def test_a_sweep_under_torchrun_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    assert main(["train", "-m", "seed=0,1"]) == 1
    assert "a sweep cannot run under torchrun" in capsys.readouterr().err


def first_of(n_processes):
    on_cpu = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(global_rank=0, world_size=n_processes, strategy=on_cpu, max_epochs=1)


def test_each_of_several_processes_needs_two_images_to_normalise():
    data = FaceDataModule(lambda: make_store(), batch_size=4)
    data.trainer = first_of(2)
    assert data.train_dataloader()
    data.trainer = first_of(4)
    assert "make it a multiple, of at least two images each" in mistake_of(data.train_dataloader)


def test_each_of_several_processes_measures_statistics_in_batches_of_its_own_size():
    data = FaceDataModule(lambda: make_store(), batch_size=4, val_fraction=0)
    data.trainer = first_of(2)
    assert [len(batch.labels) for batch in data.spread_batches(9)] == [2, 2, 2, 2]


def test_what_srun_starts_several_times_is_refused(train, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert train("trainer.max_epochs=1")[0] == 0  # by the script of a job, which is one process
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert processes_and_nodes() == (1, 1)
    monkeypatch.setenv("SLURM_JOB_NAME", "mine")
    status, _, err = train("seed=1")
    assert status == 1
    assert "srun has started this 4 times, and each would do all of it; use srun --nta" in err
