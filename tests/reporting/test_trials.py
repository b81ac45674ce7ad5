"""A search's trials as lines, table, CSV and page."""

import csv
import io
import re
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from ferlab.reporting.search_page import write_search_page
from ferlab.reporting.trials import Trials, best_epoch, describe_trial

SPACE = {"optimizer.lr": FloatDistribution(0, 1), "layer": CategoricalDistribution(["<b>", "s"])}
CURVES = [[0.1, 0.3, 0.2], [0.5, 0.4], [0.2], []]  # the third is pruned, the fourth fails


@pytest.fixture
def study():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    for curve in CURVES:
        trial = study.ask(SPACE)
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
        if len(curve) > 1:
            study.tell(trial, max(curve))
        elif curve:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            trial.set_user_attr("reason", "no <layer>")
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study


@pytest.fixture
def trials(study):
    return Trials(study.get_trials(), "val/accuracy", "max")


def test_the_best_epoch_is_the_first_of_equals(study):
    trial = optuna.create_trial(value=1, intermediate_values={3: 0.5, 2: 0.5, 1: 0.2})
    assert best_epoch(trial, "max") == (2, 0.5)
    assert best_epoch(trial, "min") == (1, 0.2)


def test_the_table_begins_with_the_best_and_ends_with_what_failed(trials):
    rows = trials.rows()
    assert [row[:5] for row in rows] == [
        ["1", "complete", "0.5000", "1", "2"],
        ["0", "complete", "0.3000", "2", "3"],
        ["2", "pruned", "0.2000", "1", "1"],
        ["3", "failed", "", "", "0"],
    ]
    shown = trials.format(n=1).splitlines()
    assert shown[2].split()[:3] == ["1", "complete", "0.5000"]
    assert shown[3:] == ["", "2 complete, 1 pruned, 1 failed", "trial 3: no <layer>"]


def test_where_less_is_better_the_least_comes_first(study):
    rows = Trials(study.get_trials(), "val/loss", "min").rows()
    assert [row[:3] for row in rows[:2]] == [
        ["0", "complete", "0.1000"],
        ["1", "complete", "0.4000"],
    ]


def test_the_csv_has_every_trial_in_full(trials, study):
    rows = list(csv.DictReader(io.StringIO(trials.to_csv())))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3"]
    assert float(rows[0]["optimizer.lr"]) == study.get_trials()[0].params["optimizer.lr"]
    assert rows[3]["reason"] == "no <layer>"


def test_a_line_says_what_became_of_a_trial(study):
    trials = study.get_trials()
    assert "trial   0  complete     0.3000 at epoch 2 of 3" in describe_trial(trials[0], "max")
    assert describe_trial(trials[3], "max").endswith("(no <layer>)")


def test_the_page_carries_its_script_once_and_shows_nothing_unescaped(study, trials):
    write_search_page(Path("index.html"), "Search <1>", study, trials)
    text = Path("index.html").read_text()
    assert text.count("plotly.js v") == 1
    assert len(re.findall(r"Plotly\.newPlot\(", text)) >= 5
    own = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=", text[: text.index("<script>")] + own)
    assert "Search &lt;1&gt;" in own
    assert "no &lt;layer&gt;" in own
    assert "<b>" not in own


def test_a_study_of_one_trial_has_a_page_without_importances():
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    write_search_page(
        Path("index.html"), "One", study, Trials(study.get_trials(), "val/accuracy", "max")
    )
    assert "Importance" not in re.sub(
        r"<script.*?</script>", "", Path("index.html").read_text(), flags=re.DOTALL
    )
