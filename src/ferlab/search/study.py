"""One study of Optuna's that several processes work on at once, any of which may die."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ferlab.checks import FerlabError, Interrupted, check_choice, check_integer
from ferlab.randomness import mix_seed

log = logging.getLogger(__name__)

PRUNERS = ("none", "median", "hyperband")

ATTEMPTS = 3
"""How often a trial is begun whose process dies; then it is left as failed."""

_ATTEMPT, _REASON = "attempt", "reason"  # attributes of a trial
_NAME = "study"
_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


def make_pruner(name: str, startup: int, warmup: int, max_epochs: int) -> BasePruner:
    """Return what ends a trial early whose epochs fall behind those of the others.

    `median` (Golovin et al. 2017) ends a trial whose best epoch so far is worse than the median of
    the others at the same epoch; `hyperband` (Li et al. 2018) gives more epochs to ever fewer.

    Args:
        name: one of PRUNERS.
        startup: trials that must have ended before `median` prunes, >= 1.
        warmup: epochs that every trial is left, >= 1.
        max_epochs: of a trial.
    """
    check_choice("tune.pruner", name, PRUNERS)
    check_integer("tune.startup", startup, at_least=1)
    check_integer("tune.warmup", warmup, at_least=1)
    check_integer("trainer.max_epochs", max_epochs, at_least=1)
    if name == "median":
        return MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
    if name == "hyperband":
        return HyperbandPruner(min_resource=min(warmup, max_epochs), max_resource=max_epochs)
    return NopPruner()


class Search:
    """A study in a folder; the same folder in several processes is the same study.

    The journal holds one line of JSON per event. A trial belongs to the process that holds its lock
    in `locks/`, which the operating system takes back when the process ends in whatever way: so a
    trial that is running and that nobody holds has lost its process, and is begun again with the
    same values by the next process that looks.

    Args:
        folder: exists.
        space: by key, where its values come from.
        direction: `max` or `min`: the better values.
        pruner: of `make_pruner`.
        startup: trials that are drawn at random, before those ended tell where to look, >= 1.
        seed: of the values that are drawn, which follow from it and from the trials before.

    Attributes:
        study: Optuna's.

    Raises:
        FerlabError: the journal is damaged.
    """

    def __init__(
        self,
        folder: Path,
        space: Mapping[str, BaseDistribution],
        direction: str,
        pruner: BasePruner,
        startup: int = 10,
        seed: int = 0,
    ) -> None:
        self._space = dict(space)
        self._startup = startup
        self._seed = seed
        self._locks = folder / "locks"
        self._locks.mkdir(exist_ok=True)
        self._lock = FileLock(self._locks / "study.lock")
        journal = folder / "study.journal"
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._lock:
            lock = _JournalLock(self._locks / "journal.lock")
            lock.acquire()  # trials that are running write to it
            try:
                _drop_half_line(journal)
            finally:
                lock.release()
            try:
                self.study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(journal), lock)),
                    study_name=_NAME,
                    direction=_DIRECTIONS[direction],
                    pruner=pruner,
                    load_if_exists=True,
                )
            except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
                raise FerlabError(f"{journal} is damaged; delete {folder}") from error

    def trials(
        self,
        n: int,
        objective: Callable[[Trial], float],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Iterator[FrozenTrial]:
        """Yield each trial that this process has ended, until `n` have ended in all processes.

        Args:
            n: trials of all processes together, those begun again counted once.
            objective: returns a trial's value; raises optuna.TrialPruned, FerlabError where its
                values cannot be, which fails the trial and not the search, or Interrupted, which
                ends the search and leaves the trial to whoever goes on.
            meanwhile: called every second while other processes are at the last trials.
        """
        while (taken := self._take(n, meanwhile)) is not None:
            trial, lock = taken
            try:
                self._carry_out(trial, objective)
            except Interrupted:
                with self._lock:
                    self._begin_again(trial.number, trial.user_attrs.get(_ATTEMPT, 1))
                raise
            finally:
                lock.release()
            self._lock_file(trial.number).unlink(missing_ok=True)
            yield self.study.get_trials(deepcopy=False)[trial.number]

    def n_running(self) -> int:
        """Return how many trials are running now, in all processes."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def _carry_out(self, trial: Trial, objective: Callable[[Trial], float]) -> None:
        try:
            value = objective(trial)
            if math.isnan(value):
                raise FerlabError("its value is not a number")
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except FerlabError as error:
            trial.set_user_attr(_REASON, str(error))
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, value)

    def _take(self, n: int, meanwhile: Callable[[], None]) -> tuple[Trial, FileLock] | None:
        """Return a trial and its lock, which this process holds; None where nothing is left."""
        while True:
            with self._lock:
                self._requeue_abandoned()
                trials = self.study.get_trials(deepcopy=False)
                begun = n_begun(trials)
                if begun < n or any(trial.state == TrialState.WAITING for trial in trials):
                    self.study.sampler = self._sampler(begun)
                    trial = self.study.ask(self._space)
                    lock = FileLock(self._lock_file(trial.number))
                    lock.acquire()
                    return trial, lock
                running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
            if not running:
                return None
            log.info("waiting for trial %d, which another process is at", running[0])
            self._wait_for(running[0], meanwhile)

    def _wait_for(self, number: int, meanwhile: Callable[[], None]) -> None:
        """Return when the trial has ended, or its process has."""
        while True:
            with contextlib.suppress(Timeout), FileLock(self._lock_file(number), timeout=1):
                return
            meanwhile()

    def _requeue_abandoned(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                with FileLock(self._lock_file(trial.number), blocking=False):
                    pass
            except Timeout:
                continue
            attempt = trial.user_attrs.get(_ATTEMPT, 1)
            if attempt < ATTEMPTS:
                self._begin_again(trial.number, attempt + 1)
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)
            self._lock_file(trial.number).unlink(missing_ok=True)

    def _begin_again(self, number: int, attempt: int) -> None:
        """End a trial that came to nothing, and put one with its values in its place."""
        trial = self.study.get_trials(deepcopy=False)[number]
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={_ATTEMPT: attempt},
            )
        )
        self.study.tell(number, state=TrialState.FAIL)

    def _sampler(self, begun: int) -> TPESampler:
        # One per trial: two processes with one seed would draw the same values in the same order.
        return TPESampler(n_startup_trials=self._startup, seed=mix_seed(self._seed, begun) % 2**32)

    def _lock_file(self, number: int) -> Path:
        return self._locks / f"trial-{number}.lock"


class _JournalLock(JournalFileOpenLock):
    """Guards the journal; unlike Optuna's own lock it does not outlive a killed process."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def _drop_half_line(journal: Path) -> None:
    """Cut off what a power cut left of the last line."""
    if journal.exists():
        with journal.open("r+b") as file:
            written = file.read()
            file.truncate(written.rfind(b"\n") + 1)


def n_begun(trials: Sequence[FrozenTrial]) -> int:
    """Return how many trials there are, those that were begun again counted once."""
    return sum(_ATTEMPT not in trial.user_attrs for trial in trials)


def outcome(trial: FrozenTrial) -> str:
    """Return what became of a trial, in one word; a dead process's is `interrupted`."""
    if trial.state == TrialState.FAIL:
        return "failed" if reason(trial) else "interrupted"
    return str(trial.state.name.lower())


def reason(trial: FrozenTrial) -> str:
    """Return why a trial failed; an empty string where it did not."""
    return str(trial.user_attrs.get(_REASON, ""))
