"""Inputs that nobody thought of: each is read, or refused in one line, and runs nothing.

A few dozen of each, always the same ones, in `make test`; FUZZ=10000 tries as many, other ones.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
import yaml
from faces import make_csv, make_store, make_tree, zip_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ferlab.checks import FerlabError
from ferlab.classical.fit import load_pipeline, save_pipeline
from ferlab.cli import main
from ferlab.data.sources import fer2013
from ferlab.files import read_json, read_yaml
from ferlab.instantiate import check_recorded
from ferlab.learning.tensors import read_tensors, write_tensors
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network, save_network
from ferlab.networks.specs import parse_model, parse_network, to_layers
from ferlab.runs import RunFolder

TRIES = int(os.environ.get("FUZZ", 0))
fuzz = settings(
    max_examples=TRIES or 40,
    derandomize=not TRIES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=9), values),
    max_leaves=9,
)


def check_read_or_refused(read: Callable[[], object]) -> None:
    """Make sure that whatever comes in is read, or refused as a mistake, and not run."""
    with suppress(FerlabError):
        read()
    assert not Path("owned").exists()


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Return the content with some bytes changed, cut off, put in or repeated."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = bytearray(content)
        for place, length, inserted in edits:
            start = place % (len(changed) + 1)
            changed[start : start + length] = inserted
        return bytes(changed)

    edit = st.tuples(st.integers(0, 1 << 30), st.integers(0, 40), st.binary(max_size=8))
    return st.lists(edit, min_size=1, max_size=4).map(change) | st.binary(max_size=200)


# layers and configurations

KEYS = ["conv", "dense", "residual", "max_pool", "average_pool", "squeeze_excite", "dropout"]
OPTIONS = [
    "kernel",
    "stride",
    "padding",
    "groups",
    "batch_norm",
    "activation",
    "pool",
    "torchvision",
]
sizes = st.integers(-1, 70) | st.sampled_from([10**12, 1e308, float("nan"), True, "same"])
rows = st.dictionaries(st.sampled_from(KEYS + OPTIONS), sizes | plain, max_size=4)
layers = st.lists(rows | st.sampled_from(["flatten", "global_average"]) | plain, max_size=6)


@fuzz
@given(layers | plain)
def test_layers_are_a_network_or_refused(layers):
    def read() -> None:
        spec = parse_network(layers)
        assert parse_network(yaml.safe_load(yaml.safe_dump(to_layers(spec)))) == spec
        with torch.device("meta"):
            build_network(spec)

    check_read_or_refused(read)


@fuzz
@given(st.dictionaries(st.sampled_from(["name", "layers", "initialisation", "input_size"]), plain))
def test_a_model_is_a_network_or_refused(model):
    check_read_or_refused(lambda: parse_model(model))


NAMES = [
    "seed",
    "data.batch_size",
    "data.size",
    "data.val_fraction",
    "data.source._target_",
    "distillation",
    "distillation.teachers",
    "distillation.share",
    "model",
    "model.layers",
    "model.layers.0.conv",
    "model.name",
    "optimizer",
    "optimizer.lr",
    "optimizer._target_",
    "augment.extra",
    "augment.transforms.rotation",
    "loss",
    "scheduler",
    "scheduler.patience",
    "trainer.max_epochs",
    "checkpoint.every",
    "monitor",
    "resume",
    "logger",
    "callbacks.early_stopping",
    "hydra.run.dir",
]
keys = st.sampled_from(NAMES)
values = st.text("0123456789.-+eE[]{}:,'\"$()~@/\\ abcnul\0é", max_size=12)
overrides = st.builds("{}{}={}".format, st.sampled_from(["", "+", "++", "~"]), keys, values)


@fuzz
@given(
    st.sampled_from(["train", "explore", "evaluate", "describe"]), st.lists(overrides, max_size=3)
)
def test_a_command_line_is_composed_or_refused(tmp_path, stage, overrides):
    shown, told = io.StringIO(), io.StringIO()
    with redirect_stdout(shown), redirect_stderr(told):
        status = main([stage, "--cfg", "job", "data.root=nowhere", *overrides])
    assert status in (0, 1)
    lines = [line for line in told.getvalue().splitlines() if line]
    assert len(lines) == status, told.getvalue()
    assert not list(tmp_path.iterdir())


@fuzz
@given(st.sampled_from(["train", "explore", "describe"]), st.lists(overrides, max_size=2))
def test_a_command_is_refused_in_one_line(tmp_path, stage, overrides):
    shown, told = io.StringIO(), io.StringIO()
    place = ["data.root=nowhere", "hydra.run.dir=out"]
    with redirect_stdout(shown), redirect_stderr(told):
        status = main([stage, *overrides, *(place[1:] if stage == "describe" else place)])
    assert status == 1 or stage == "describe"
    lines = [line for line in told.getvalue().splitlines() if line]
    assert len(lines) == status, told.getvalue()
    assert not list(tmp_path.iterdir())


@fuzz
@given(plain, st.text(max_size=9))
def test_a_recorded_configuration_names_what_is_shipped_or_is_refused(recorded, name):
    check_read_or_refused(lambda: check_recorded({"data": recorded}, "config.yaml"))
    with pytest.raises(FerlabError):
        check_recorded({"data": [{name: {"_target_": f"os.{name}"}}]}, "config.yaml")


# files


@fuzz
@given(st.data())
def test_a_mapping_is_read_or_refused(tmp_path, data):
    path = tmp_path / "file"
    written = data.draw(st.dictionaries(st.text(max_size=9), plain, max_size=4))
    text = yaml.safe_dump(written, allow_unicode=True).encode("utf-8", "surrogatepass")
    path.write_bytes(data.draw(damaged(text) | damaged(json.dumps(written).encode())))
    check_read_or_refused(lambda: read_yaml(path))
    check_read_or_refused(lambda: read_json(path))


@fuzz
@given(st.data())
def test_metrics_are_numbers_or_refused(tmp_path, data):
    folder = RunFolder(tmp_path)
    content = json.dumps({"val/accuracy": 0.5, "test/accuracy": 0.25, "epochs": 3}).encode()
    folder.metrics.write_bytes(data.draw(damaged(content)))

    def read() -> None:
        metrics = folder.recorded_metrics()
        assert metrics is not None
        assert all(isinstance(value, int | float) for value in metrics.values())

    check_read_or_refused(read)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    spec = parse_network([{"conv": 2, "batch_norm": True, "pool": 8}, "flatten", {"dense": 2}])
    save_network(build_network(spec), folder)
    return {name: (folder / name).read_bytes() for name in ("model.yaml", "model.safetensors")}


@fuzz
@given(st.data())
def test_a_model_is_loaded_or_refused(tmp_path, model, data):
    for name, content in model.items():
        (tmp_path / name).write_bytes(data.draw(damaged(content) | st.just(content)))
    check_read_or_refused(lambda: load_network(tmp_path))


@fuzz
@given(st.data())
def test_a_checkpoint_is_read_or_refused(tmp_path, data):
    path = tmp_path / "last.ckpt"
    write_tensors(path, {"state_dict": {"a": torch.zeros(3)}, "epoch": 1})
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    check_read_or_refused(lambda: read_tensors(path))


@fuzz
@given(st.data())
def test_the_pickle_of_a_checkpoint_runs_nothing(tmp_path, data):
    """As above, with the checksums of a file that somebody made on purpose."""
    path = tmp_path / "last.ckpt"
    write_tensors(path, {"state_dict": {"a": torch.zeros(3)}, "epoch": 1})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            if name.endswith(".pkl"):
                content = data.draw(damaged(content + b"cos\nsystem\n(S'touch owned'\ntR."))
            archive.writestr(name, content)
    check_read_or_refused(lambda: read_tensors(path))


@pytest.fixture(scope="module")
def pipeline():
    random = np.random.default_rng(0)
    return make_pipeline(LogisticRegression().fit(random.random((14, 3)), np.arange(14) % 7))


@fuzz
@given(st.data())
def test_a_kept_classifier_is_loaded_or_refused(tmp_path, pipeline, data):
    path = tmp_path / "svm.skops"
    save_pipeline(pipeline, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts["schema.json"]
    for known, foreign in (("LogisticRegression", "system"), ("sklearn.linear_model", "os")):
        if data.draw(st.booleans()):
            schema = schema.replace(known.encode(), foreign.encode())
    parts["schema.json"] = data.draw(damaged(schema) | st.just(schema))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    check_read_or_refused(lambda: load_pipeline(path))
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    check_read_or_refused(lambda: load_pipeline(path))
    assert skops.io.dumps(pipeline)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    make_tree(folder / "faces", train=1, test=1)
    packed = zip_folder(folder / "faces", folder / "faces.zip").read_bytes()
    text = make_csv(folder / "fer2013.csv", make_store(1, splits=("training",))).read_bytes()
    return packed, text


@fuzz
@given(st.data())
def test_an_archive_is_read_or_refused(tmp_path, forms, data):
    (tmp_path / "faces.zip").write_bytes(data.draw(damaged(forms[0])))
    check_read_or_refused(lambda: fer2013(str(tmp_path / "faces.zip"), str(tmp_path / "cache")))


@fuzz
@given(st.data())
def test_a_csv_file_is_read_or_refused(tmp_path, forms, data):
    (tmp_path / "fer2013.csv").write_bytes(data.draw(damaged(forms[1])))
    check_read_or_refused(lambda: fer2013(str(tmp_path / "fer2013.csv"), str(tmp_path / "cache")))
