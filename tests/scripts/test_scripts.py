"""The scripts run through on drawn data; what they measure there means nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALL = ["data=drawn", "data.size=700", "augment=standard", "model=A", "data.batch_size=16"]


def run(script, *arguments):
    """Run the script in the present folder; return what it wrote."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(Path(done.stdout.splitlines()[-1]).read_text())


def figures(result):
    return {figure["name"]: figure for figure in result["figures"]}


@pytest.mark.slow
def test_the_bench_measures_every_part_with_its_spread():
    result = run("bench.py", "--quick", *SMALL)
    found = figures(result)
    for name in (
        "A, batch 16: whole stack / bare loop",
        "A, batch 16: whole stack / ImageFolder, DataLoader, fp32",
        "A, batch 16: share of the machine's matrix rate",
        "loader / ImageFolder and DataLoader",
        "share of an epoch, a checkpoint a minute",
        "imports done to first batch",
        "inference, latency of one image",
    ):
        assert 0 < found[name]["least"] <= found[name]["value"] <= found[name]["most"]
    assert result["machine"]["packages"]["torch"]
    assert result["machine"]["threads"] == 1


@pytest.mark.slow
def test_the_bench_tells_how_cost_grows():
    found = figures(run("bench.py", "--quick", "scaling"))
    assert found["28,700 images: own memory"]["value"] > 0
    assert found["epoch ∝ images to the power of"]["value"] > 0.5


@pytest.mark.slow
def test_the_speedrun_counts_training_apart_from_what_comes_before_and_after():
    small = ["data=drawn", "data.size=280", "data.batch_size=32", "trainer.max_epochs=2"]
    result = run("speedrun.py", "seeds=2", "trainer.compile=false", *small)
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    for run_ in result["runs"]:
        assert min(run_["before"], run_["training"], run_["judging"]) > 0
        assert 0 <= run_["test/accuracy"] <= 1
    assert 0 <= result["reached"] <= 2


def test_an_unknown_part_is_named():
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench.py", "stak"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no part 'stak'" in done.stdout
