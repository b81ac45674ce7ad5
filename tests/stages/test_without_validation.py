"""Trainings on all training images: nothing validates, and the last epoch's weights are kept."""

import csv
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Outcome
from faces import make_csv, make_store
from interruptions import at_batch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ferlab.cli import main
from ferlab.learning import normalisation
from ferlab.learning.classifier import EmotionClassifier

ALL = ["data.val_fraction=0", "scheduler=one_cycle", "callbacks.early_stopping=null"]
N_BATCHES = 112 // 16  # of an epoch of all training images


@pytest.fixture
def run(finished):
    """A finished run, and what its training said."""
    return Path("run"), finished("run", *ALL)


def test_all_training_images_train_and_nothing_is_said_of_validation(run):
    folder, out = run
    assert next(line for line in out.splitlines() if line.startswith("train ")).split()[1] == "112"
    assert "validation " not in out
    assert "val " not in out
    assert "nothing validated, the weights of epoch 3, the last, are kept" in out
    metrics = json.loads((folder / "metrics.json").read_text())
    assert not [name for name in metrics if name.startswith("val/")]
    assert metrics["best_epoch"] == metrics["epochs"] == 3
    predictions = np.load(folder / "predictions.npz", allow_pickle=False)
    assert not [name for name in predictions if name.startswith("val_")]
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val/loss"] + row["val/accuracy"] for row in rows] == ["", "", ""]
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def kept(folder):
    return torch.load(f"{folder}/checkpoints/best.ckpt", weights_only=True)


def last(folder):
    whole = torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {name.removeprefix("network."): tensor for name, tensor in whole.items()}


def test_the_last_weights_are_kept(run):
    trained = last("run")
    assert all(torch.equal(tensor, trained[name]) for name, tensor in kept("run").items())


def test_of_averaged_weights_the_average_is_kept(train, run, monkeypatch):
    averaged = ["callbacks=ema", *ALL, "callbacks.ema.decay=0.9", "hydra.run.dir=averaged"]
    at_batch(monkeypatch, 2, 2, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*averaged)[0] == 130
    assert train(*averaged)[0] == 0
    average = last("averaged")  # of a training with averaged weights Lightning saves these
    assert all(torch.equal(tensor, average[name]) for name, tensor in kept("averaged").items())
    assert not torch.equal(average["output.weight"], last("run")["output.weight"])


@pytest.mark.parametrize(("epoch", "batch"), [(1, 2), (2, N_BATCHES - 1)])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    train, run, monkeypatch, epoch, batch
):
    at_batch(monkeypatch, epoch, batch, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*ALL, "hydra.run.dir=again")[0] == 130
    assert train(*ALL, "hydra.run.dir=again")[0] == 0
    Outcome(Path("again")).assert_equal(Outcome(run[0]))


@pytest.mark.parametrize("lost", ["metrics.json", "checkpoints/best.ckpt"])
def test_a_training_that_has_ended_is_judged_again_without_another_epoch(train, run, lost):
    before = Outcome(run[0])
    for file in {"metrics.json", lost}:
        Path("run", file).unlink()
    status, out, _ = train(*ALL, "hydra.run.dir=run")
    assert status == 0
    assert "epoch   1" not in out
    Outcome(run[0]).assert_equal(before)


def test_a_finished_folder_is_left_as_it_is(train, run):
    status, out, _ = train(*ALL, "hydra.run.dir=run")
    assert status == 0
    assert "finished before" in out


def test_tensorboard_has_what_is_known_of_training_alone(train):
    assert train(*ALL, "logger.confusion_every=1", "hydra.run.dir=run")[0] == 0
    tags = EventAccumulator("run").Reload().Tags()
    assert "train/loss" in tags["scalars"]
    assert "test/confusion" in tags["images"]
    assert not [tag for tag in tags["scalars"] + tags["images"] if tag.startswith("val/")]


def test_weights_that_are_no_numbers_are_not_kept(train, monkeypatch):
    step = EmotionClassifier.optimizer_step

    def spoil(module, *arguments, **named):
        step(module, *arguments, **named)
        if (module.current_epoch, module.trainer.is_last_batch) == (2, True):
            module.network.output.bias.data[0] = torch.nan

    monkeypatch.setattr(EmotionClassifier, "optimizer_step", spoil)
    status, _, err = train(*ALL, "hydra.run.dir=run")
    assert status == 1
    assert "a weight is not a finite number after batch 7 of epoch 3" in err
    assert not Path("run/checkpoints/best.ckpt").exists()


def test_statistics_that_are_no_numbers_are_not_kept(train, monkeypatch):
    def spoil(module, batches):
        next(module.network.buffers())[0] = torch.nan

    monkeypatch.setattr(normalisation, "measure_batch_norm", spoil)
    status, _, err = train(*ALL, "callbacks=precise_batch_norm", "hydra.run.dir=run")
    assert status == 1
    assert "a weight is not a finite number" in err
    assert not Path("run/checkpoints/best.ckpt").exists()


def test_without_any_image_to_judge_on_nothing_is_trained(capfd):
    make_csv(Path("train.csv"), make_store(2, splits=("training",)))
    assert main(["train", "data.root=train.csv", *ALL, "hydra.run.dir=run"]) == 1
    assert "there are no test images, and data.val_fraction=0 leaves none" in capfd.readouterr().err
    assert not Path("run").exists()


def test_a_sweep_of_both_kinds_ends_in_its_table(train):
    alike = ["scheduler=none", "callbacks.early_stopping=null", "trainer.max_epochs=1"]
    both = ["-m", "data.val_fraction=0,0.1", "seed=0,1", "data.source.seed=0"]
    status, out, err = train(*both, *alike)
    assert status == 0, err
    assert "±" in out


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


def test_nothing_is_said_to_be_chosen_that_was_not(run, capfd):
    assert main(["compare", "runs=[.]", "hydra.run.dir=page"]) == 0
    page = Path("page/index.html").read_text()
    assert "best 3" not in page
    assert "Learning curves" not in page  # they are of validation


def test_later_stages_accept_a_run_that_held_nothing_out(run, train, capfd):
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


def test_a_network_trained_on_all_images_teaches_only_where_nothing_validates(run, train):
    shutil.copytree("run/model", "weights")
    shutil.copy("run/metrics.json", "weights")  # as of shipped ones
    for folder, said in (
        ("run", "data.val_fraction=0, so it may have seen what validates here"),
        ("weights", "all training images, so it has seen what validates here"),
    ):
        taught = [f"distillation.teachers=[{folder}]", f"hydra.run.dir=by_{folder}"]
        status, _, err = train(*taught)
        assert status == 1
        assert f"{folder} was trained " in err
        assert said in err
        assert train(*taught, *ALL)[0] == 0


def test_a_network_that_was_validated_may_teach_it(run, train):
    assert train("hydra.run.dir=validated", "trainer.max_epochs=1")[0] == 0
    assert train("distillation.teachers=[validated]", *ALL, "hydra.run.dir=taught")[0] == 0
