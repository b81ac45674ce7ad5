"""`ferlab train` from its command line to its folder."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY_TREE, Outcome
from faces import make_tree
from interruptions import at_batch
from PIL import Image
from sklearn.metrics import accuracy_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from ferlab.cli import main
from ferlab.emotions import EMOTIONS
from ferlab.files import read_json, write_text
from ferlab.learning.classifier import EmotionClassifier

LIGHTNINGS = "lightning.pytorch.callbacks"


@pytest.fixture
def run(finished):
    """A finished run, and what its training said."""
    return Path("run"), finished("run")


def test_a_run_folder_is_complete(run):
    folder, _ = run
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("events.out")} == {
        "config.yaml",
        "environment.json",
        "train.log",
        "history.csv",
        "metrics.json",
        "predictions.npz",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "model/model.safetensors",
        "model/model.yaml",
        "report/curves.png",
        "report/confusion_matrix.png",
        "report/confusion_matrix.csv",
        "report/reliability.png",
        "report/mistakes.png",
        "report/classification_report.txt",
        "report/classification_report.csv",
        "report/classification_report.json",
    }
    assert any(name.startswith("events.out") for name in files)


def test_the_recorded_configuration_is_resolved_and_plain(run):
    config = yaml.safe_load((run[0] / "config.yaml").read_text())
    assert config["data"]["source"]["size"] == 140
    assert config["callbacks"]["early_stopping"]["monitor"] == "val/accuracy"
    assert "${" not in (run[0] / "config.yaml").read_text()


def test_metrics_follow_from_the_predictions(run):
    metrics = json.loads((run[0] / "metrics.json").read_text())
    predictions = np.load(run[0] / "predictions.npz", allow_pickle=False)
    for split in ("val", "test"):
        probabilities = predictions[f"{split}_probabilities"]
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        predicted = probabilities.argmax(axis=1)
        labels = predictions[f"{split}_labels"]
        assert metrics[f"{split}/accuracy"] == accuracy_score(labels, predicted)
        for label, name in zip(labels, predictions[f"{split}_names"], strict=True):
            assert EMOTIONS[label] in name
    public = predictions["test_public"]
    assert public.sum() == 14
    assert metrics["test/public/accuracy"] == accuracy_score(
        predictions["test_labels"][public], predictions["test_probabilities"][public].argmax(axis=1)
    )


def test_the_restored_weights_are_those_of_the_best_epoch(run):
    metrics = json.loads((run[0] / "metrics.json").read_text())
    with (run[0] / "history.csv").open(newline="") as file:
        accuracies = [float(row["val/accuracy"]) for row in csv.DictReader(file)]
    assert metrics["epochs"] == len(accuracies)
    assert metrics["best_epoch"] == accuracies.index(max(accuracies)) + 1
    assert metrics["val/accuracy"] == pytest.approx(max(accuracies), abs=1e-6)


def test_the_console_says_what_was_chosen_and_what_came_out(run):
    folder, out = run
    for expected in ("cpu", "32-true", "drawn", "train", "validation", "disgust", "macro avg"):
        assert expected in out
    assert str(folder) in out
    assert "faces drawn by the program (not FER-2013)" in out
    log = (folder / "train.log").read_text()
    assert "disgust" in log
    assert "macro avg" in log


def test_the_same_command_gives_the_same_numbers(train, run):
    train("hydra.run.dir=again")
    Outcome(Path("again")).assert_equal(Outcome(run[0]))


def test_another_seed_gives_another_training(train, run):
    train("hydra.run.dir=other", "seed=1")
    assert Outcome(Path("other")).history != Outcome(run[0]).history


def test_a_finished_folder_is_left_as_it_is(train, run):
    folder, _ = run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, out, _ = train("hydra.run.dir=run")
    assert status == 0
    assert "finished before" in out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_folder_refuses_another_configuration_and_names_the_key(train, run):
    status, _, err = train("hydra.run.dir=run", "optimizer.lr=0.123")
    assert status == 1
    assert "optimizer.lr" in err
    assert "0.123" in err


def test_tensorboard_holds_curves_confusion_and_hyperparameters(run):
    events = EventAccumulator(str(run[0]), size_guidance={"tensors": 0}).Reload()
    scalars = events.Tags()["scalars"]
    for tag in ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "learning_rate"):
        assert [event.step for event in events.Scalars(tag)] == [1, 2, 3]
    assert "hp/test/accuracy" in scalars
    assert "test/confusion" in events.Tags()["images"]
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_tensorboard_shows_the_first_batch_and_the_confusion_at_intervals(train, monkeypatch):
    run = ["hydra.run.dir=run", "trainer.max_epochs=5", "logger.confusion_every=2"]
    at_batch(monkeypatch, 3, 1, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*run)[0] == 130
    assert train(*run)[0] == 0
    events = EventAccumulator("run", size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Images("val/confusion")] == [2, 4]
    (first,) = events.Images("train/first batch")
    assert (first.width, first.height) == (2 * (16 * 50 - 2), 2 * 48)  # 16 images in one row


def test_tensorboards_hyperparameters_are_what_is_swept(train):
    sweep = ["-m", "model.layers.0.kernel=1,3", "optimizer=adam,sgd", "trainer.max_epochs=1"]
    assert train(*sweep)[0] == 0
    (one,) = Path("outputs/sweeps").glob("*/model.layers.0.kernel-3_optimizer-sgd")
    events = EventAccumulator(str(one)).Reload()
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert set(values) == {"model", "optimizer", "model.layers.0.kernel"}
    assert values["optimizer"].string_value == "sgd"
    assert values["model.layers.0.kernel"].number_value == 3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("err == 0. DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    ],
)
def test_too_little_memory_is_one_line(train, monkeypatch, error):
    def fail():
        raise error

    at_batch(monkeypatch, 0, 1, fail)
    status, _, err = train()
    assert status == 1
    assert err.startswith("ferlab: there is not enough memory; try a smaller data.batch_size")
    assert err.count("\n") == 1


def test_a_device_that_this_torch_cannot_use_is_one_line(train, monkeypatch):
    def fail():
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    at_batch(monkeypatch, 0, 0, fail)
    status, _, err = train()
    assert (status, err.count("\n")) == (1, 1)
    assert "no kernels for this CUDA device; use trainer.accelerator=cpu" in err


def test_too_little_memory_on_a_resume_is_no_fault_of_the_checkpoint(train, monkeypatch):
    at_batch(monkeypatch, 1, 1, lambda: signal.raise_signal(signal.SIGTERM))
    assert train("hydra.run.dir=run")[0] == 130

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(EmotionClassifier, "on_train_start", fail)
        status, _, err = train("hydra.run.dir=run")
    assert status == 1
    assert err.startswith("ferlab: there is not enough memory")
    assert train("hydra.run.dir=run")[0] == 0


def test_what_a_persons_own_file_sets_is_recorded_where_it_changes_the_result(train, tmp_path):
    mine = f"--config-dir={tmp_path / 'mine'}"
    write_text(tmp_path / "mine/local/default.yaml", "data: {root: null, batch_size: 16}")
    assert train(mine, "trainer.max_epochs=1", "hydra.run.dir=run")[0] == 0
    own = ["data.batch_size of conf/local", os.path.relpath(tmp_path / "mine")]
    assert read_json(Path("run/environment.json"))["local"] == own
    assert main(["evaluate", mine, "run=run", "trainer.accelerator=cpu"]) == 0


def test_without_such_a_file_nothing_is_recorded(run):
    assert read_json(Path("run/environment.json"))["local"] == []


def test_sgd_trains_too(train):
    status, _, err = train("optimizer=sgd", "scheduler=none", "trainer.max_epochs=1")
    assert status == 0, err
    assert list(Path("outputs/train").iterdir())[0].name == "F-sgd"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=G", "there is no model=G; model is one of A, B, C, D, E, F"),
        ("optimizer.lr=-1", "optimizer.lr must be a number > 0; got -1"),
        ("optimizer.lr=fast", "optimizer.lr must be a number > 0; got 'fast'"),
        (
            "optimizer.lrr=1",
            "there is no optimizer.lrr, did you mean optimizer.lr?; to add one, write +optimizer.l",
        ),
        ("epochs=5", "there is no epochs, did you mean trainer.max_epochs?; train has "),
        ("+epochs=5", "there is no epochs, did you mean trainer.max_epochs?; train has "),
        ("+trainer.accumulate_grad_batches=4", "there is no trainer.accumulate_grad_batches; tra"),
        ("+data.num_workers=4", "there is no data.num_workers; data has title, "),
        ("scheduler=cosine scheduler.factor=0.5", "scheduler as chosen here has no factor; leave"),
        ("data.root=/real", "data as chosen here has no root; leave data.root out"),
        ("+data.root=/real", "data as chosen here has no root; leave data.root out"),
        ("data.source=5", "data.source"),
        ("model.layers.2.pol=2", "there is no model.layers.2.pol"),
        ("+checkpoint.last=true", "there is no checkpoint.last; checkpoint has every"),
        ("optimizer.weight_decay=-1", "optimizer: Invalid weight_decay value: -1"),
        ("optimizer.lr=1e-5", "cannot fall to scheduler.min_lr=1e-05 from optimizer.lr=1e-05; lo"),
        ("scheduler=cosine scheduler.min_lr=1e-3", "fall to scheduler.min_lr=0.001 from optimize"),
        ("scheduler.factor=2", "scheduler.factor must be a number > 0 and < 1; got 2"),
        (
            "model.layers.0.kernel=three",
            "layer 0: kernel must be an integer >= 1 and <= 48; got 'three'",
        ),
        ("trainer.max_epochs=-3", "trainer.max_epochs must be an integer >= 1; got -3"),
        ("trainer.precision=16", "trainer.precision must be one of"),
        ("trainer.accelerator=gpu", "trainer.accelerator must be one of"),
        (
            "trainer.precision=16-mixed trainer.gradient_clip=1.0",
            "trainer.gradient_clip with trainer.precision=16-mixed needs optimizer.fused=false",
        ),
        ("data.val_fraction=1.5", "data.val_fraction must be a number >= 0 and < 1; got 1.5"),
        ("data.batch_size=0", "data.batch_size must be an integer >= 2; got 0"),
        ("data.size=7", "data.size"),
        ("seed=-1", "seed must be an integer >= 0 and <= 4294967295; got -1"),
        ("seed=null", "seed must be an integer"),
        ("monitor=val/f1", "monitor must be one of val/accuracy, val/loss"),
        ("checkpoint.every=60", "checkpoint.every must be a time or a number of batches, such as"),
        ("checkpoint.every=0min", "'200 batches'; got '0min'"),
        ("checkpoint.every=1.5batches", "'200 batches'; got '1.5batches'"),
        ("callbacks.early_stopping.patience=0", "callbacks.early_stopping.patience must be"),
        ("+augment.extra.joy=5", "augment.extra has no 'joy'"),
        ("+augment.transforms.rotation=-5", "augment.transforms.rotation must be a number"),
        ("+augment.transforms.shear=5", "augment.transforms has no 'shear'"),
        ("augment.apply_to=none", "augment.apply_to must be one of extra, all"),
        ("data.source._target_=ferlab.nowhere", "data.source"),
        ("optimizer._target_=torch.optim.Adamm", "optimizer"),
        ("model=[F,F]", "model=[F,F] would merge them into one; name one, or sweep with -m"),
        ("nonsense", "nonsense"),
        (
            "scheduler=null",
            "scheduler cannot be empty; scheduler is one of cosine, none, one_cycle, plateau",
        ),
        ("optimizer.lr=inf", "optimizer.lr must be a number > 0; got inf"),
        (
            "~optimizer._target_",
            "optimizer has no _target_, which names what is made of it; "
            "choose a file that has one, or take it out with '~optimizer'",
        ),
        ("loss._target_=torch.nn.CrossEntropyLoss ~loss.class_weights", "loss: torch.nn.CrossEn"),
        ("scheduler._target_=builtins.dict", "scheduler: builtins.dict has no build; choose one"),
        ("callbacks.early_stopping._target_=builtins.dict", "builtins.dict is no Callback"),
        (f"+callbacks.x._target_={LIGHTNINGS}.ModelCheckpoint", "ModelCheckpoint is not needed"),
        (
            f"+callbacks.x._target_={LIGHTNINGS}.StochasticWeightAveraging "
            "+callbacks.x.swa_lrs=0.1",
            "StochasticWeightAveraging adds an epoch that nothing here counts; use callbacks=ema",
        ),
        (
            f"+callbacks.x._target_={LIGHTNINGS}.GradientAccumulationScheduler "
            "+callbacks.x.scheduling={0:5}",
            "GradientAccumulationScheduler changes what a step is",
        ),
        (f"+callbacks.x._target_={LIGHTNINGS}.BatchSizeFinder", "use a data.batch_size"),
        (f"+callbacks.x._target_={LIGHTNINGS}.LearningRateFinder", "use `ferlab tune`"),
        (
            f"+callbacks.x._target_={LIGHTNINGS}.EarlyStopping +callbacks.x.monitor=train/loss",
            "EarlyStopping cannot watch train/loss; it can watch val/accuracy, val/loss",
        ),
        ("checkpoint=null", "checkpoint is a group, not None; set what it holds, as checkpoint.ev"),
        ("seed=4294967296", "seed must be an integer >= 0 and <= 4294967295; got 4294967296"),
        ("+callbacks.mine.pace=1", "callbacks.mine has no _target_"),
        ("augment.refine=10", "augment.refine must be a number >= 0 and <= 1; got 10"),
        ("augment.mixup=1e300", "augment.mixup must be a number >= 0 and <= 100; got 1e+300"),
        (
            "optimizer=sgd optimizer.momentum=1.5",
            "optimizer.momentum must be a number >= 0 and < 1",
        ),
        ("debug=null", "debug cannot be null on a command line; leave null out"),
        ("-m experiment=null,small", "experiment cannot be null on a command line"),
        (
            "augment.extra={}",
            "augment.extra={} would change nothing; set what it holds, key by key",
        ),
        ("scheduler.patience=four", "scheduler.patience must be an integer >= 0; got 'four'"),
        ("scheduler.factor=-1", "scheduler.factor must be a number > 0 and < 1; got -1"),
        ("augment.frozen=no", "augment.frozen must be true or false; got 'no'"),
        ("+augment.rotation=5", "augment has no 'rotation'; it has extra, apply_to"),
        ("augment.transforms=5", "augment.transforms must map names to values; got 5"),
        ("augment.extra=5", "augment.extra must map classes to numbers; got 5"),
        ("+augment.extra.fear=5", "augment.extra and augment.apply_to=all need"),
        ("optimizer.betas=[0.9]", "optimizer: "),
        ("+optimizer.foreach=true", "optimizer: "),
        ("+optimizer.momentum=0.9", "torch.optim.Adam has no momentum; take optimizer.momentum"),
        ("seed=18446744073709551616", "seed must be an integer >= 0 and <= 4294967295"),
        ("logger._target_=ferlab.nothing", "logger: "),
        ("+logger.flush=5", "RunTensorBoard has no flush; take logger.flush out"),
        ("logger.confusion_every=0", "logger.confusion_every must be an integer >= 1; got 0"),
        ("+data.source.colour=1", "ferlab.data.sources.drawn has no colour; take data.source"),
        ("hydra.run.dir=/dev/null/run", "Not a directory: /dev/null/run"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(train, override, message):
    status, _, err = train(*override.split())
    assert status == 1
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert lines[0].startswith("ferlab: ")
    assert message in lines[0]
    assert not list(Path().iterdir())


def test_a_wrong_image_is_one_line_and_leaves_no_folder(capfd):
    for part, prefix in (("train", "Training"), ("test", "PublicTest")):
        for emotion in EMOTIONS:
            Path("faces", part, emotion).mkdir(parents=True)
            for number in range(2):
                pixels = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
                Image.fromarray(pixels).save(f"faces/{part}/{emotion}/{prefix}_{number}.jpg")
    Image.new("L", (50, 50)).save("faces/train/happy/Training_9.jpg")
    capfd.readouterr()
    status = main(["train", "data.root=faces"])
    err = capfd.readouterr().err
    assert status == 1
    assert "Training_9.jpg is 50×50 pixels" in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["faces"]


def test_a_finished_folder_does_not_answer_for_other_data(capfd):
    make_tree(Path("faces"))
    command = ["train", *TINY_TREE, "hydra.run.dir=run"]
    assert main(command) == 0
    assert main(command) == 0
    assert "finished before" in capfd.readouterr().out
    shutil.copy(next(Path("faces/train/sad").iterdir()), "faces/train/happy/Training_9.jpg")
    assert main(command) == 1
    assert "run was begun with other data (" in capfd.readouterr().err
    shutil.rmtree("faces")
    assert main(command) == 0
    assert "finished before" in capfd.readouterr().out


def test_nothing_is_downloaded_to_look_at_a_finished_folder(capfd, monkeypatch):
    make_tree(Path("data/fer2013"))
    command = ["train", "data.batch_size=16", *TINY_TREE[2:], "hydra.run.dir=run"]
    assert main(command) == 0
    shutil.rmtree("data")
    monkeypatch.setattr("ferlab.data.sources._kaggle", lambda: pytest.fail("downloaded"))
    assert main(command) == 0
    assert "finished before" in capfd.readouterr().out


def test_what_lightning_does_not_allow_is_one_line(train):
    status, _, err = train(f"+callbacks.x._target_={LIGHTNINGS}.LearningRateMonitor", "logger=none")
    assert status == 1
    assert err.startswith("ferlab: Cannot use `LearningRateMonitor` callback with `Trainer`")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scheduler=one_cycle", "while the learning rate is still high"),
        ("augment.refine=0.5", "before augment.refine begins"),
    ],
)
def test_what_early_stopping_may_cut_off_is_told(train, override, said):
    assert said in train(override, "hydra.run.dir=stopping")[1]
    assert said not in train("hydra.run.dir=plain")[1]
    patient = train(override, "callbacks.early_stopping=null", "hydra.run.dir=patient")
    assert patient[0] == 0
    assert said not in patient[1]


def test_a_folder_of_a_version_that_did_not_know_a_key_is_still_its_own(finished, train):
    finished("run")
    config = Path("run/config.yaml")
    recorded = yaml.safe_load(config.read_text())
    assert recorded["augment"].pop("refine") == 0
    assert recorded["data"].pop("folds") is None
    assert recorded["data"].pop("fold") == 0
    config.write_text(yaml.safe_dump(recorded))
    status, out, err = train("hydra.run.dir=run")
    assert status == 0, err
    assert "finished before, nothing to do" in out
    refined = train("hydra.run.dir=run", "augment.refine=0.5")[2]
    assert "augment.refine (0.0 there, 0.5 now)" in refined
