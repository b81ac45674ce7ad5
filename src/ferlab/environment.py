"""What a run was made with: the command line, the commit, and the versions of what it stands on."""

import functools
import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "ferlab",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "hydra-core",
    "numpy",
    "scikit-learn",
    "skops",
    "optuna",
)


def describe_environment() -> dict[str, object]:
    """Return command line, commit and versions; no environment variable, for secrets."""
    return {
        "command": sys.orig_argv,
        "commit": loaded_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def loaded_commit() -> str | None:
    """Return the commit of ferlab's checkout as it is at the first call; None outside one.

    With `-dirty` where tracked files have changes, or where there are untracked ones that a
    training may read. A stage calls it when it starts: the code that a process has loaded stays,
    whatever becomes of its files.
    """
    if (Path(__file__).parent / "conf").is_dir():
        return None  # installed from a wheel: a repository around it is not ferlab's
    try:
        commit = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        untracked = _git("ls-files", "--others", "--exclude-standard", ":/conf", ":/src")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit.removesuffix('-dirty')}-dirty" if untracked else commit


def committed_digests(commit: str, folder: str) -> set[str]:
    """Return the SHA-256, in hex, of each file that a commit of ferlab's checkout has in a folder.

    Args:
        commit: as `loaded_commit` returns it.
        folder: from the root of the checkout; an absolute one is in none.
    """
    if Path(folder).is_absolute():
        return set()
    try:
        files = _git("ls-tree", "-r", "--full-tree", "--name-only", "-z", commit, f"{folder}/")
        names = filter(None, files.split("\0"))
        return {
            hashlib.sha256(_read("cat-file", "blob", f"{commit}:{name}")).hexdigest()
            for name in names
        }
    except (OSError, subprocess.SubprocessError):
        return set()


def _git(*arguments: str) -> str:
    return _read(*arguments).decode().strip()


def _read(*arguments: str) -> bytes:
    done = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        timeout=10,
        check=True,
    )
    return done.stdout
