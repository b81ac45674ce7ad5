"""Compiling: where it pays, and that it changes neither weights' names nor what is judged."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import Outcome
from faces import make_store
from models import model

from ferlab.data.datamodule import FaceDataModule
from ferlab.learning import compilation
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.compilation import Compilation, pays_off
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network
from ferlab.networks.specs import parse_network


def test_it_pays_where_what_it_saves_is_more_than_what_it_costs():
    assert pays_off(step_seconds=0.01, n_steps=100_000)
    assert not pays_off(step_seconds=0.01, n_steps=1_000)
    assert not pays_off(step_seconds=0.0001, n_steps=100_000)


def test_on_the_cpu_auto_never_compiles(train):
    train("hydra.run.dir=automatic", "trainer.compile=auto")
    train("hydra.run.dir=eager", "trainer.compile=false")
    Outcome(Path("automatic")).assert_equal(Outcome(Path("eager")))
    assert "compiled" not in Path("automatic/train.log").read_text()


@pytest.mark.parametrize("compiles", [True, False])
def test_a_resumed_training_stays_with_what_was_decided_at_its_beginning(compiles, monkeypatch):
    monkeypatch.setattr(compilation, "_steps", lambda *_: None)
    begun = Compilation("auto")
    begun.load_state_dict({"compiles": compiles})  # as on a CUDA device; never on this CPU
    resumed = Compilation("auto")
    resumed.load_state_dict(begun.state_dict())
    batches = FaceDataModule(lambda: make_store(4)).train_dataloader()
    module = EmotionClassifier(build_network(parse_network(["flatten"])))
    resumed.on_train_start(SimpleNamespace(train_dataloader=batches), module)
    assert (module.network._compiled_call_impl is not None) == compiles


@pytest.mark.parametrize("name", ["F", "senet"])
def test_a_network_is_compiled_whole(name):
    with torch.device("meta"):
        network, images = build_network(model(name)), torch.rand(2, 1, 48, 48)
    compiled = torch.compile(network.features, backend="eager", fullgraph=True)
    assert compiled(images).shape == network.features(images).shape


@pytest.mark.slow
def test_a_compiled_training_learns_the_same_and_keeps_the_names_of_its_weights(train):
    plain = "model.layers=[{conv: 4, kernel: 3, batch_norm: true, pool: 4}, flatten, {dense: 8}]"
    status, _, err = train("hydra.run.dir=compiled", plain, "trainer.compile=true", "callbacks=ema")
    assert status == 0, err
    train("hydra.run.dir=eager", plain, "trainer.compile=false", "callbacks=ema")
    assert "compiled in" in Path("compiled/train.log").read_text()
    compiled, eager = Outcome(Path("compiled")), Outcome(Path("eager"))
    assert compiled.weights.keys() == eager.weights.keys()
    for name, weights in eager.weights.items():
        torch.testing.assert_close(compiled.weights[name], weights, rtol=1e-2, atol=1e-3)
    load_network(Path("compiled/model"))


def test_where_nothing_can_be_compiled_true_says_so_without_a_traceback(train, monkeypatch):
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    status, _, err = train("hydra.run.dir=run", "trainer.compile=true")
    assert status == 1
    assert "cannot be compiled here" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_what_is_neither_auto_nor_true_nor_false_is_refused(train):
    status, _, err = train("hydra.run.dir=run", "trainer.compile=maybe")
    assert (status, err) == (
        1,
        "ferlab: trainer.compile must be auto, true or false; got 'maybe'\n",
    )
