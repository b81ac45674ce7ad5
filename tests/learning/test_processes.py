"""Several processes train what one would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from ferlab.cli import main

# Normalisation counts and dropout draws in each process by itself.
PLAIN = ["model.layers=[{conv: 4, pool: 4}, flatten, {dense: 8}]", "augment.mixup=0.2"]


def torchrun(*overrides: str) -> subprocess.CompletedProcess[str]:
    """Run `ferlab train` in two processes."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ferlab"]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "train", *TINY, *PLAIN, *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def one_folder() -> Path:
    (folder,) = Path("outputs/train/F-adam").iterdir()
    return folder


@pytest.mark.slow
def test_two_processes_come_to_the_metrics_of_one_at_the_same_global_batch(train):
    assert train(*PLAIN, "hydra.run.dir=one")[0] == 0
    done = torchrun()
    assert done.returncode == 0, done.stderr
    folder = one_folder()
    one, two = (json.loads((run / "metrics.json").read_text()) for run in (Path("one"), folder))
    assert two == pytest.approx(one, rel=1e-4)
    assert done.stdout.count("best epoch") == 1
    assert not list(folder.rglob(".*"))


@pytest.mark.slow
def test_a_batch_that_cannot_be_divided_is_refused():
    done = torchrun("data.batch_size=15")
    assert done.returncode != 0
    assert "data.batch_size=15 cannot be divided among 2 processes" in done.stderr


def test_a_sweep_under_torchrun_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    assert main(["train", "-m", "seed=0,1"]) == 1
    assert "a sweep cannot run under torchrun" in capsys.readouterr().err
