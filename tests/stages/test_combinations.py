"""Every model, loss, optimizer, schedule and recipe trains and is judged."""

import csv
import json
from itertools import cycle
from pathlib import Path

import pytest

from ferlab.cli import main
from ferlab.instantiate import conf_folder

FEW = "augment.extra={angry: 1, disgust: 1, fear: 1, surprise: 1}"  # not the report's 6,600
TINY = [
    "data=drawn",
    "data.size=70",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    "hydra.run.dir=run",
]


def choices(group):
    folder = conf_folder() / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))


# Each row changes all of them. Some pairs of values meet; the numbers of choices share few factors.
TOGETHER = [
    (
        f"model={model}",
        f"loss={loss}",
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        f"trainer.precision={precision}",
        *more,
    )
    for model, loss, optimizer, scheduler, precision, more in zip(
        choices("model"),
        cycle(choices("loss")),
        cycle(choices("optimizer")),
        cycle(choices("scheduler")),
        cycle(["32-true", "bf16-mixed"]),
        cycle(
            [
                (FEW, "loss.label_smoothing=0.1", "callbacks=ema"),
                (
                    FEW,
                    "loss.class_weights=balanced",
                    "trainer.gradient_clip=1.0",
                    "logger=csv",
                ),
                ("augment=strong", "augment.test_time=flip", "callbacks=curriculum_dropout"),
                ("augment=none", "callbacks.early_stopping=null"),
                ("augment=standard", "augment.test_time=ten_crop", "augment.refine=1"),
            ]
        ),
        strict=False,
    )
]


@pytest.mark.parametrize("chosen", TOGETHER, ids=" ".join)
def test_every_choice_trains_and_is_judged(chosen, capfd):
    status = main(["train", *TINY, "data.batch_size=16", *chosen])
    assert status == 0, capfd.readouterr().err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["test/images"] == 14
    assert 0 <= metrics["test/accuracy"] <= 1


def test_every_choice_is_covered():
    words = {word for row in TOGETHER for word in row}
    for group in ("model", "loss", "optimizer", "scheduler"):
        assert {f"{group}={choice}" for choice in choices(group)} <= words


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes_and_runs(experiment, capfd):
    # A sweep of one job too: an experiment may be a sweep by itself.
    one = ["seed=0", "data.fold=0", "data.size=280"]  # each fold leaves some of each class
    status = main(["train", "-m", f"experiment={experiment}", "debug=fast", *TINY, *one])
    assert status == 0, capfd.readouterr().err
    assert list(Path().rglob("metrics.json"))


def test_debug_overfit_learns_by_heart(train):
    status, _, err = train(
        "debug=overfit",
        "hydra.run.dir=run",
        "model.layers=[{conv: 16, pool: 2}, {conv: 32, pool: 4}, flatten, {dense: 32}]",
        "optimizer.lr=0.003",
        "trainer.max_epochs=40",
    )
    assert status == 0, err
    lines = Path("run/history.csv").read_text().splitlines()
    assert len(lines) == 41  # nothing stops it early
    assert float(lines[-1].split(",")[2]) > 0.9


@pytest.mark.parametrize("chosen", ["scheduler=none", "debug=overfit"])
def test_an_experiment_also_trains_without_its_schedule(chosen, train):
    status, _, err = train("experiment=small", chosen, "trainer.max_epochs=2", "hydra.run.dir=run")
    assert status == 0, err
    with Path("run/history.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["learning_rate"] == second["learning_rate"]


def test_what_an_experiment_sets_and_another_choice_lacks_is_refused_and_can_be_taken_out(train):
    chosen = ["experiment=small", "scheduler=cosine", "trainer.max_epochs=1"]
    status, _, err = train(*chosen)
    assert status == 1
    assert err == (
        "ferlab: ferlab.learning.schedules.Cosine has no warm_up; take scheduler.warm_up out, "
        "where a file sets it with '~scheduler.warm_up'\n"
    )
    assert train(*chosen, "~scheduler.warm_up")[0] == 0


def test_debug_profile_says_where_the_time_goes(train):
    status, _, err = train("debug=profile", "hydra.run.dir=run")
    assert status == 0, err
    assert "run_training_epoch" in Path("run/fit-profile.txt").read_text()


def test_logger_csv_writes_a_row_per_epoch(train):
    status, _, err = train("logger=csv", "hydra.run.dir=run")
    assert status == 0, err
    assert len(Path("run/metrics.csv").read_text().splitlines()) == 1 + 3
