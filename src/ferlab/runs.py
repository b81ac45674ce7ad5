"""A run's folder: what lies in it, and whether a configuration may go on in it."""

import contextlib
import logging
import logging.handlers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from ferlab.checks import FerlabError
from ferlab.environment import describe_environment
from ferlab.files import read_json, read_yaml, remove_partial, write_json, write_text
from ferlab.keys import flatten, settles_result


class RunFolder:
    """The files of one run, and the rule that a folder belongs to one configuration.

    A context: within it what ferlab logs is kept, and goes to `<stage>.log` once the folder is
    open; an open folder is this process's alone. One in which nothing was written is removed at
    the end.

    Args:
        path: the folder.
        stage: names the log.
        remedy: what to do where the folder belongs to another configuration.

    Attributes:
        path: the folder; what lies in it are the attributes below.
    """

    def __init__(
        self, path: Path, stage: str = "train", remedy: str = "choose another hydra.run.dir"
    ) -> None:
        self.path = path
        self._remedy = remedy
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.log = path / f"{stage}.log"
        self.history = path / "history.csv"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.best_checkpoint = self.checkpoints / "best.ckpt"  # appears when training has ended
        self.teachers = self.checkpoints / "teachers.ckpt"  # their labels of the train images
        self.model = path / "model"
        self.metrics = path / "metrics.json"  # written last: the run is finished
        self.failure = path / "failure.txt"  # of a sweep's job that failed: why, in one line
        self.predictions = path / "predictions.npz"
        self.report = path / "report"
        self._lock = FileLock(path / ".lock")  # the system releases it when its process dies
        self._kept = logging.handlers.MemoryHandler(capacity=1)  # keeps all while it has no target

    def __enter__(self) -> "RunFolder":
        logging.getLogger("ferlab").addHandler(self._kept)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("ferlab").removeHandler(self._kept)
        if isinstance(self._kept.target, logging.Handler):
            with contextlib.suppress(OSError):  # what a full disk did not take
                self._kept.target.close()
        self._kept.close()
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # removed while it is held: nobody else can hold it
                Path(self._lock.lock_file).unlink()
            self._lock.release()
        here = Path.cwd()
        with contextlib.suppress(OSError):  # the first that is not empty ends it
            if self.path != here:
                self.path.rmdir()
            for parent in self.path.parents:
                if here in parent.parents:
                    parent.rmdir()

    def busy(self) -> bool:
        """Return whether another process is writing this folder at this moment."""
        if self._lock.is_locked or not Path(self._lock.lock_file).exists():
            return False
        try:
            with self._lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def recorded_metrics(self) -> dict[str, float] | None:
        """Return the metrics of a finished run, None where the run is not finished.

        Raises:
            FerlabError: the file is damaged.
        """
        if not self.metrics.exists():
            return None
        metrics = read_json(self.metrics)
        if not all(isinstance(value, int | float) for value in metrics.values()):
            raise FerlabError(f"{self.metrics} is damaged (it must hold numbers); delete it")
        return metrics

    def recorded_config(self) -> dict[str, Any]:
        """Return the configuration that was run here, with the keys that its version had not.

        Raises:
            FerlabError: there is none, or it is damaged.
        """
        try:
            config = read_yaml(self.config)
        except FileNotFoundError as error:
            raise FerlabError(
                f"{self.path} has no config.yaml; name the folder of a run"
            ) from error
        data, augment = config.get("data"), config.get("augment")
        if isinstance(data, dict) and "val_fraction" in data:  # evaluate's has none
            data.setdefault("folds", None)
            data.setdefault("fold", 0)
        if isinstance(augment, dict) and "transforms" in augment:  # likewise
            augment.setdefault("refine", 0.0)
        return config

    def known_config(self) -> dict[str, Any] | None:
        """Return the same; None where there is none, as of shipped weights.

        Raises:
            FerlabError: it is damaged.
        """
        return self.recorded_config() if self.config.exists() else None

    def recorded_environment(self) -> dict[str, Any]:
        """Return what `environment.json` holds; empty where there is none.

        Raises:
            FerlabError: it is damaged.
        """
        try:
            return read_json(self.environment)
        except FileNotFoundError:
            return {}

    def check_configuration(self, config: Mapping[str, Any]) -> None:
        """Make sure that nothing that changes the result differs from what was run here before.

        Raises:
            FerlabError: names the keys that differ.
        """
        if not self.config.exists():
            return
        recorded = flatten(self.recorded_config())
        wanted = flatten(config)
        different = [
            f"{key} ({recorded.get(key, 'absent')} there, {wanted.get(key, 'absent')} now)"
            for key in sorted(recorded.keys() | wanted.keys())
            if recorded.get(key) != wanted.get(key) and settles_result(key)
        ]
        if different:
            raise FerlabError(
                f"{self.path} belongs to another configuration: {', '.join(different[:3])}; "
                f"{self._remedy}"
            )

    def open(
        self,
        config: Mapping[str, Any],
        fixed: Mapping[str, str],
        device: str,
        overrides: Sequence[str] = (),
        local: Sequence[str] = (),
        shared: bool = False,
    ) -> None:
        """Take the folder, record the configuration and the environment, and begin to keep the log.

        Args:
            config: resolved, plain values.
            fixed: by name, what is not in the configuration and changes the result all the same:
                the digest of the data, the kind of device, the precision.
            device: as a person knows it; may differ on a resume.
            overrides: what the command line set; of a sweep's job, what it sets for this one.
            local: what a person's own files set beside it, which no commit holds.
            shared: whether other processes may have it open too, each in this mode.

        Raises:
            FerlabError: another process is writing the folder, or it was begun with another
                configuration or other `fixed` values.
        """
        if not shared:
            self.take()
        self.check_configuration(config)  # again: another run may have begun here meanwhile
        if self.environment.exists():
            self.check_fixed(fixed)
            self._note_other_code()
        else:
            told = {"overrides": list(overrides), "local": list(local), **fixed, "device": device}
            write_json(self.environment, {**describe_environment(), **told})
        write_text(self.config, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        file = _LogFile(self.log, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
        self._kept.setTarget(file)
        self._kept.flush()

    def _note_other_code(self) -> None:
        """Add to `environment.json`, as `resumed`, what a run goes on with and did not have yet."""
        recorded, environment = self.recorded_environment(), describe_environment()
        now = {key: environment[key] for key in ("commit", "python", "packages")}
        resumed = list(recorded.get("resumed", ()))
        before = [{key: one.get(key) for key in now} for one in (recorded, *resumed)]
        if now not in before:
            write_json(self.environment, {**recorded, "resumed": [*resumed, now]})

    def check_fixed(self, fixed: Mapping[str, str]) -> None:
        """Make sure that what is not in the configuration is what it was, too: see `open`.

        Raises:
            FerlabError: names what differs.
        """
        recorded = self.recorded_environment()
        for name, value in fixed.items():
            before = recorded.get(name, "1" if name == "processes" else None)  # once not recorded
            if before != value:
                raise FerlabError(
                    f"{self.path} was begun with other {name} ({before} there, {value} now); "
                    f"{self._remedy}"
                )

    def take_unless_finished(self, wait: bool = False) -> None:
        """Take the folder, so that no other process does the same; a finished one is left alone.

        Args:
            wait: whether to wait for a process that is writing it.
        """
        if not self.metrics.exists():
            self.take(wait)

    def take(self, wait: bool = False) -> None:
        """Lock the folder and remove what an earlier process left there that is of no use.

        Args:
            wait: whether to wait for a process that is writing it.

        Raises:
            FerlabError: another process is writing it.
        """
        if self._lock.is_locked:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=-1 if wait else 1)  # a second, for `busy` of another process
        except Timeout:
            raise FerlabError(
                f"{self.path} is being written by another process; wait for it, or {self._remedy}"
            ) from None
        self.failure.unlink(missing_ok=True)
        remove_partial(self.path)


class _LogFile(logging.FileHandler):
    """A log in which a line is missing when the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on: logging's own would print a traceback for each line."""
