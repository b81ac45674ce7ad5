"""Checkpoints that are damaged, hostile or not to be written."""

import os
import pickle
import re
import shutil
import signal
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY, Outcome
from interruptions import at_batch
from lightning.pytorch.strategies import SingleDeviceStrategy

from ferlab.checks import FerlabError
from ferlab.cli import main
from ferlab.learning import checkpoints
from ferlab.learning.callbacks import BestWeights, Divergence
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.tensors import is_whole, read_tensors, write_tensors

LAST = Path("stopped/checkpoints/last.ckpt")
PREVIOUS = Path("stopped/checkpoints/previous.ckpt")
OFTEN = ["checkpoint.every=2batches", "hydra.run.dir=stopped"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, session_cache):
    """One training twice: finished, and stopped in its second epoch with two checkpoints."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLAB_CACHE", str(session_cache))
        patch.chdir(folder)
        assert main(["train", *TINY, "checkpoint.every=2batches", "hydra.run.dir=finished"]) == 0
        at_batch(patch, 1, 3, lambda: signal.raise_signal(signal.SIGTERM))
        assert main(["train", *TINY, *OFTEN]) == 130
    return folder


@pytest.fixture
def outcome(trained):
    return Outcome(trained / "finished")


@pytest.fixture
def stopped(trained):
    shutil.copytree(trained / "stopped", "stopped")
    assert is_whole(LAST)
    assert is_whole(PREVIOUS)


@pytest.fixture
def unreported(trained):
    """A training that has ended, and was killed while its report was written."""
    shutil.copytree(trained / "finished", "stopped")
    Path("stopped/metrics.json").unlink()


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit": flip_a_bit,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(b"\0" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_seen(tmp_path, damage):
    path = tmp_path / "weights"
    write_tensors(path, {"a": torch.zeros(1000)})
    assert is_whole(path)
    damage(path)
    assert not is_whole(path)
    assert read_tensors(path) is None


@pytest.mark.parametrize("damage", [flip_a_bit, DAMAGES["cut off"]])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(train, outcome, stopped, damage):
    damage(LAST)
    status, out, err = train(*OFTEN)
    assert status == 0, err
    assert f"{LAST} is damaged, the one before is taken" in out
    Outcome(Path("stopped")).assert_equal(outcome)


def test_where_every_checkpoint_is_damaged_nothing_is_overwritten(train, stopped):
    flip_a_bit(LAST)
    flip_a_bit(PREVIOUS)
    before = LAST.read_bytes(), PREVIOUS.read_bytes()
    status, _, err = train(*OFTEN)
    assert status == 1
    assert err == (
        "ferlab: no checkpoint in stopped/checkpoints is whole; delete them to start again\n"
    )
    assert before == (LAST.read_bytes(), PREVIOUS.read_bytes())


def test_where_there_is_no_checkpoint_before_a_damaged_one_none_is_said_to_be_taken(train, stopped):
    PREVIOUS.unlink()
    flip_a_bit(LAST)
    status, out, err = train(*OFTEN)
    assert status == 1
    assert f"{LAST} is damaged\n" in out
    assert "no checkpoint in stopped/checkpoints is whole" in err


def test_an_error_before_a_checkpoint_is_read_does_not_blame_it(train, stopped, monkeypatch):
    def fail(self):
        raise RuntimeError("no network")

    monkeypatch.setattr(SingleDeviceStrategy, "setup_environment", fail)
    with pytest.raises(RuntimeError, match="no network"):
        train(*OFTEN)
    assert is_whole(LAST)


def test_a_finished_training_keeps_one_checkpoint(trained):
    kept = trained / "finished/checkpoints"
    assert {path.name for path in kept.iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("checkpoints/best.ckpt", b"PK"),
        ("history.csv", b""),
        ("history.csv", b"epoch,train/loss\n1,0.5\n"),
    ],
)
def test_what_is_damaged_after_a_training_is_restored_from_its_last_checkpoint(
    train, outcome, unreported, monkeypatch, name, content
):
    Path("stopped", name).write_bytes(content)
    at_batch(monkeypatch, 0, 0, lambda: pytest.fail("trained again"))
    status, out, err = train(*OFTEN)
    assert status == 0, err
    assert f"stopped/{name} is damaged" in out
    Outcome(Path("stopped")).assert_equal(outcome)


def test_lost_reports_of_a_training_that_stopped_early_are_made_again_without_training(
    train, monkeypatch
):
    early = [*OFTEN, "callbacks.early_stopping.patience=1", "trainer.max_epochs=30"]
    assert train(*early, "optimizer.lr=0.3")[0] == 0
    outcome = Outcome(Path("stopped"))
    assert outcome.metrics["epochs"] < 30
    Path("stopped/metrics.json").unlink()
    Path("stopped/history.csv").unlink()
    at_batch(monkeypatch, outcome.metrics["epochs"], 0, lambda: pytest.fail("trained again"))
    status, _, err = train(*early, "optimizer.lr=0.3")
    assert status == 0, err
    Outcome(Path("stopped")).assert_equal(outcome)


class Touch:
    def __reduce__(self):
        return os.system, ("touch owned",)


def hostile_pickle(path):
    """Write a file of torch's form whose pickle runs a command."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, pickle.dumps(Touch(), 2) if part.endswith(".pkl") else content)


