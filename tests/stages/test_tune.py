"""`ferlab tune` from its command line to its recipe."""

import csv
import gc
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import yaml
from conftest import TINY

from ferlab.cli import main
from ferlab.data.datamodule import FaceDataModule
from ferlab.learning.classifier import EmotionClassifier

ROOT = Path(__file__).parents[2]

SMALL = [
    *TINY,
    "trainer.max_epochs=2",
    "tune.startup=2",
    "tune.warmup=1",
    "tune.space.data.batch_size.choices=[8,16]",
]


@pytest.fixture
def tune(capfd):
    """`ferlab tune` on tiny drawn data: overrides to exit status, standard output, error."""

    def run(*overrides):
        capfd.readouterr()
        status = main(["tune", *SMALL, *overrides])
        out, err = capfd.readouterr()
        return status, out, err

    return run


def only_folder():
    (folder,) = Path("outputs/tune").iterdir()
    return folder


def trials(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_leaves_its_trials_its_page_and_a_recipe_that_trains_to_the_same(tune, train):
    status, out, err = tune("tune.trials=3")
    assert status == 0, err
    folder = only_folder()
    assert folder.name.startswith("F-adam-default-")
    assert {path.name for path in folder.iterdir()} == {
        "best.yaml",
        "config.yaml",
        "environment.json",
        "index.html",
        "locks",
        "metrics.json",
        "study.journal",
        "trials.csv",
        "tune.log",
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["trials"] == 3
    assert [line.split()[1] for line in out.splitlines() if line.startswith("trial   ")] == [
        "0",
        "1",
        "2",
    ]
    best = trials(folder)[metrics["best_trial"]]
    assert metrics["val/accuracy"] == float(best["val/accuracy"])
    assert metrics["val/accuracy"] == max(
        float(row["val/accuracy"]) for row in trials(folder) if row["outcome"] == "complete"
    )
    assert "test/accuracy" not in metrics

    put, _, train_it = re.search("train it with\n  (.*)", out)[1].rpartition(" && ")
    subprocess.run(["bash", "-c", put], check=True)
    program, *arguments = shlex.split(train_it)
    assert program == "ferlab"
    assert main([*arguments, "hydra.run.dir=run"]) == 0
    trained = json.loads(Path("run/metrics.json").read_text())
    assert trained["val/accuracy"] == pytest.approx(metrics["val/accuracy"], abs=1e-6)
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["optimizer"]["lr"] == float(best["optimizer.lr"])
    assert config["data"]["batch_size"] == int(best["data.batch_size"])
    assert "tune" not in config


def test_the_same_command_has_nothing_to_do_and_more_trials_go_on(tune):
    tune("tune.trials=2")
    before = {path: path.stat().st_mtime_ns for path in only_folder().rglob("*")}
    status, out, _ = tune("tune.trials=2")
    assert status == 0
    assert "finished before, nothing to do" in out
    assert {path: path.stat().st_mtime_ns for path in only_folder().rglob("*")} == before
    status, _, err = tune("tune.trials=3")
    assert status == 0, err
    assert [row["trial"] for row in trials(only_folder())] == ["0", "1", "2"]


def test_another_configuration_has_a_folder_of_its_own_and_is_refused_in_this_one(tune):
    tune("tune.trials=1")
    status, _, err = tune("tune.trials=1", "seed=1", f"hydra.run.dir={only_folder()}")
    assert status == 1
    assert "belongs to another configuration: data.source.seed" in err
    assert tune("tune.trials=1", "seed=1")[0] == 0
    assert len(list(Path("outputs/tune").iterdir())) == 2


def test_no_trial_sees_a_test_image(tune, monkeypatch):
    judged = set()
    batches_of = FaceDataModule.batches_of

    def watched(data, rows, *size):
        judged.update(data.store.splits[rows].tolist())
        return batches_of(data, rows, *size)

    monkeypatch.setattr(FaceDataModule, "batches_of", watched)
    assert tune("tune.trials=2")[0] == 0
    assert judged == {0}  # the training split, of which validation is a part


def test_a_trial_that_cannot_be_is_shown_and_the_others_go_on(tune):
    status, out, err = tune(
        "tune.trials=3",
        "tune.space.optimizer=null",
        "+tune.space.model.layers.0.pool={choices: [4, 49]}",
    )
    assert status == 0, err
    rows = trials(only_folder())
    failed = [row for row in rows if row["outcome"] == "failed"]
    assert 0 < len(failed) < 3
    assert all(row["model.layers.0.pool"] == "49" for row in failed)
    assert "layer 0: pool" in failed[0]["reason"]
    assert f"trial {failed[0]['trial']}: " in out


def test_a_trial_that_is_too_large_for_the_memory_is_shown_and_the_others_go_on(tune, monkeypatch):
    fit = L.Trainer.fit

    def fit_what_fits(trainer, module, datamodule):
        if datamodule.batch_size == 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        fit(trainer, module, datamodule=datamodule)

    monkeypatch.setattr(L.Trainer, "fit", fit_what_fits)
    status, _, err = tune("tune.trials=4", "tune.space.optimizer=null")
    assert status == 0, err
    rows = trials(only_folder())
    failed = [row for row in rows if row["outcome"] == "failed"]
    assert 0 < len(failed) < 4
    assert all(row["data.batch_size"] == "16" for row in failed)
    assert failed[0]["reason"].startswith("there is not enough memory")


@pytest.mark.parametrize("monitor", ["val/accuracy", "val/loss"])
def test_a_trial_that_diverges_fails_with_its_reason(tune, monitor):
    fixed = ["tune.space.optimizer=null", "optimizer=sgd", "optimizer.lr=1e38"]
    status, _, err = tune("tune.trials=1", f"monitor={monitor}", *fixed)
    assert (status, err.count("\n")) == (1, 1)
    (row,) = trials(only_folder())
    assert row["outcome"] == "failed"
    assert "epoch 1; try a smaller optimizer.lr" in row["reason"]


def test_where_every_trial_fails_it_is_one_line_and_there_is_no_recipe(tune):
    status, _, err = tune("tune.trials=2", "+tune.space.model.layers.0.pool={choices: [49]}")
    assert status == 1
    assert err.startswith("ferlab: no trial came to its end")
    assert err.count("\n") == 1
    assert not (only_folder() / "best.yaml").exists()


def test_what_interpolates_a_varied_key_follows_it(tune):
    status, _, err = tune(
        "tune.trials=1",
        "model.layers.2.dropout=${model.layers.0.dropout}",
        "+tune.space.model.layers.0.dropout={choices: [0.125]}",
    )
    assert status == 0, err
    layers = yaml.safe_load((only_folder() / "best.yaml").read_text())["model"]["layers"]
    assert layers[0]["dropout"] == 0.125
    assert layers[2]["dropout"] == "${model.layers.0.dropout}"


@pytest.mark.parametrize(
    ("place", "start"),
    [(".", "ferlab train --config-dir recipes"), (ROOT, "python train.py")],
    ids=["elsewhere", "in the checkout"],
)
def test_what_the_search_took_out_is_taken_out_of_the_recipes_training_too(
    tune, tmp_path, monkeypatch, place, start
):
    monkeypatch.chdir(place)
    without = "~callbacks.early_stopping"
    status, out, err = tune("tune.trials=1", without, f"hydra.run.dir={tmp_path}/found")
    assert status == 0, err
    command = f"{start} experiment=tuned '{without}'"
    assert command in out
    assert f"# {command}\n" in (tmp_path / "found/best.yaml").read_text()


def test_what_a_persons_own_file_says_does_not_undo_what_was_found(tune):
    mine = Path("mine/local/default.yaml")
    mine.parent.mkdir(parents=True)
    mine.write_text("optimizer: {lr: 0.25, eps: 1e-4}\n")
    varied = ["~tune.space.optimizer", "+tune.space.optimizer.lr={choices: [0.125]}"]
    status, out, err = tune("tune.trials=1", *varied, "--config-dir=mine")
    assert status == 0, err
    recipe = yaml.safe_load((only_folder() / "best.yaml").read_text())
    assert recipe["optimizer"] == {"lr": 0.125, "eps": 1e-4}
    assert "experiment=tuned optimizer.lr=0.125\n" in out


def test_the_less_the_loss_the_better(tune):
    status, _, err = tune("tune.trials=3", "monitor=val/loss", "tune.pruner=none")
    assert status == 0, err
    metrics = json.loads((only_folder() / "metrics.json").read_text())
    assert metrics["val/loss"] == min(float(row["val/loss"]) for row in trials(only_folder()))


def test_trials_leave_nothing_in_memory(tune):
    def n_classifiers():
        return sum(isinstance(thing, EmotionClassifier) for thing in gc.get_objects())

    gc.collect()
    before = n_classifiers()
    assert tune("tune.trials=3")[0] == 0
    gc.collect()
    assert n_classifiers() <= before


def test_the_augmentation_can_be_searched_too(tune):
    status, _, err = tune("tune=augment", "augment=standard", "tune.trials=1")
    assert status == 0, err
    assert "augment.transforms.rotation" in trials(only_folder())[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tune=augmnt", "there is no tune=augmnt; tune is one of augment, default"),
        ("tune.trials=0", "tune.trials must be an integer >= 1; got 0"),
        ("tune.startup=0", "tune.startup must be an integer >= 1; got 0"),
        ("tune.pruner=halving", "tune.pruner must be one of none, median, hyperband"),
        ("tune.space.optimizer.lr.high=1e-9", "tune.space.optimizer.lr: low must be below high"),
        ("+tune.space.seed={low: 0, high: 9}", "tune.space cannot vary 'seed'"),
        ("optimizer.lr=-1", "optimizer.lr must be a number > 0; got -1"),
        (
            "data.val_fraction=0",
            "tune chooses by validation, and data.val_fraction=0 leaves",
        ),
        ("trainer.max_epochs=0", "trainer.max_epochs must be an integer >= 1; got 0"),
        ("model=G", "there is no model=G"),
        ("resume=latest", "tune has no resume; the command that began a study goes on with it"),
        ("+tune.trial=5", "there is no tune.trial, did you mean tune.trials?; tune has "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(tune, override, message):
    status, _, err = tune(override)
    assert status == 1
    (line,) = err.splitlines()
    assert message in line
    assert not list(Path().iterdir())


def reports():
    """Return the worker and the trial of each epoch that the journal knows of."""
    lines = (only_folder() / "study.journal").read_text().split("\n")[:-1]
    events = [json.loads(line) for line in lines]
    return [(event["worker_id"], event["trial_id"]) for event in events if "step" in event]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_two_processes_share_a_study_and_the_death_of_one_costs_no_trial(tune, number):
    command = [
        *[sys.executable, "-c", "import sys; from ferlab.cli import main; sys.exit(main())"],
        *["tune", *SMALL, "data.size=700", "trainer.max_epochs=20", "tune.trials=6"],
        *["tune.pruner=none", "callbacks.early_stopping=null"],
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start():
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with start() as doomed, start() as other:
        lines = iter(doomed.stdout.readline, "")
        first = next(line for line in lines if line.startswith("trial "))
        worker = {worker for worker, trial in reports() if trial == int(first.split()[1])}
        while len({trial for name, trial in reports() if name in worker}) < 2:
            assert doomed.poll() is None  # not yet in the middle of its second trial
        doomed.send_signal(number)
        _, err = doomed.communicate()
        assert doomed.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), err
        out, err = other.communicate()
        assert other.returncode == 0, err
    outcomes = [row["outcome"] for row in trials(only_folder())]
    assert sorted(outcomes) == ["complete"] * 6 + ["interrupted"]
    assert "6 complete, 1 interrupted" in out
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "finished before, nothing to do" in again.stdout
