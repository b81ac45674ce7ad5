"""Trainings whose labels are in part what trained networks make of the images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Outcome
from interruptions import PowerCut, at_batch, cut_power

from ferlab.cli import main
from ferlab.emotions import EMOTIONS
from ferlab.networks.files import load_network, save_network

OWN_WAY = "distillation.share=1"


@pytest.fixture
def teacher(train):
    """The folder of a trained network."""
    status, _, err = train("hydra.run.dir=teacher")
    assert status == 0, err
    return Path("teacher")


@pytest.fixture
def happy(teacher):
    """The folder of a network alone, to which every face is happy."""
    network = load_network(teacher / "model")
    network.output.weight.data.zero_()
    network.output.bias.data[EMOTIONS.index("happy")] = 20.0
    save_network(network, Path("happy"))
    return Path("happy")


def accuracies(folder):
    with (folder / "history.csv").open(newline="") as file:
        return [float(row["train/accuracy"]) for row in csv.DictReader(file)]


def test_a_network_learns_what_its_teacher_says(happy, train):
    status, out, err = train(
        f"distillation.teachers=[{happy}]", OWN_WAY, "optimizer.lr=0.01", "hydra.run.dir=run"
    )
    assert status == 0, err
    assert "teacher happy labels the train images" in out
    predictions = np.load("run/predictions.npz", allow_pickle=False)
    predicted = predictions["val_probabilities"].argmax(axis=1)
    assert set(predicted) == {EMOTIONS.index("happy")}


def test_what_validates_and_tests_keeps_its_labels(happy, train):
    train(f"distillation.teachers=[{happy}]", OWN_WAY, "hydra.run.dir=run")
    predictions = np.load("run/predictions.npz", allow_pickle=False)
    for split in ("val", "test"):
        for label, name in zip(
            predictions[f"{split}_labels"], predictions[f"{split}_names"], strict=True
        ):
            assert EMOTIONS[label] in name


def test_several_teachers_count_alike(happy, teacher, train):
    for name, teachers in {"one": f"[{happy},{teacher}]", "other": f"[{teacher},{happy}]"}.items():
        assert train(f"distillation.teachers={teachers}", f"hydra.run.dir={name}")[0] == 0
    assert accuracies(Path("one")) == pytest.approx(accuracies(Path("other")), abs=1e-6)


def test_labels_are_softened_before_images_are_mixed(happy, train):
    status, _, err = train(
        f"distillation.teachers=[{happy}]", OWN_WAY, "augment.mixup=0.4", "hydra.run.dir=run"
    )
    assert status == 0, err
    assert accuracies(Path("run"))[-1] > 0.5  # of labels that are happy, every one


@pytest.mark.parametrize("batch", [0, 3])
def test_a_training_that_was_cut_off_goes_on_as_if_nothing_had_happened(
    teacher, train, monkeypatch, batch
):
    command = (f"distillation.teachers=[{teacher}]", "checkpoint.every=1 batches")
    train(*command, "hydra.run.dir=whole")
    at_batch(monkeypatch, 1, batch, cut_power)
    with pytest.raises(PowerCut):
        train(*command, "hydra.run.dir=cut")
    assert train(*command, "hydra.run.dir=cut")[0] == 0
    Outcome(Path("cut")).assert_equal(Outcome(Path("whole")))


def test_a_training_does_not_go_on_with_another_teacher_of_the_same_name(
    happy, teacher, train, monkeypatch
):
    command = (f"distillation.teachers=[{happy}]", "hydra.run.dir=run")
    at_batch(monkeypatch, 1, 0, cut_power)
    with pytest.raises(PowerCut):
        train(*command)
    shutil.rmtree(happy)
    shutil.copytree(teacher / "model", happy)
    status, _, err = train(*command)
    assert status == 1
    assert "run was begun with other teachers" in err


def test_the_folder_of_a_sweep_stands_for_all_its_runs(train):
    assert train("-m", "seed=0,1", "hydra.sweep.dir=sweep")[0] == 0
    status, out, err = train("distillation.teachers=[sweep]", "hydra.run.dir=run")
    assert status == 0, err
    assert out.count("labels the train images") == 2


def test_a_search_trains_its_trials_so_too(happy, capfd):
    overrides = (f"distillation.teachers=[{happy}]", OWN_WAY, "tune.trials=1", "tune.startup=1")
    assert main(["tune", *TINY, *overrides, "hydra.run.dir=tune"]) == 0
    metrics = json.loads(Path("tune/metrics.json").read_text())
    assert metrics["val/accuracy"] == pytest.approx(2 / 13)  # 13 images, 2 of them happy


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["distillation.teachers=[nowhere]"], "there is no folder nowhere"),
        (["distillation.teachers=[latest]"], "there is no folder latest"),
        (["distillation.teachers=teacher"], "must be a list of folders; got 'teacher'"),
        (["distillation.teachers=[1]"], "must be a list of folders; got [1]"),
        (["distillation.teachers=[teacher]", "distillation.share=1.5"], "distillation.share must"),
        (["distillation.teachers=[teacher]", "data.split_seed=1"], "data.split_seed=0"),
        (["distillation.teachers=[teacher]", "data.val_fraction=0.2"], "data.val_fraction=0.1"),
    ],
)
def test_a_mistake_is_one_line_before_any_image_is_read(teacher, train, overrides, said):
    status, out, err = train(*overrides, "hydra.run.dir=run")
    assert status == 1
    assert err.startswith("ferlab: distillation.")
    assert said in err
    assert err.count("\n") == 1
    assert "data:" not in out
    assert not Path("run").exists()


def test_a_folder_that_holds_no_network_is_no_teacher(train):
    Path("empty").mkdir()
    status, _, err = train("distillation.teachers=[empty]")
    assert status == 1
    assert err.startswith("ferlab: distillation.teachers: run=empty is not a run")
