"""A disk that is full: one line, nothing good lost, and the run goes on when there is room."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import TINY, Outcome

from ferlab import files
from ferlab.cli import main
from ferlab.learning.tensors import is_whole

RUN = ["checkpoint.every=2batches", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, session_cache):
    """The run on a disk with room."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLAB_CACHE", str(session_cache))
        assert main(["train", *TINY, *RUN, f"hydra.run.dir={folder}/run"]) == 0
    return Outcome(folder / "run")


def assert_is_told(status: int, err: str) -> None:
    assert status == 1
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert lines[0].startswith("ferlab: No space left on device")
    assert lines[0].endswith("what was finished before is kept")


def assert_whole_checkpoints(folder: Path) -> int:
    """Make sure that every checkpoint is whole, and return how many there are."""
    found = list(folder.rglob("*.ckpt"))
    for path in found:
        assert is_whole(path), path
        torch.load(path, weights_only=True)
    return len(found)


@pytest.mark.parametrize(
    ("name", "time"),
    [
        pytest.param("environment.json", 1, marks=pytest.mark.slow),
        ("history.csv", 2),
        ("last.ckpt", 2),
        pytest.param("best.ckpt", 1, marks=pytest.mark.slow),
        pytest.param("model.safetensors", 1, marks=pytest.mark.slow),
        pytest.param("curves.png", 1, marks=pytest.mark.slow),
        ("metrics.json", 1),
    ],
)
def test_a_disk_that_fills_with_any_file_costs_nothing(train, whole, monkeypatch, name, time):
    named = []

    def fill(source, target):
        named.append(Path(target).name)
        if Path(target).name == name and named.count(name) == time:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        os.rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", fill)
        status, _, err = train(*RUN, "hydra.run.dir=run")
    assert_is_told(status, err)
    if named.count("last.ckpt") > (name == "last.ckpt"):
        assert assert_whole_checkpoints(Path("run"))
    assert not list(Path().rglob("*.partial"))

    status, _, err = train(*RUN, "hydra.run.dir=run")
    assert status == 0, err
    Outcome(Path("run")).assert_equal(whole)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own: a function that makes it, or gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size: str) -> None:
        again = ["-o", f"remount,size={size}"] if folder.is_mount() else ["-o", f"size={size}"]
        command = ["mount", "-t", "tmpfs", *again, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no file system may be mounted here")

    resize.folder = folder
    yield resize
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kilobytes", [4, 8, 16, 28, 60, 120, 200, 280, 360, 440, 520, 600, 680])
def test_a_disk_of_any_size_costs_nothing(train, whole, disk, kilobytes):
    disk(f"{kilobytes}k")
    place = f"hydra.run.dir={disk.folder}/run"
    status, _, err = train(*RUN, place)
    if status == 0:
        pytest.skip("the run fits")
    assert_is_told(status, err)
    assert_whole_checkpoints(disk.folder)

    disk("64m")
    status, _, err = train(*RUN, place)
    assert status == 0, err
    Outcome(disk.folder / "run").assert_equal(whole)
