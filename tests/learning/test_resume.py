"""A training that is stopped goes on as if nothing had happened."""

import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
from conftest import TINY_TREE, Outcome
from faces import make_tree
from interruptions import PowerCut, at_batch, cut_power
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ferlab.cli import main
from ferlab.files import replacing
from ferlab.finding import find_begun
from ferlab.learning import checkpoints, tensors
from ferlab.learning.progress import ProgressBar
from ferlab.learning.tensorboard import Pictures
from ferlab.runs import RunFolder
from ferlab.stages import train as stage

# All that has a state: dropout, and how far it has grown; normalisation, moments, plateau, early
# stopping, best weights.
RUN = [
    "augment=report",
    "augment.extra={disgust: 20, surprise: 0, angry: 0, fear: 0}",
    "augment.apply_to=all",
    "augment.frozen=false",
    "scheduler.patience=0",
    "callbacks=curriculum_dropout",
    "+callbacks.precise_batch_norm._target_=ferlab.learning.normalisation.PreciseBatchNorm",
    "callbacks.early_stopping.patience=2",
    "trainer.max_epochs=5",
    "optimizer.lr=0.01",
]


@pytest.fixture
def undisturbed(finished):
    finished("undisturbed", *RUN)
    return Outcome(Path("undisturbed"))


@pytest.mark.parametrize("place", [(0, 0), (0, 4), (1, 1), (2, 6), (3, 3)])
def test_a_signal_at_any_batch_loses_nothing(train, undisturbed, monkeypatch, place):
    at_batch(monkeypatch, *place, lambda: signal.raise_signal(signal.SIGTERM))
    status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 130
    assert "stopped by SIGTERM" in err
    assert not Path("stopped/metrics.json").exists()

    status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 0, err
    Outcome(Path("stopped")).assert_equal(undisturbed)


@pytest.mark.parametrize("place", [(0, 3), (2, 0), (3, 5)])
def test_a_killed_training_goes_on_from_its_last_checkpoint(train, undisturbed, monkeypatch, place):
    at_batch(monkeypatch, *place, cut_power)
    with pytest.raises(PowerCut):
        train(*RUN, "hydra.run.dir=killed", "checkpoint.every=1batch")
    assert Path("killed/checkpoints/last.ckpt").exists()

    status, _, err = train(*RUN, "hydra.run.dir=killed", "checkpoint.every=1batch")
    assert status == 0, err
    Outcome(Path("killed")).assert_equal(undisturbed)


