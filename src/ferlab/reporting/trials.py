"""The trials of a search: a line each, a table, a CSV file."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from ferlab.reporting.aligned import format_table
from ferlab.search.study import outcome, reason

_OUTCOMES = ("complete", "pruned", "running", "waiting", "failed", "interrupted")


def best_epoch(trial: FrozenTrial, direction: str) -> tuple[int, float]:
    """Return a trial's best epoch, the first of equals, and its value.

    Args:
        trial: with at least one epoch.
        direction: `max` or `min`: the better values.
    """
    values = trial.intermediate_values
    choose = {"max": max, "min": min}[direction]
    epoch = choose(sorted(values), key=lambda epoch: values[epoch])
    return epoch, values[epoch]


def describe_trial(trial: FrozenTrial, direction: str) -> str:
    """Return one line: number, outcome, best epoch, time, values, and why it failed."""
    line = f"trial {trial.number:3d}  {outcome(trial):<11}"
    if trial.intermediate_values:
        epoch, value = best_epoch(trial, direction)
        line += f"  {value:.4f} at epoch {epoch} of {len(trial.intermediate_values)}"
    line += f"  {_seconds(trial)} s  {_describe(trial.params)}"
    return f"{line}  ({reason(trial)})" if reason(trial) else line


class Trials:
    """All trials of a study as a table, those that came to their end first, the best one on top.

    Args:
        trials: by number.
        metric: what they were judged by.
        direction: `max` or `min`: the better values.

    Attributes:
        trials: as given.
        counts: how many of them ended in which way.
        parameters: the keys that were varied.
        header: names of the table's columns.
    """

    def __init__(self, trials: Sequence[FrozenTrial], metric: str, direction: str) -> None:
        self.trials = trials
        self.metric = metric
        self._direction = direction
        self.parameters = list(dict.fromkeys(key for trial in trials for key in trial.params))
        outcomes = [outcome(trial) for trial in trials]
        self.counts = {name: outcomes.count(name) for name in _OUTCOMES}
        self.header = ["trial", "outcome", metric, "epoch", "epochs", "seconds", *self.parameters]

    def rows(self) -> list[list[str]]:
        """Return the table's rows, numbers in four digits."""
        rows = [self._cells(trial) for trial in sorted(self.trials, key=self._rank)]
        return [
            [str(number), word, f"{value:.4f}" if value != "" else "", *map(_short, others)]
            for number, word, value, *others in rows
        ]

    def failures(self) -> list[str]:
        """Return a line for each trial whose values could not be."""
        return [f"trial {trial.number}: {reason(trial)}" for trial in self.trials if reason(trial)]

    def describe_counts(self) -> str:
        """Return how many trials ended in which way, in words."""
        return ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)

    def format(self, n: int) -> str:
        """Return the table's first `n` rows as text, the counts, and each failure."""
        right = [column for column, name in enumerate(self.header) if name != "outcome"]
        table = format_table(self.header, self.rows()[:n], [], right, "text")
        return "\n".join([*table, "", self.describe_counts(), *self.failures()])

    def to_csv(self) -> str:
        """Return all trials by number, numbers in full."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.header, "reason"])
        writer.writerows([*self._cells(trial), reason(trial)] for trial in self.trials)
        return text.getvalue()

    def _cells(self, trial: FrozenTrial) -> list[Any]:
        epochs = trial.intermediate_values
        epoch, value = best_epoch(trial, self._direction) if epochs else ("", "")
        values = [trial.params.get(key, "") for key in self.parameters]
        return [trial.number, outcome(trial), value, epoch, len(epochs), _seconds(trial), *values]

    def _rank(self, trial: FrozenTrial) -> tuple[int, float, int]:
        value = best_epoch(trial, self._direction)[1] if trial.intermediate_values else 0.0
        worse = -value if self._direction == "max" else value
        return _OUTCOMES.index(outcome(trial)), worse, trial.number


def _describe(values: Mapping[str, object]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in values.items())


def _seconds(trial: FrozenTrial) -> str:
    return f"{trial.duration.total_seconds():.1f}" if trial.duration else ""


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
