"""Batch normalisation measured as it is judged: what it comes to, what it touches, what it needs."""

from pathlib import Path

import pytest
import torch
from faces import make_store
from mistakes import mistake_of

from ferlab.data.batches import Batch
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import drawn
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.normalisation import PreciseBatchNorm, measure_batch_norm, spread_batches
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network
from ferlab.networks.specs import parse_network

PRECISE = "callbacks=precise_batch_norm"
ADDED = "+callbacks.precise_batch_norm._target_=ferlab.learning.normalisation.PreciseBatchNorm"
TRANSFORMED = ["augment=strong", "seed=3"]
NOTHING_HELD_OUT = ["data.val_fraction=0", "scheduler=none", "callbacks.early_stopping=null"]


def classifier(*layers):
    return EmotionClassifier(build_network(parse_network([*layers])))


def batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(torch.rand(size, 1, 48, 48, generator=generator), torch.zeros(size).long())
        for size in sizes
    ]


def weights(folder):
    tensors = torch.load(Path(folder, "checkpoints/best.ckpt"), weights_only=True)
    measured = {name: tensors.pop(name) for name in [*tensors] if "running" in name}
    learned = {name: tensor for name, tensor in tensors.items() if "num_batches" not in name}
    return learned, measured


def measured_anew(folder, **data):
    """The statistics of a run's kept weights over the tiny drawn data of the fixture `train`."""
    module = EmotionClassifier(load_network(Path(folder, "model")))
    faces = FaceDataModule(lambda: drawn(140, seed=3), batch_size=16, **data)
    measure_batch_norm(module, spread_batches(faces, 2048))
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


def test_no_batch_is_of_neighbours_in_a_store_that_is_sorted_by_class():
    data = FaceDataModule(lambda: make_store(32, splits=("training",)), None, 28, val_fraction=0)
    for batch in spread_batches(data, n_images=120):
        assert torch.equal(batch.labels.bincount(), torch.full((7,), 4))
        assert batch.images.shape == (28, 1, 48, 48)


@pytest.mark.parametrize(("n_images", "sizes"), [(2, [16]), (47, [16] * 2), (9999, [16] * 3)])
def test_whole_batches_are_looked_at_and_one_at_least(n_images, sizes):
    data = FaceDataModule(lambda: make_store(7, splits=("training",)), None, 16, val_fraction=0)
    assert [len(batch.labels) for batch in spread_batches(data, n_images)] == sizes


def test_fewer_images_than_a_batch_are_one_batch():
    data = FaceDataModule(lambda: make_store(1, splits=("training",)), None, 64, val_fraction=0)
    assert [len(batch.labels) for batch in spread_batches(data, 2048)] == [7]


def test_the_training_stays_as_it_was_and_the_statistics_are_of_images_as_they_are(train):
    for folder, chosen in (("running", []), ("precise", [PRECISE])):
        status, _, err = train(*TRANSFORMED, *chosen, *NOTHING_HELD_OUT, f"hydra.run.dir={folder}")
        assert status == 0, err
    (learned, running), (learned_too, precise) = weights("running"), weights("precise")
    for name, tensor in learned.items():
        assert torch.equal(tensor, learned_too[name])
    expected = measured_anew("precise", val_fraction=0)
    for name, tensor in expected.items():
        torch.testing.assert_close(precise[name], tensor)
        assert not torch.allclose(running[name], tensor, rtol=1e-3)


@pytest.mark.parametrize(
    "chosen", [[PRECISE], ["callbacks=ema", ADDED, "callbacks.ema.decay=0.5"]], ids=" ".join
)
def test_what_is_kept_is_what_was_judged(train, chosen):
    status, _, err = train(*TRANSFORMED, *chosen, "hydra.run.dir=run")
    assert status == 0, err
    for name, tensor in measured_anew("run").items():
        torch.testing.assert_close(weights("run")[1][name], tensor)


def test_averaged_weights_are_measured_where_nothing_is_held_out(train):
    chosen = ["callbacks=ema", ADDED, "callbacks.ema.decay=0.5", *NOTHING_HELD_OUT]
    status, _, err = train(*TRANSFORMED, *chosen, "hydra.run.dir=run")
    assert status == 0, err
    for name, tensor in measured_anew("run", val_fraction=0).items():
        torch.testing.assert_close(weights("run")[1][name], tensor)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([PRECISE, "model.layers=[flatten,{dense: 4}]"], "the network has no batch normalisation"),
        ([PRECISE, "callbacks.precise_batch_norm.images=1"], "precise_batch_norm.images must be"),
        (
            [
                PRECISE,
                "+callbacks.ema._target_=ferlab.learning.averaging.AveragedWeights",
                "+callbacks.ema.decay=0.9",
            ],
            "must come after what averages the weights",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(train, chosen, said):
    status, _, err = train(*chosen, "hydra.run.dir=run")
    assert status == 1
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("images", [1, 0, -5, 2.5, "many", None])
def test_a_number_of_images_that_cannot_be_is_refused(images):
    assert "callbacks.precise_batch_norm.images" in mistake_of(PreciseBatchNorm, images)
