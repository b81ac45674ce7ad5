"""The scripts run through on drawn data; what they measure there means nothing."""

import json
import os
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file

from ferlab.cli import main
from ferlab.files import read_json, read_yaml, write_json

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
def test_the_speedrun_counts_training_apart_and_keeps_what_is_finished():
    small = ["data=drawn", "data.size=280", "data.batch_size=32", "trainer.max_epochs=2"]
    command = ["folder=outputs/mine", "trainer.compile=false", *small]
    (first,) = run("speedrun.py", "seeds=1", *command)["runs"]
    result = run("speedrun.py", "seeds=2", *command)
    kept, second = result["runs"]
    assert kept == {**first, "around": None}
    assert [first["seed"], second["seed"]] == [0, 1]
    for one in (first, second):
        assert min(one["training"], one["around"]) > 0
        assert 0 <= one["test/accuracy"] <= 1
    assert 0 <= result["reached"] <= 2


def test_an_unknown_part_is_named():
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench.py", "stak"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no part 'stak'" in done.stdout


@pytest.fixture
def trained(finished):
    """The environment of a finished training, as of a commit and typed with private paths."""
    finished("outputs/tiny")
    environment = Path("outputs/tiny/environment.json")
    recorded = read_json(environment)
    private = ["/home/me/train.py", "data.cache=/home/me/cache", "hydra.run.dir=/home/me/run"]
    recorded |= {"commit": "a" * 40, "command": [*private, *TINY]}
    write_json(environment, recorded)
    return environment


def ship(*arguments):
    """Run the script in this process, which has imported all that it needs."""
    status, error = 0, StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(error):
        patch.setattr(sys, "argv", ["ship.py", *arguments])
        try:
            runpy.run_path(str(SCRIPTS / "ship.py"), run_name="__main__")
        except SystemExit as end:  # a message is printed by whoever calls a script
            status = 1 if isinstance(end.code, str) else end.code
            error.write(f"{end.code}\n")
    return SimpleNamespace(returncode=status, stderr=error.getvalue())


def test_shipped_weights_are_judged_as_they_lie_there_and_say_where_they_come_from(trained):
    done = ship("outputs/tiny", "tiny")
    assert done.returncode == 0, done.stderr
    shipped = Path("weights/tiny")
    assert sorted(path.name for path in shipped.iterdir()) == [
        "README.md",
        "metrics.json",
        "model.safetensors",
        "model.yaml",
    ]
    weights = load_file(shipped / "model.safetensors")
    assert weights["output.weight"].dtype == torch.float16
    images = read_yaml(Path("outputs/tiny/model/model.yaml"))["trained_on"]
    assert read_yaml(shipped / "model.yaml")["trained_on"] == images
    metrics = read_json(shipped / "metrics.json")
    assert metrics["val/accuracy"] == pytest.approx(
        read_json(Path("outputs/tiny/metrics.json"))["val/accuracy"], abs=0.1
    )
    page = (shipped / "README.md").read_text()
    assert "    git checkout " + "a" * 40 + "\n    python train.py " in page
    assert f"| PublicTest | {100 * metrics['test/public/accuracy']:.2f} % ± " in page
    assert shlex.join(TINY) in page
    assert "trained and judged on faces drawn by the program (not FER-2013)" in page
    assert "/home/me" not in page


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/x", "..", "", "a b"])
def test_a_name_that_is_none_ships_nothing(name, tmp_path):
    done = ship("outputs/tiny", name)
    assert done.returncode == 1
    assert done.stderr == f"ferlab: NAME must be a plain name, such as mine; got {name!r}\n"


@pytest.mark.parametrize("commit", ["a" * 40 + "-dirty", None])
def test_what_no_commit_holds_is_not_shipped(trained, commit):
    write_json(trained, {**read_json(trained), "commit": commit})
    done = ship("outputs/tiny", "tiny")
    assert done.returncode == 1
    assert done.stderr.startswith("ferlab: outputs/tiny was trained by code that no commit holds")
    assert done.stderr.count("\n") == 1
    assert not Path("weights").exists()