def changed(**values):
    def change(path):
        checkpoint = torch.load(path, weights_only=True)
        torch.save({**checkpoint, **values}, path)

    return change


FOREIGN = {
    "code": hostile_pickle,
    "a list": lambda path: torch.save([1, 2], path),
    "nothing": lambda path: torch.save({}, path),
    "other weights": changed(state_dict={"weight": torch.zeros(3)}),
    "an optimizer of other weights": changed(
        optimizer_states=[{"state": {}, "param_groups": [{"params": [0, 1]}]}]
    ),
    "callbacks of no kind": changed(callbacks=7),
    "a history of no kind": changed(callbacks={"History": {"rows": 3, "elapsed": "long"}}),
    "loops of no kind": changed(loops={"fit_loop": {"state_dict": 1}}),
    "a list of lists": lambda path: torch.save([[[]]] * 3, path),
}


@pytest.mark.parametrize("replace", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_checkpoint_of_the_training_is_one_line_and_runs_nothing(
    train, stopped, replace
):
    replace(LAST)
    status, _, err = train(*OFTEN)
    assert status == 1
    assert re.fullmatch(f"ferlab: {LAST} is no checkpoint of this training .*\n", err)
    assert not Path("owned").exists()


@pytest.mark.parametrize("replace", [hostile_pickle])
def test_best_weights_that_are_none_are_restored_too(train, outcome, unreported, replace):
    replace(Path("stopped/checkpoints/best.ckpt"))
    status, out, err = train(*OFTEN)
    assert status == 0, err
    assert "best.ckpt is damaged" in out
    assert not Path("owned").exists()
    Outcome(Path("stopped")).assert_equal(outcome)


def test_a_compressed_file_is_not_unpacked(tmp_path):
    write_tensors(tmp_path / "stored", {"a": torch.zeros(1000)})
    with (
        zipfile.ZipFile(tmp_path / "stored") as stored,
        zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in stored.namelist():
            packed.writestr(part, stored.read(part))
    assert read_tensors(tmp_path / "stored") is not None
    assert read_tensors(tmp_path / "packed") is None


def spoil(module, value):
    with torch.no_grad():
        module.network.output.bias[0] = value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run_and_names_batch_and_checkpoint(
    train, monkeypatch, value
):
    step = EmotionClassifier.training_step

    def spoiling(module, batch, batch_idx):
        if (module.current_epoch, batch_idx) == (1, 3):
            spoil(module, value)
        return step(module, batch, batch_idx)

    monkeypatch.setattr(EmotionClassifier, "training_step", spoiling)
    status, _, err = train(*OFTEN)
    assert status == 1
    assert re.fullmatch(
        r"ferlab: the loss is (nan|inf) in batch 4 of epoch 2 \(last good checkpoint: "
        f"{LAST}\\); try a smaller optimizer.lr, or trainer.gradient_clip\n",
        err,
    )
    for path in (LAST, PREVIOUS):
        weights = torch.load(path, weights_only=True)["state_dict"].values()
        assert all(tensor.isfinite().all() for tensor in weights)
    assert Path("stopped/history.csv").read_text().count("\n") == 2  # its header and epoch 1


def test_a_training_whose_epochs_have_one_batch_stops_and_begins_anew(train, monkeypatch):
    one = ["data.batch_size=128", "hydra.run.dir=one"]
    at_batch(monkeypatch, 1, 0, lambda: signal.raise_signal(signal.SIGINT))
    status, _, err = train(*one)
    assert status == 130
    assert "stopped by SIGINT after epoch 2; epochs of one batch are not saved, so it begin" in err
    assert train(*one)[0] == 0
    assert Outcome(Path("one")).metrics["epochs"] == 3


@pytest.mark.parametrize(("arrives", "noticed"), [(True, 4), (False, 6)])
def test_a_lost_loss_is_noticed_when_it_arrives_at_the_epochs_end_at_latest(
    tmp_path, monkeypatch, arrives, noticed
):
    monkeypatch.setattr(torch.cpu.Event, "query", lambda _: arrives)
    divergence = Divergence(tmp_path / "last.ckpt", every=2)
    losses = torch.tensor([1.0, 2.0, float("nan"), 4.0, 5.0, 6.0])
    trainer = SimpleNamespace(current_epoch=0, is_last_batch=False)
    for batch in range(noticed - 1):
        divergence.on_train_batch_end(trainer, None, {"loss": losses[batch]}, None, batch)
    trainer.is_last_batch = noticed == 6
    with pytest.raises(FerlabError, match="the loss is nan in batch 3 of epoch 1"):
        divergence.on_train_batch_end(trainer, None, {"loss": losses[batch + 1]}, None, batch + 1)


def test_weights_that_are_no_numbers_are_not_written_though_the_loss_was_one(train, monkeypatch):
    step = EmotionClassifier.optimizer_step

    def spoiling(module, epoch, batch, *args, **kwargs):
        step(module, epoch, batch, *args, **kwargs)
        if (epoch, batch) == (0, 3):
            spoil(module, float("nan"))

    monkeypatch.setattr(EmotionClassifier, "optimizer_step", spoiling)
    before = []
    write = checkpoints.Checkpoints._write
    monkeypatch.setattr(
        checkpoints.Checkpoints,
        "_write",
        lambda self, trainer: (before.append(LAST.exists()), write(self, trainer)),
    )
    status, _, err = train(*OFTEN)
    assert status == 1
    assert "a weight is not a finite number after batch 4 of epoch 1" in err
    assert str(LAST) in err
    assert before == [False, True]
    assert torch.load(LAST, weights_only=True)["global_step"] == 2


def test_weights_that_are_lost_in_the_last_batch_are_never_the_best(train, monkeypatch):
    step = EmotionClassifier.on_train_batch_end

    def spoiling(module, outputs, batch, batch_idx):
        if batch_idx == 5:
            spoil(module, float("nan"))
        return step(module, outputs, batch, batch_idx)

    monkeypatch.setattr(EmotionClassifier, "on_train_batch_end", spoiling)
    monkeypatch.setattr(BestWeights, "write", lambda *_: pytest.fail("written"))
    status, _, err = train("hydra.run.dir=stopped")
    assert status == 1
    assert "the validation loss is not a finite number after epoch 1" in err
    assert "none was written yet" in err


@pytest.mark.parametrize(("every", "steps"), [("2batches", [2, 4]), ("1000 min", [])])
def test_checkpoints_are_written_as_often_as_asked_for(train, monkeypatch, every, steps):
    written = []
    write = checkpoints.Checkpoints._write
    monkeypatch.setattr(
        checkpoints.Checkpoints,
        "_write",
        lambda self, trainer: (written.append(trainer.global_step), write(self, trainer)),
    )
    assert train(f"checkpoint.every={every}", "trainer.max_epochs=1")[0] == 0
    assert written == [*steps, 6]  # and at the end


def test_checkpoints_are_written_by_the_clock(train, monkeypatch):
    now, written = [0.0], []
    step, write = EmotionClassifier.training_step, checkpoints.Checkpoints._write

    def step_of_25_seconds(*arguments):
        now[0] += 25
        return step(*arguments)

    def note_and_write(self, trainer):
        written.append(trainer.global_step)
        write(self, trainer)

    monkeypatch.setattr(EmotionClassifier, "training_step", step_of_25_seconds)
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints.Checkpoints, "_write", note_and_write)
    assert train("trainer.max_epochs=1", "checkpoint.every=1min")[0] == 0
    assert written == [3, 6]
