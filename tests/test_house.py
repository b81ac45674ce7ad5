"""The house: who may import whom, and what the wheel carries."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/ferlab"

# A module may import from its own floor and from those below it.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"stages"},
    {"distillation"},
    {"running"},
    {
        *{"learning", "classical", "search", "reporting"},
        *{"finding", "collecting", "settings", "instantiate"},
    },
    {"runs", "history"},
    {"networks", "augment", "data"},
    {"emotions", "checks", "files", "keys", "randomness", "environment"},
]
HYDRA = {"stages", "running", "cli", "instantiate"}


def modules():
    return sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def floor(name):
    return next(index for index, rooms in enumerate(FLOORS) if name in rooms)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path):
    return {name.split(".")[1] for name in imports(path) if name.startswith("ferlab.")}


def test_no_module_imports_from_a_floor_above():
    upward = [
        (str(path.relative_to(SOURCE)), other)
        for path in modules()
        for other in imported_rooms(path)
        if floor(other) < floor(room(path))
    ]
    assert upward == []


def test_hydra_stays_in_its_rooms():
    strays = [
        str(path.relative_to(SOURCE))
        for path in modules()
        if room(path) not in HYDRA
        and any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path))
    ]
    assert strays == []


def test_reporting_knows_neither_torch_nor_lightning():
    for path in (SOURCE / "reporting").glob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"torch", "lightning"}, path


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {option.arg: option.value for option in node.keywords}


def test_no_shell_and_no_pickle_in_the_source():
    for path in modules():
        for name in imports(path):
            assert name.split(".")[0] not in {"pickle", "joblib", "dill", "shelve"} or (
                name == "joblib.cpu_count"
            ), path
        for called, options in calls(path):
            assert called not in {"os.system", "os.popen", "eval", "exec", "yaml.unsafe_load"}, path
            assert "shell" not in options, path
            assert not called.startswith("subprocess.") or path.name == "environment.py", path
            if called == "torch.load":
                assert ast.unparse(options["weights_only"]) == "True", path
            if called in {"np.load", "numpy.load"}:
                assert ast.unparse(options["allow_pickle"]) == "False", path


@pytest.mark.slow
def test_the_wheel_carries_the_configuration(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    for path in (ROOT / "conf").rglob("*.yaml"):
        if "local" not in path.parts:
            assert packed[f"ferlab/{path.relative_to(ROOT)}"] == path.read_bytes()