def test_what_two_commits_trained_is_not_shipped(trained):
    resumed = [{"commit": "a" * 40, "python": "3.0"}, {"commit": "b" * 40}]
    write_json(trained, {**read_json(trained), "resumed": resumed[:1]})
    assert ship("outputs/tiny", "tiny").returncode == 0
    write_json(trained, {**read_json(trained), "resumed": resumed})
    done = ship("outputs/tiny", "other")
    assert done.returncode == 1
    assert f"was begun at commit {'a' * 40} and gone on with at {'b' * 40}" in done.stderr
    assert not Path("weights/other").exists()


def test_weights_do_not_take_the_place_of_labels(trained):
    Path("weights/mine").mkdir(parents=True)
    Path("weights/mine/labels.safetensors").touch()
    done = ship("outputs/tiny", "mine")
    assert done.stderr == "ferlab: weights/mine holds labels; choose another NAME\n"
    assert [path.name for path in Path("weights/mine").iterdir()] == ["labels.safetensors"]


def test_what_was_trained_with_a_persons_own_values_is_not_shipped(trained):
    write_json(trained, {**read_json(trained), "local": ["data.batch_size of conf/local", "/mine"]})
    done = ship("outputs/tiny", "tiny")
    assert done.returncode == 1
    assert "with data.batch_size of conf/local, /mine, which no commit holds" in done.stderr
    assert not Path("weights").exists()


def test_what_was_taken_out_of_a_recipe_stands_in_the_command_that_makes_it_again(trained):
    recipe = ["experiment=small", *TINY, "scheduler=cosine", "~scheduler.warm_up"]
    assert main(["train", *recipe, "hydra.run.dir=outputs/less"]) == 0
    environment = Path("outputs/less/environment.json")
    write_json(environment, {**read_json(environment), "commit": "a" * 40})
    assert ship("outputs/less", "less").returncode == 0
    assert (
        f"    {shlex.join(['python', 'train.py', *recipe])}\n"
        in Path("weights/less/README.md").read_text()
    )


def test_what_another_split_validated_is_not_shipped(trained):
    assert main(["train", *TINY, "data.split_seed=7", "hydra.run.dir=outputs/other"]) == 0
    environment = Path("outputs/other/environment.json")
    write_json(environment, {**read_json(environment), "commit": "a" * 40})
    done = ship("outputs/other", "tiny")
    assert done.returncode == 1
    assert "validated by another split than ferlab's (data.split_seed=7)" in done.stderr
    assert not Path("weights").exists()


def test_of_all_training_images_it_is_said(trained):
    everything = ["data.val_fraction=0", "scheduler=none", "callbacks.early_stopping=null"]
    assert main(["train", *TINY, *everything, "hydra.run.dir=outputs/all"]) == 0
    environment = Path("outputs/all/environment.json")
    write_json(environment, {**read_json(environment), "commit": "a" * 40})
    assert ship("outputs/all", "all").returncode == 0
    page = Path("weights/all/README.md").read_text()
    assert "Trained on all of Training alone by" in page
    assert "in 3 epochs, of which the last one is kept" in page
    assert "validation" not in page


def test_what_learned_from_a_network_that_no_commit_holds_is_not_shipped(trained):
    assert (
        main(
            ["train", *TINY, "distillation.teachers=[outputs/tiny]", "hydra.run.dir=outputs/pupil"]
        )
        == 0
    )
    environment = Path("outputs/pupil", "environment.json")
    write_json(environment, {**read_json(environment), "commit": "a" * 40})
    done = ship("outputs/pupil", "tiny")
    assert done.returncode == 1
    assert f"learned from outputs/tiny, which commit {'a' * 40} does not hold so" in done.stderr
    assert not Path("weights").exists()
