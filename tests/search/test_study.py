"""A study that several processes work on, any of which may die."""

import json
import math
from pathlib import Path

import optuna
import pytest
from filelock import FileLock, Timeout
from mistakes import mistake_of
from optuna.distributions import FloatDistribution

from ferlab.checks import FerlabError, Interrupted
from ferlab.search.study import ATTEMPTS, Search, make_pruner, outcome, reason

SPACE = {"x": FloatDistribution(-1, 1)}


def search(**settings):
    pruner = make_pruner("none", startup=4, warmup=1, max_epochs=5)
    return Search(Path(), SPACE, "max", pruner, **{"startup": 4, **settings})


def parabola(trial):
    return -(trial.params["x"] ** 2)


def killed(trial):
    raise KeyboardInterrupt  # as a process that dies, it neither tells nor goes on


def is_held(lock):
    try:
        FileLock(lock).acquire(blocking=False)
    except Timeout:
        return True
    return False


def outcomes(study):
    return [outcome(trial) for trial in study.get_trials()]


def values_of(study):
    ended = [trial for trial in study.get_trials() if trial.value is not None]
    return [(trial.params["x"], trial.value) for trial in ended]


def undisturbed(folder, n):
    folder.mkdir()
    pruner = make_pruner("none", startup=4, warmup=1, max_epochs=5)
    alone = Search(folder, SPACE, "max", pruner, startup=4)
    list(alone.trials(n, parabola))
    return values_of(alone.study)


def test_the_journal_holds_lines_of_json_and_every_trial():
    assert len(list(search().trials(3, parabola))) == 3
    lines = Path("study.journal").read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert outcomes(search().study) == ["complete"] * 3
    assert not list(Path("locks").glob("trial-*"))


def test_a_study_that_has_all_its_trials_begins_no_more_and_can_be_given_more():
    list(search().trials(2, parabola))
    assert list(search().trials(2, killed)) == []
    assert [trial.number for trial in search().trials(3, parabola)] == [2]


def test_the_values_follow_from_the_seed_alone():
    list(search().trials(2, parabola))
    list(search().trials(8, parabola))  # a new process would not know the state of a generator
    assert values_of(search().study) == undisturbed(Path("alone"), 8)
    assert len({x for x, _ in values_of(search().study)}) == 8


def test_a_trial_whose_process_died_is_begun_again_and_the_study_is_that_of_no_death():
    list(search().trials(5, parabola))
    with pytest.raises(KeyboardInterrupt):
        list(search().trials(8, killed))
    assert outcomes(search().study)[-1] == "running"
    list(search().trials(8, parabola))
    assert outcomes(search().study) == [*["complete"] * 5, "interrupted", *["complete"] * 3]
    lost, again = search().study.get_trials()[5:7]
    assert lost.params == again.params
    assert values_of(search().study) == undisturbed(Path("alone"), 8)


def test_a_trial_that_kills_every_process_is_given_up():
    for _ in range(ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            list(search().trials(1, killed))
    assert list(search().trials(1, killed)) == []
    assert outcomes(search().study) == ["interrupted"] * ATTEMPTS


def test_a_trial_that_is_stopped_however_often_is_begun_again():
    def stopped(trial):
        raise Interrupted("stopped")

    for _ in range(ATTEMPTS + 1):
        with pytest.raises(Interrupted):
            list(search().trials(1, stopped))
    assert [trial.state.name for trial in search().trials(1, parabola)] == ["COMPLETE"]
    assert outcomes(search().study) == [*["interrupted"] * (ATTEMPTS + 1), "complete"]
    assert values_of(search().study) == undisturbed(Path("alone"), 1)


def test_a_trial_that_another_process_is_at_is_left_to_it():
    def meanwhile(trial):
        assert search().n_running() == 1
        other = next(search().trials(2, parabola))
        assert other.number == 1
        assert outcomes(search().study) == ["running", "complete"]
        return parabola(trial)

    list(search().trials(1, meanwhile))
    assert outcomes(search().study) == ["complete", "complete"]


def test_values_that_cannot_be_fail_their_trial_and_not_the_search():
    def fragile(trial):
        if trial.number == 0:
            raise FerlabError("layer 2 is too wide")
        return math.nan if trial.number == 1 else parabola(trial)

    list(search().trials(3, fragile))
    trials = search().study.get_trials()
    assert [outcome(trial) for trial in trials] == ["failed", "failed", "complete"]
    assert [reason(trial) for trial in trials] == [
        "layer 2 is too wide",
        "its value is not a number",
        "",
    ]


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_a_trial_far_behind_the_others_is_pruned_after_its_warmup(name):
    epochs = []

    def training(trial):
        for epoch in range(1, 10):
            trial.report(trial.number < 6, epoch)
            if trial.should_prune():
                epochs.append(epoch)
                raise optuna.TrialPruned
        return 1.0

    pruner = make_pruner(name, startup=2, warmup=3, max_epochs=9)
    list(Search(Path(), SPACE, "max", pruner, startup=2).trials(12, training))
    assert epochs
    assert min(epochs) == 3
    assert set(outcomes(search().study)) == {"complete", "pruned"}


def test_half_a_line_after_a_power_cut_is_no_harm():
    list(search().trials(2, parabola))
    with Path("study.journal").open("a") as journal:
        journal.write('{"op_code":4,"wor')
    list(search().trials(3, parabola))
    assert outcomes(search().study) == ["complete"] * 3


def test_the_journal_is_mended_while_no_other_process_writes_to_it(monkeypatch):
    held = []
    monkeypatch.setattr(
        "ferlab.search.study._drop_half_line",
        lambda journal: held.append(is_held(Path("locks/journal.lock"))),
    )
    search()
    assert held == [True]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[1, 2]", '{"op_code": 99}', '{"op_code": 0, "worker_id": 5}', "{}", "3", "null"],
)
def test_a_damaged_journal_is_one_line(line):
    Path("study.journal").write_text(f"{line}\n{line}\n")
    assert "study.journal is damaged; delete" in mistake_of(search)


def test_an_unknown_pruner_is_one_line():
    message = "tune.pruner must be one of none, median, hyperband; got 'medium', did you mean"
    assert message in mistake_of(make_pruner, "medium", 1, 1, 1)


@pytest.mark.parametrize("max_epochs", [1e2, None, "ten"])
def test_a_number_of_epochs_that_cannot_be_is_refused(max_epochs):
    refused = mistake_of(make_pruner, "hyperband", 1, 1, max_epochs)
    assert refused.startswith("trainer.max_epochs must be an integer >= 1")
    assert "tune.startup must be an integer >= 1" in mistake_of(make_pruner, "median", 0, 1, 1)
    assert "tune.warmup must be an integer >= 1" in mistake_of(make_pruner, "median", 1, 0, 1)
