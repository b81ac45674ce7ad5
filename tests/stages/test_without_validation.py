"""Trainings on all training images: nothing validates, and the last epoch's weights are kept."""

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Outcome
from interruptions import at_batch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ferlab.cli import main
from ferlab.networks.files import load_network, save_network
from ferlab.runs import RunFolder

ALL = ["data.val_fraction=0", "scheduler=one_cycle", "callbacks.early_stopping=null"]
N_BATCHES = 112 // 16  # of an epoch of all training images


@pytest.fixture
def finished(train):
    status, out, err = train(*ALL, "hydra.run.dir=run")
    assert status == 0, err
    return Path("run"), out


def test_all_training_images_train_and_nothing_is_said_of_validation(finished):
    folder, out = finished
    assert next(line for line in out.splitlines() if line.startswith("train ")).split()[1] == "112"
    assert "validation " not in out
    assert "val " not in out
    assert "nothing validated, last epoch 3 of 3, its weights restored" in out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert not [name for name in metrics if name.startswith("val/")]
    assert metrics["best_epoch"] == metrics["epochs"] == 3
    predictions = np.load(folder / "predictions.npz", allow_pickle=False)
    assert not [name for name in predictions if name.startswith("val_")]
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val/loss"] + row["val/accuracy"] for row in rows] == ["", "", ""]
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def test_the_last_weights_are_kept(finished):
    best = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    last = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(tensor, last[f"network.{name}"]) for name, tensor in best.items())


def test_of_averaged_weights_the_average_is_kept(train, finished):
    for decay in (0.0, 0.9):
        averaged = [f"hydra.run.dir={decay}", f"callbacks.ema.decay={decay}"]
        assert train("callbacks=ema", *ALL, *averaged)[0] == 0
    plain, same, averaged = (
        torch.load(f"{folder}/checkpoints/best.ckpt", weights_only=True)["output.weight"]
        for folder in ("run", "0.0", "0.9")
    )
    assert torch.equal(plain, same)
    assert not torch.equal(plain, averaged)


@pytest.mark.parametrize(("epoch", "batch"), [(1, 2), (2, N_BATCHES - 1)])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    train, finished, monkeypatch, epoch, batch
):
    at_batch(monkeypatch, epoch, batch, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*ALL, "hydra.run.dir=again")[0] == 130
    assert train(*ALL, "hydra.run.dir=again")[0] == 0
    Outcome(Path("again")).assert_equal(Outcome(finished[0]))


def test_a_training_that_lacks_its_metrics_alone_is_judged_again(train, finished):
    before = Outcome(finished[0])
    Path("run/metrics.json").unlink()
    status, out, _ = train(*ALL, "hydra.run.dir=run")
    assert status == 0
    assert "epoch   1" not in out
    Outcome(finished[0]).assert_equal(before)


def test_a_finished_folder_is_left_as_it_is(train, finished):
    status, out, _ = train(*ALL, "hydra.run.dir=run")
    assert status == 0
    assert "finished before" in out


def test_tensorboard_has_the_curves_of_training_alone(finished):
    scalars = EventAccumulator("run").Reload().Tags()["scalars"]
    assert "train/loss" in scalars
    assert not [tag for tag in scalars if tag.startswith("val/")]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["callbacks.early_stopping=null"], "the scheduler watches the validation"),
        (["scheduler=none"], "callbacks.early_stopping watches the validation"),
    ],
)
def test_nothing_can_watch_a_validation_that_there_is_not(train, overrides, said):
    status, _, err = train("data.val_fraction=0", *overrides, "hydra.run.dir=run")
    assert status == 1
    assert err.startswith(f"ferlab: {said}, and data.val_fraction=0 leaves none; ")
    assert err.count("\n") == 1
    assert not Path("run").exists()


def test_later_stages_do_without_it_too(finished, train, capfd):
    assert main(["evaluate", "run=run", "hydra.run.dir=judged"]) == 0
    command = ["extract_and_fit", "run=run", "classifiers=[logistic_regression]"]
    assert main([*command, "hydra.run.dir=fitted"]) == 0
    for folder in ("judged", "run/classical/logistic_regression"):
        metrics = json.loads(Path(folder, "metrics.json").read_text())
        assert metrics["test/images"] == 28
        assert "val/images" not in metrics
    assert not list(Path("run/features").rglob("val*"))

    assert train("hydra.run.dir=validated", "trainer.max_epochs=1")[0] == 0
    capfd.readouterr()
    assert main(["compare", "runs=[.]", "hydra.run.dir=page"]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    compared = [row[-1] for row in rows if row and row[0] == "F"]
    assert compared == ["validated", "judged", "run", "run/classical/logistic_regression"]


def test_it_teaches_only_where_nothing_validates(finished, train):
    save_network(load_network(Path("run/model")), Path("weights"))
    for folder, said in (("run", "data.val_fraction=0, so it may have seen"), ("weights", "all")):
        (Path("weights") / "metrics.json").write_text('{"test/accuracy": 0.5}')
        taught = [f"distillation.teachers=[{folder}]", f"hydra.run.dir=by_{folder}"]
        status, _, err = train(*taught)
        assert status == 1
        assert f"{folder} was trained " in err
        assert said in err
        assert train(*taught, *ALL)[0] == 0
    assert RunFolder(Path("by_run")).recorded_metrics() is not None


def test_a_network_that_was_validated_may_teach_it(finished, train):
    assert train("hydra.run.dir=validated", "trainer.max_epochs=1")[0] == 0
    assert train("distillation.teachers=[validated]", *ALL, "hydra.run.dir=taught")[0] == 0
