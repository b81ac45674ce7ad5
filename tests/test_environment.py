"""What a run was made with."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from ferlab.environment import committed_digests, describe_environment, loaded_commit


def commit() -> object:
    """Return what a process that starts now records."""
    loaded_commit.cache_clear()
    return describe_environment()["commit"]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository of ferlab with one commit."""
    place = tmp_path / "src/ferlab"
    place.mkdir(parents=True)
    (place / "environment.py").touch()
    monkeypatch.setattr("ferlab.environment.__file__", str(place / "environment.py"))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    yield tmp_path
    loaded_commit.cache_clear()


def head_of(checkout):
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_checkout(checkout):
    assert commit() == head_of(checkout)


@pytest.mark.parametrize("file", ["src/ferlab/environment.py", "conf/model/mine.yaml"])
def test_what_no_commit_holds_makes_it_dirty(checkout, file):
    clean = commit()
    place = Path(checkout, file)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("name: mine")
    assert commit() == f"{clean}-dirty"


def test_a_process_keeps_the_commit_of_its_start(checkout):
    clean = commit()
    (checkout / "src/ferlab/environment.py").write_text("changed")
    assert describe_environment()["commit"] == clean
    assert commit() == f"{clean}-dirty"


def test_untracked_files_outside_conf_and_src_do_not_mark_the_commit(checkout):
    clean = commit()
    (checkout / "notes.txt").touch()
    assert commit() == clean


def test_the_digests_of_a_commit_are_of_the_files_that_it_holds(checkout):
    (checkout / "src/ferlab/environment.py").write_text("changed")
    (checkout / "src/ferlab/new").write_text("not committed")
    assert committed_digests(head_of(checkout), "src/ferlab") == {sha256(b"").hexdigest()}
    assert committed_digests(head_of(checkout), "weights/mine") == set()
    assert committed_digests(head_of(checkout), str(checkout / "src/ferlab")) == set()
    assert committed_digests("a" * 40, "src/ferlab") == set()


def test_installed_in_a_repository_it_is_not_that_ones_commit(checkout):
    (checkout / "src/ferlab/conf").mkdir()
    assert commit() is None
