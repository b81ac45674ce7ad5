"""Hostile and malformed inputs, over every command: one line, nothing run, nothing written."""

import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import TINY
from faces import make_csv, make_store, make_tree, zip_folder

from ferlab.cli import main

CPU = ["trainer.accelerator=cpu", "trainer.precision=32-true", "hydra.run.dir=out"]


def slow(stage):
    return pytest.param(stage, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, session_cache):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLAB_CACHE", str(session_cache))
        patch.chdir(folder)
        assert main(["train", *TINY, "trainer.max_epochs=1", "hydra.run.dir=run"]) == 0
        make_tree(Path("faces"))
        zip_folder(Path("faces"), Path("faces.zip"))
        make_csv(Path("fer2013.csv"), make_store(2))
    return folder


@pytest.fixture(autouse=True)
def inputs(trained, tmp_path, monkeypatch):
    """The inputs that a case changes, in the working directory; a secret in the environment."""
    for item in trained.iterdir():
        copy = shutil.copytree if item.is_dir() else shutil.copy
        copy(item, tmp_path / item.name)
    monkeypatch.setenv("FERLAB_SECRET", "hunter2")
    return tmp_path


def snapshot():
    return {
        path: path.lstat().st_mtime_ns
        for path in Path().rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def assert_one_line(capfd, arguments, said=""):
    before = snapshot()
    capfd.readouterr()
    status = main(list(arguments))
    out, err = capfd.readouterr()
    assert status == 1, out + err
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert lines[0].startswith("ferlab: ")
    assert said in lines[0]
    assert len(lines[0]) < 1000
    assert "hunter2" not in out + err
    assert snapshot() == before


# values on the command line

OVERRIDES = {
    "describe: no layers": "describe model.layers=[]",
    "describe: no list": "describe model.layers=null",
    "describe: deep": f"describe model.layers={'[' * 300}{']' * 300}",
    "describe: 10^12 filters": "describe model.layers.0.conv=1000000000000",
    "describe: not a number": "describe model.layers.0.dropout=nan",
    "describe: infinite": "describe model.layers.0.dropout=inf",
    "describe: a name with a path": "describe model.name=../../up",
    "describe: a name of two lines": "describe 'model.name=\"a\nb\"'",
    "describe: a long name": f"describe model.name={'é' * 3000}",
    "describe: a model in a folder above": "describe models=[../model/F]",
    "describe: no model": "describe models=[[]]",
    "describe: a mapping of models": "describe models={A:1}",
    "describe: a format in a path": "describe format=../html",
    "describe: itself": "describe model.name=${model.name}",
    "describe: an unknown resolver": "describe model.name=${python:1}",
    "describe: half a list": "describe model.layers=[1,",
    "describe: no key": "describe =1",
    "describe: zeros": "describe model.name=a\0b",
    "train: a network of 10^13 parameters": "train model.layers=[flatten,"
    + ",".join(["{dense:65536}"] * 3000)
    + "]",
    "train: a seed of 6,000 digits": f"train data=drawn data.size=140 seed={'9' * 6000}",
    "train: a rate that is no number": "train data=drawn data.size=140 optimizer.lr=nan",
    "train: 10^15 faces": "train data=drawn data.size=1000000000000000",
    "train: 10^12 images more": "train data=drawn augment.extra.fear=1000000000000",
    "train: a batch of 10^30": "train data=drawn data.batch_size=1e30",
    "train: epochs without end": "train data=drawn data.size=140 trainer.max_epochs=inf",
    "train: a share that is a list": "train data=drawn data.size=140 data.val_fraction=[0.1]",
    "train: a group in a folder above": "train model=../model/F",
    "train: a group as an absolute path": "train model=/etc/passwd",
    "train: a pickle of Hydra's": "train --experimental-rerun=run.pickle",
    "train: a device": "train data.root=/dev/zero",
    "train: no file": "train data.root=/proc/self/mem",
    "train: text": "train data.root=run/config.yaml",
    "train: an address": "train data.root=https://example.org/fer2013.zip",
    "train: a folder in a file": "train data=drawn data.size=140 hydra.run.dir=faces.zip/out",
    "train: another's folder": "train data=drawn data.size=150 hydra.run.dir=run",
    "train: no such run": "train resume=../../etc",
    "explore: not so many": "explore data=drawn data.size=140 faces=-1",
    "explore: no number": "explore data=drawn data.size=140 faces=many",
    "explore: a device": "explore data.root=/dev/zero",
    "evaluate: a device": "evaluate run=/dev/zero",
    "evaluate: the root": "evaluate run=/",
    "evaluate: a list of lists": "evaluate run=[[run]]",
    "evaluate: a mapping": "evaluate run={a:1}",
    "evaluate: nothing": "evaluate run=",
    "evaluate: a long name": f"evaluate run={'x' * 5000}",
    "evaluate: runs nowhere": "evaluate run=latest runs=[/proc/self/mem]",
    "extract_and_fit: a row that is not": "extract_and_fit run=run features.layer=10000000000",
    "extract_and_fit: no classifier": "extract_and_fit run=run classifiers=[os.system]",
    "extract_and_fit: a class that is none": "extract_and_fit run=run "
    "classifier.svm._target_=pathlib.Path",
    "extract_and_fit: a search of no kind": "extract_and_fit run=run +search.svm=5",
    "extract_and_fit: folds": "extract_and_fit run=run +search.svm.C=[1] folds=1",
}


@pytest.mark.parametrize("command", OVERRIDES.values(), ids=OVERRIDES)
def test_a_hostile_command_line_ends_in_one_line(capfd, command):
    stage, *overrides = command.replace("'", "").split(" ")
    place = [] if any("hydra.run.dir" in text for text in overrides) else ["hydra.run.dir=out"]
    assert_one_line(capfd, [stage, *overrides, *place])


# data


def change_zip(name, content=b"", declared=None):
    def change():
        with zipfile.ZipFile("faces.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        if declared is not None:
            packed = Path("faces.zip").read_bytes()
            size = struct.pack("<I", len(content))
            Path("faces.zip").write_bytes(packed.replace(size, struct.pack("<I", declared)))

    return change


def huge_png():
    """A picture that says that it has 60,000 × 60,000 pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + b"\0\0\0\0"
    Path("faces/train/sad/Training_0.png").write_bytes(content)


def pipe(name):
    def change():
        Path(name).unlink(missing_ok=True)
        os.mkfifo(name)

    return change


def replace(name, content):
    return lambda: Path(name).write_bytes(content)


DATA = {
    "zip: climbs out": ("faces.zip", change_zip("../../owned")),
    "zip: absolute": ("faces.zip", change_zip("/tmp/owned")),
    "zip: a bomb": ("faces.zip", change_zip("train/sad/x.jpg", bytes(1 << 24))),
    "zip: a bomb that lies": ("faces.zip", change_zip("train/sad/x.jpg", bytes(19088743), 2000)),
    "zip: text": ("faces.zip", replace("faces.zip", b"PK but no archive")),
    "zip: a pipe": ("faces.zip", pipe("faces.zip")),
    "tree: a picture of 3.6 GB": ("faces", huge_png),
    "tree: markup": ("faces", lambda: Path("faces/train/<img src=x onerror=alert(1)>").mkdir()),
    "tree: a name of two lines": ("faces", lambda: Path("faces/train/a\nb").mkdir()),
    "csv: a pipe": ("fer2013.csv", pipe("fer2013.csv")),
    "csv: binary": ("fer2013.csv", replace("fer2013.csv", bytes(range(256)) * 100)),
    "csv: a line without end": (
        "fer2013.csv",
        replace("fer2013.csv", b"emotion,pixels\n0," + b"1 " * 10**6),
    ),
    "csv: half a quote": ("fer2013.csv", replace("fer2013.csv", b'emotion,pixels\n0,"1 2 3')),
    "csv: a formula": (
        "fer2013.csv",
        replace("fer2013.csv", b"emotion,pixels\n=cmd|' /C calc'!A0,1"),
    ),
}


@pytest.mark.parametrize("stage", ["train", slow("explore")])
@pytest.mark.parametrize(("root", "change"), DATA.values(), ids=DATA)
def test_hostile_data_end_in_one_line(capfd, stage, root, change):
    change()
    assert_one_line(capfd, [stage, f"data.root={root}", "hydra.run.dir=out"])


# a run from somebody else


def config(change):
    def rewrite():
        path = Path("run/config.yaml")
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values))

    return rewrite


def source(**values):
    return config(lambda recorded: recorded["data"].update(source=values))


def description(**values):
    def rewrite():
        path = Path("run/model/model.yaml")
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))

    return rewrite


def header(text, length=None):
    """Return what replaces the weights by a header of safetensors."""
    size = struct.pack("<Q", len(text) if length is None else length)
    return replace("run/model/model.safetensors", size + text)


TENSOR = '{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}'
LAUGHS = "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))
APPLY = "!!python/object/apply:os.system ['touch owned']"

RUNS = {
    "config: an object": replace("run/config.yaml", APPLY.encode()),
    "config: laughs": replace("run/config.yaml", LAUGHS.encode()),
    "config: deep": replace("run/config.yaml", b"[" * 100_000),
    "config: binary": replace("run/config.yaml", bytes(range(256))),
    "config: a list": replace("run/config.yaml", b"[1, 2]"),
    "config: a pipe": pipe("run/config.yaml"),
    "config: data of no kind": config(lambda values: values.update(data=7)),
    "config: a source of no kind": config(lambda values: values["data"].update(source="abc")),
    "config: no source": config(lambda values: values["data"].pop("source")),
    "config: os.system": source(_target_="os.system", command="touch owned"),
    "config: os.system, partly": source(_target_="os.system", _partial_=True),
    "config: os.system, deep": source(
        _target_="ferlab.data.sources.fer2013",
        _partial_=True,
        root={"_target_": "os.system", "_args_": ["touch owned"]},
    ),
    "config: a call of a name": source(_target_="hydra.utils.get_method", path="os.system"),
    "config: what another group has": source(
        _target_="ferlab.learning.tensorboard.RunTensorBoard", save_dir="faces"
    ),
    "config: a target that is a list": source(_target_=["os.system"]),
    "config: a secret": source(
        _target_="ferlab.data.sources.fer2013", _partial_=True, root="${oc.env:FERLAB_SECRET}"
    ),
    "config: 10^12 faces": source(
        _target_="ferlab.data.sources.drawn", _partial_=True, size=10**12, seed=0
    ),
    "config: another root": source(
        _target_="ferlab.data.sources.fer2013", _partial_=True, root="/dev/zero"
    ),
    "model: an object": replace("run/model/model.yaml", APPLY.encode()),
    "model: laughs": replace("run/model/model.yaml", LAUGHS.encode()),
    "model: deep": replace("run/model/model.yaml", b"{a: " * 50_000),
    "model: a pipe": pipe("run/model/model.yaml"),
    "model: no layers": description(layers=7),
    "model: other classes": description(classes=["happy"]),
    "model: 10^15 parameters": description(
        layers=["flatten", *({"dense": 65536} for _ in range(2000))]
    ),
    "model: a number of 6,000 digits": replace(
        "run/model/model.yaml", f"layers: 0x{'f' * 5000}".encode()
    ),
    "model: a checksum of no kind": description(sha256=["0"]),
    "model: a name with a path": description(name="../../up"),
    "weights: empty": replace("run/model/model.safetensors", b""),
    "weights: a header of 10^18 bytes": header(b"{}", 10**18),
    "weights: a tensor of 4 TB": header(b'{"a":' + TENSOR.encode() + b"}"),
    "weights: deep": header(b"[" * 100_000),
    "weights: negative": header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[8,0]}}'),
    "weights: a pickle": replace(
        "run/model/model.safetensors", b"cos\nsystem\n(S'touch owned'\ntR."
    ),
    "weights: a link to a device": lambda: (
        Path("run/model/model.safetensors").unlink(),
        Path("run/model/model.safetensors").symlink_to("/dev/zero"),
    ),
    "environment: deep": replace("run/environment.json", b"[" * 100_000),
    "environment: no mapping": replace("run/environment.json", b"7"),
    "environment: NaN": replace("run/environment.json", b'{"data": NaN}'),
}


@pytest.mark.parametrize("stage", ["evaluate", slow("extract_and_fit")])
@pytest.mark.parametrize("change", RUNS.values(), ids=RUNS)
def test_a_hostile_run_ends_in_one_line(capfd, stage, change):
    change()
    assert_one_line(capfd, [stage, "run=run", *(CPU if stage == "evaluate" else CPU[::2])])


@pytest.mark.slow
@pytest.mark.parametrize("change", RUNS.values(), ids=RUNS)
def test_a_hostile_run_teaches_or_is_refused_in_one_line(capfd, change):
    change()
    status = main(["train", *TINY, "distillation.teachers=[run]", "hydra.run.dir=out"])
    out, err = capfd.readouterr()
    assert status in (0, 1)
    assert "Traceback" not in out + err
    assert err.count("\n") <= 1
    assert "hunter2" not in out + err
    assert not Path("owned").exists()


@pytest.mark.parametrize("change", RUNS.values(), ids=RUNS)
def test_a_hostile_run_is_compared_or_named_and_left_out(capfd, change):
    change()
    status = main(["compare", "runs=[run]", "hydra.run.dir=out"])
    out, err = capfd.readouterr()
    assert status in (0, 1)
    assert "Traceback" not in out + err
    assert err.count("\n") <= 1
    assert "hunter2" not in out + err


METRICS = {
    "deep": b"[" * 100_000,
    "a list": b"[1]",
    "no numbers": b'{"val/accuracy": "high"}',
    "NaN": b'{"val/accuracy": NaN}',
    "nothing of it": b"{}",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", METRICS.values(), ids=METRICS)
def test_hostile_metrics_end_in_one_line(capfd, content):
    Path("run/metrics.json").write_bytes(content)
    command = ["train", *TINY, "trainer.max_epochs=1", "hydra.run.dir=run"]
    assert_one_line(capfd, command, "run/metrics.json is damaged")


def test_a_foreign_cache_is_not_written_to(capfd):
    drawn = {"_target_": "ferlab.data.sources.drawn", "_partial_": True, "size": 140, "seed": 0}
    source(**drawn, cache="elsewhere")()
    assert main(["evaluate", "run=run", *CPU]) == 0, capfd.readouterr().err
    assert not Path("elsewhere").exists()


def test_features_that_unpack_to_more_than_they_may_are_made_again(capfd):
    command = ["extract_and_fit", "run=run", "classifiers=[logistic_regression]", *CPU[::2]]
    assert main(command) == 0, capfd.readouterr().err
    shutil.rmtree("out")
    shutil.rmtree("run/classical")
    archive = next(Path("run/features").rglob("test.npz"))
    with np.load(archive) as arrays:
        arrays = dict(arrays)
    arrays["probabilities"] = np.zeros((10**6, 7), np.float32)
    np.savez_compressed(archive, **arrays)
    assert main(command) == 0
    assert "features that are damaged are made again" in capfd.readouterr().out


def test_no_secret_of_the_environment_is_recorded(inputs):
    Path("run/metrics.json").unlink()
    assert main(["train", *TINY, "trainer.max_epochs=1", "hydra.run.dir=again"]) == 0
    for path in Path("again").rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path
    recorded = json.loads(Path("again/environment.json").read_text())
    assert not {value for value in os.environ.values() if len(value) > 20} & set(
        map(str, recorded.values())
    )