def test_a_run_killed_during_its_report_is_reported_without_training_again(
    train, undisturbed, monkeypatch
):
    def killed(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_json", killed)
        with pytest.raises(PowerCut):
            train(*RUN, "hydra.run.dir=killed")
    at_batch(monkeypatch, 0, 0, cut_power)

    status, _, err = train(*RUN, "hydra.run.dir=killed")
    assert status == 0, err
    Outcome(Path("killed")).assert_equal(undisturbed)
    assert points("killed") == points("undisturbed")


@pytest.mark.parametrize("file", ["best.ckpt", "last.ckpt"])
def test_a_run_killed_while_its_last_files_are_written_is_not_trained_further(
    train, undisturbed, monkeypatch, file
):
    def cut_power_at(path):
        if path.name == file and Path("killed/history.csv").read_text().count("\n") == epochs + 1:
            cut_power()
        return replacing(path)

    epochs = undisturbed.metrics["epochs"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "replacing", cut_power_at)
        patch.setattr(tensors, "replacing", cut_power_at)
        with pytest.raises(PowerCut):
            train(*RUN, "hydra.run.dir=killed")

    status, _, err = train(*RUN, "hydra.run.dir=killed")
    assert status == 0, err
    Outcome(Path("killed")).assert_equal(undisturbed)
    assert points("killed") == points("undisturbed")


def test_a_signal_in_the_very_last_batch_stops_before_the_report(train, undisturbed, monkeypatch):
    last_epoch = undisturbed.metrics["epochs"] - 1
    at_batch(monkeypatch, last_epoch, 6, lambda: signal.raise_signal(signal.SIGTERM))
    status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 130
    assert "stopped by SIGTERM at the end of the training" in err

    status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 0, err
    Outcome(Path("stopped")).assert_equal(undisturbed)


def test_the_line_after_a_signal_is_the_command_that_goes_on(
    train, undisturbed, monkeypatch, capfd
):
    at_batch(monkeypatch, 1, 2, lambda: signal.raise_signal(signal.SIGINT))
    _, _, err = train(*RUN, "hydra.run.dir=stopped")
    program, *arguments = shlex.split(re.search("go on with: (.*)", err)[1])
    assert program == "ferlab"
    assert main(arguments) == 0
    Outcome(Path("stopped")).assert_equal(undisturbed)


def test_a_training_that_is_gone_on_with_by_name_is_stopped_and_gone_on_with_likewise(
    train, undisturbed, monkeypatch, capfd
):
    for place in ((1, 2), (2, 1)):
        at_batch(monkeypatch, *place, lambda: signal.raise_signal(signal.SIGINT))
        if place == (1, 2):
            train(*RUN, "hydra.run.dir=outputs/stopped")
        else:
            capfd.readouterr()
            assert main(["train", "resume=latest", "checkpoint.every=1batch"]) == 130
    again = re.search("go on with: ferlab (.*)", capfd.readouterr().err)[1]
    assert again == "train resume=outputs/stopped checkpoint.every=1batch"
    assert main(shlex.split(again)) == 0
    Outcome(Path("outputs/stopped")).assert_equal(undisturbed)


def test_a_training_goes_on_where_its_data_lie_now(monkeypatch, capfd):
    make_tree(Path("faces"))
    at_batch(monkeypatch, 0, 0, lambda: signal.raise_signal(signal.SIGINT))
    assert main(["train", *TINY_TREE, "hydra.run.dir=outputs/stopped"]) == 130
    Path("faces").rename("moved")
    assert main(["train", "resume=latest"]) == 1
    assert "faces does not exist" in capfd.readouterr().err
    assert main(["train", "resume=latest", "data.root=moved"]) == 0, capfd.readouterr().err


@pytest.mark.parametrize("name", ["latest", "outputs/stopped"])
def test_a_training_goes_on_by_name(train, undisturbed, monkeypatch, capfd, name):
    at_batch(monkeypatch, 1, 2, lambda: signal.raise_signal(signal.SIGINT))
    train(*RUN, "hydra.run.dir=outputs/stopped")
    assert main(["train", f"resume={name}"]) == 0, capfd.readouterr().err
    Outcome(Path("outputs/stopped")).assert_equal(undisturbed)
    assert not Path("outputs/train").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume=latest"], "no training in outputs waits to go on"),
        (["resume=nowhere"], "resume=nowhere is not a training; name its folder, or latest"),
        (["resume=undisturbed"], "resume=undisturbed is finished; start another one"),
        (["resume=begun", "data.root=/new"], "begun has no data.root; leave out data.root=/new"),
        (["resume=latest", "seed=3"], "goes on with the run's own configuration; leave out seed=3"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(undisturbed, capfd, arguments, message):
    shutil.copytree("undisturbed", "begun")
    Path("begun/metrics.json").unlink()
    assert main(["train", *arguments]) == 1
    assert message in capfd.readouterr().err
    assert not Path("outputs").exists()


def test_a_configuration_from_somebody_else_is_not_resumed_where_it_could_run_anything(
    train, monkeypatch, capfd
):
    at_batch(monkeypatch, 0, 2, lambda: signal.raise_signal(signal.SIGINT))
    train(*RUN, "hydra.run.dir=theirs")
    config = Path("theirs/config.yaml")
    config.write_text(config.read_text().replace("torch.optim.Adam", "os.system"))
    assert main(["train", "resume=theirs"]) == 1
    assert "names 'os.system', which ferlab does not ship" in capfd.readouterr().err


def points(folder):
    """Return (tag, step, value) of every scalar in a folder's TensorBoard files, in order."""
    events = EventAccumulator(folder).Reload()
    return [
        (tag, event.step, event.value)
        for tag in sorted(events.Tags()["scalars"])
        if tag not in ("seconds", "images_per_second")
        for event in events.Scalars(tag)
    ]


def test_tensorboard_shows_each_epoch_of_a_resumed_training_once(train, undisturbed, monkeypatch):
    at_batch(monkeypatch, 2, 3, lambda: signal.raise_signal(signal.SIGTERM))
    train(*RUN, "hydra.run.dir=stopped")
    train(*RUN, "hydra.run.dir=stopped")
    assert points("stopped") == points("undisturbed")


AVERAGED = ["callbacks=ema", "scheduler=one_cycle", "augment.mixup=0.4", "loss=focal"]
SHARPNESS_AWARE = ["optimizer=sam", "scheduler=one_cycle"]


@pytest.mark.parametrize("place", [(0, 3), (2, 4)])
@pytest.mark.parametrize("recipe", [AVERAGED, SHARPNESS_AWARE])
def test_averaged_weights_schedules_by_batch_and_two_gradients_go_on_too(
    train, monkeypatch, recipe, place
):
    """What the runs above do not have, mixup and another loss among it."""
    assert train(*recipe, "hydra.run.dir=whole")[0] == 0
    at_batch(monkeypatch, *place, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*recipe, "hydra.run.dir=stopped")[0] == 130
    status, _, err = train(*recipe, "hydra.run.dir=stopped")
    assert status == 0, err
    Outcome(Path("stopped")).assert_equal(Outcome(Path("whole")))


def test_sigterm_before_the_first_batch_is_told_and_the_training_begins_again(
    train, undisturbed, monkeypatch
):
    def terminate(*_):
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "on_train_start", terminate)
        status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 130
    assert "stopped by SIGTERM as it began" in err
    assert train(*RUN, "hydra.run.dir=stopped")[0] == 0
    Outcome(Path("stopped")).assert_equal(undisturbed)


def test_a_second_signal_leaves_at_once(train, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_batch(monkeypatch, 0, 2, twice)
    status, _, err = train(*RUN, "hydra.run.dir=stopped")
    assert status == 130
    assert "SIGINT: saving first; once more stops at once" in err
    assert "interrupted; the same command into the same folder goes on" in err
    assert not Path("stopped/checkpoints").exists()


def test_the_progress_bar_goes_on_where_it_was(train, monkeypatch):
    shown = []
    end = ProgressBar.on_train_batch_end

    def noting(bar, trainer, module, *args):
        end(bar, trainer, module, *args)
        count = bar.train_progress_bar.n, bar.train_progress_bar.total
        shown.append((bar.train_progress_bar.desc, *count, bar.get_metrics(trainer, module)))

    monkeypatch.setattr(ProgressBar, "on_train_batch_end", noting)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    run = ["data.batch_size=4", "trainer.max_epochs=2"]  # the bar is drawn every 10 batches
    assert train(*run, "hydra.run.dir=whole")[0] == 0
    whole = shown.copy()
    assert ("epoch 2: ", 20, 24, whole[44][3]) == whole[44]
    shown.clear()
    at_batch(monkeypatch, 1, 13, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(*run, "hydra.run.dir=stopped")[0] == 130
    assert train(*run, "hydra.run.dir=stopped")[0] == 0
    del whole[24 + 13]  # the batch after which it stopped, before the bar heard of it
    assert [state[3] for state in shown] == [state[3] for state in whole]
    assert [state for state in shown if state[1] == 20] == [s for s in whole if s[1] == 20]


def test_latest_is_the_training_that_was_written_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, when in {"b": 3, "a": 2, "c": 1}.items():
        run = RunFolder(Path("outputs", name))
        run.path.mkdir(parents=True)
        run.config.touch()
        run.log.touch()
        os.utime(run.log, (when, when))
    assert find_begun("latest").path.name == "b"


def test_latest_is_none_that_is_being_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("waits", "runs"):
        run = RunFolder(Path("outputs", name))
        run.path.mkdir(parents=True)
        run.config.touch()
        run.log.touch()
        os.utime(run.log, (1, 1))
    os.utime(run.log, (2, 2))
    with run:
        run.take()
        assert find_begun("latest").path.name == "waits"
    assert find_begun("latest").path.name == "runs"
