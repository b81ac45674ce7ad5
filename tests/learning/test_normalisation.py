"""Measured batch normalisation: what it comes to, what it leaves alone, what it needs."""

import csv
import json
from pathlib import Path

import pytest
import torch
from faces import make_store
from mistakes import mistake_of

from ferlab.data.batches import Batch
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import drawn
from ferlab.learning.averaging import AveragedWeights
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.normalisation import PreciseBatchNorm, measure_batch_norm
from ferlab.learning.trainer import make_trainer
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network
from ferlab.networks.specs import parse_network

PRECISE = "callbacks=precise_batch_norm"
ADDED = "+callbacks.precise_batch_norm._target_=ferlab.learning.normalisation.PreciseBatchNorm"
AVERAGED = ["callbacks=ema", ADDED, "callbacks.ema.decay=0.5"]
REVERSED = [
    PRECISE,
    "+callbacks.ema._target_=ferlab.learning.averaging.AveragedWeights",
    "+callbacks.ema.decay=0.5",
]
TRANSFORMED = ["augment=strong", "seed=3"]
UNWATCHED = ["scheduler=none", "callbacks.early_stopping=null"]


def classifier(*layers):
    return EmotionClassifier(build_network(parse_network([*layers])))


def batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(torch.rand(size, 1, 48, 48, generator=generator), torch.zeros(size).long())
        for size in sizes
    ]


def interrupted(batches):
    yield from batches
    raise KeyboardInterrupt


def last_weights(folder):
    """The network's weights after the last step."""
    state = torch.load(Path(folder, "checkpoints/last.ckpt"), weights_only=True)["state_dict"]
    return {name: tensor for name, tensor in state.items() if name.startswith("network.")}


def measured_anew(folder, **data):
    """The statistics of a run's kept weights over the tiny drawn data of the fixture `train`."""
    module = EmotionClassifier(load_network(Path(folder, "model")))
    faces = FaceDataModule(lambda: drawn(140, seed=3), batch_size=16, **data)
    measure_batch_norm(module, faces.spread_batches(2048))
    return {name: value for name, value in module.network.state_dict().items() if "running" in name}


def test_the_statistics_are_the_means_over_the_batches_of_what_comes_in():
    module = classifier({"conv": 3, "batch_norm": True, "dropout": 0.5}, "flatten")
    given = batches(8, 5)
    measure_batch_norm(module, given)
    convolution = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
    norm = next(part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    maps = [convolution(batch.images) for batch in given]
    mean = sum(part.mean(dim=(0, 2, 3)) for part in maps) / 2
    variance = sum(part.var(dim=(0, 2, 3)) for part in maps) / 2
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)


def test_they_are_of_a_network_that_drops_nothing_and_stays_as_it_was():
    layers = [{"conv": 3, "batch_norm": True, "dropout": 0.9}, {"conv": 2, "batch_norm": True}]
    module, without = classifier(*layers, "flatten"), classifier(*layers, "flatten")
    without.load_state_dict(module.state_dict())
    without.eval()
    for part in without.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    momenta = [part.momentum for part in module.modules() if hasattr(part, "momentum")]
    for measured in (module, without):
        measure_batch_norm(measured, batches(8))
    for mine, theirs in zip(module.buffers(), without.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert [part.momentum for part in module.modules() if hasattr(part, "momentum")] == momenta
    assert all(part.training for part in module.modules())
    assert not any(part.training for part in without.modules())


def test_a_measurement_that_is_interrupted_leaves_modes_and_momenta_as_they_were():
    module = classifier({"conv": 3, "batch_norm": True}, "flatten")
    module.network.eval()  # as one does whose network is not to learn
    with pytest.raises(KeyboardInterrupt):
        measure_batch_norm(module, interrupted(batches(8)))
    assert module.training
    assert not any(part.training for part in module.network.modules())
    assert None not in [part.momentum for part in module.modules() if hasattr(part, "momentum")]


@pytest.mark.parametrize("held_out", [[], ["data.val_fraction=0"]], ids=["validated", "not"])
def test_the_training_stays_as_it_was(finished, held_out):
    finished("running", *TRANSFORMED, *UNWATCHED, *held_out)
    finished("precise", *TRANSFORMED, PRECISE, *UNWATCHED, *held_out)
    running, precise = (last_weights(folder) for folder in ("running", "precise"))
    learned = [name for name in running if "running" not in name and "num_batches" not in name]
    assert learned
    for name in learned:
        assert torch.equal(running[name], precise[name])


@pytest.mark.parametrize("held_out", [[], ["data.val_fraction=0"]], ids=["validated", "not"])
@pytest.mark.parametrize("chosen", [[PRECISE], AVERAGED, REVERSED], ids=" ".join)
def test_the_statistics_that_are_kept_are_of_untransformed_images(finished, chosen, held_out):
    finished("run", *TRANSFORMED, *chosen, *UNWATCHED, *held_out)
    kept = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    expected = measured_anew("run", **({"val_fraction": 0} if held_out else {}))
    for name, tensor in expected.items():
        torch.testing.assert_close(kept[name], tensor)


def test_what_is_kept_is_what_was_validated(finished):
    finished("run", *TRANSFORMED, PRECISE, *UNWATCHED)
    metrics = json.loads(Path("run/metrics.json").read_text())
    with Path("run/history.csv").open(newline="") as file:
        best = list(csv.DictReader(file))[int(metrics["best_epoch"]) - 1]
    assert float(best["val/loss"]) == pytest.approx(metrics["val/loss"], rel=1e-4)


def test_a_network_that_is_only_validated_keeps_its_statistics(tmp_path):
    module = classifier({"conv": 3, "batch_norm": True}, "flatten")
    before = [buffer.clone() for buffer in module.network.buffers()]
    data = FaceDataModule(lambda: make_store(10), batch_size=16)
    make_trainer(tmp_path, "cpu", callbacks=[PreciseBatchNorm()]).validate(
        module, datamodule=data, verbose=False
    )
    assert all(map(torch.equal, module.network.buffers(), before))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            [PRECISE, "model.layers=[flatten,{dense: 4}]"],
            "the network has no batch normalisation to measure; add callbacks.precise_batch_norm",
        ),
        ([PRECISE, "callbacks.precise_batch_norm.images=1"], "precise_batch_norm.images must be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_any_image_is_read(train, chosen, said):
    status, out, err = train(*chosen, "hydra.run.dir=run")
    assert status == 1
    assert said in err
    assert len(err.splitlines()) == 1
    assert "data:" not in out


@pytest.mark.parametrize("images", [1, 0, -5, 2.5, "many", None])
def test_a_number_of_images_that_cannot_be_is_refused(images):
    assert "callbacks.precise_batch_norm.images" in mistake_of(PreciseBatchNorm, images)


def test_weights_that_are_averaged_after_they_are_measured_are_refused(tmp_path):
    layers = [{"conv": 3, "batch_norm": True}, "flatten"]
    module = EmotionClassifier(build_network(parse_network(layers)), torch.optim.SGD)
    data = FaceDataModule(lambda: make_store(10), batch_size=16)
    trainer = make_trainer(tmp_path, "cpu", callbacks=[PreciseBatchNorm(), AveragedWeights(0.9)])
    mistake = mistake_of(lambda: trainer.fit(module, datamodule=data))
    assert "must come after the callback that averages weights" in mistake
