"""Features of a network: what they are, when they are read again, when not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from faces import make_store
from filelock import FileLock
from mistakes import mistake_of

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import RandomTransforms
from ferlab.classical.features import EXTRA, EXTRACTED, Extractor
from ferlab.data.batches import TrainBatches, to_float
from ferlab.data.datamodule import FaceDataModule
from ferlab.networks.build import build_network
from ferlab.networks.files import save_network
from ferlab.networks.specs import parse_model

MODEL = {
    "name": "tiny",
    "layers": [
        {"conv": 4, "kernel": 3, "batch_norm": True, "pool": 4, "dropout": 0.25},
        "flatten",
        {"dense": 8, "dropout": 0.25},
    ],
}
FOLDER = Path("features/2")


def make_extractor(
    seed=0, data_seed=0, layer=None, batch_size=256, augmentation=None, spoil=None, size=48
):
    network = build_network(parse_model({**MODEL, "input_size": size}), seed)
    if spoil is not None:
        spoil(network)
    save_network(network, Path("model"))
    data = FaceDataModule(
        lambda: make_store(4, seed=data_seed),
        augmentation=augmentation,
        eval_batch_size=batch_size,
        val_fraction=0.25,
    )
    return Extractor(network, Path("model"), data, layer, torch.device("cpu")), network, data


@pytest.mark.parametrize("batch_size", [1, 5, 256])
def test_features_are_the_networks_at_any_batch_size(batch_size):
    extractor, network, data = make_extractor(batch_size=batch_size)
    for split in EXTRACTED:
        rows = data.rows(split)
        images = to_float(torch.from_numpy(data.store.images[rows]))
        found = extractor.features(split, FOLDER)
        with torch.no_grad():
            assert np.allclose(found.values, network.features(images), atol=1e-5)
            assert np.allclose(found.probabilities, network(images).softmax(dim=1), atol=1e-5)
        assert np.array_equal(found.labels, data.store.labels[rows])


def test_any_row_can_be_named_and_is_flattened():
    extractor, network, data = make_extractor(layer=0)
    found = extractor.features("test", FOLDER)
    images = to_float(torch.from_numpy(data.store.images[data.rows("test")]))
    with torch.no_grad():
        assert np.allclose(found.values, network.layers[0](images).flatten(1), atol=1e-5)
    assert "features.layer must be an integer >= 0 and <= 2; got 3" in mistake_of(
        lambda: make_extractor(layer=3)
    )


def test_a_dump_can_be_read_with_numpy_alone():
    extractor, _, data = make_extractor()
    found = extractor.features("test", FOLDER)
    images = np.load(FOLDER / "test.npz", allow_pickle=False)
    assert np.array_equal(np.load(FOLDER / "test.npy", allow_pickle=False), found.values)
    assert np.array_equal(images["labels"], data.store.labels[data.rows("test")])
    assert np.array_equal(images["names"], data.store.names[data.rows("test")])
    assert images["public"].sum() == images["private"].sum() == 28
    assert json.loads((FOLDER / "test.json").read_text()) == extractor.manifest("test")


def test_added_images_are_those_of_the_plans_first_epoch():
    plan = TargetedAugmentation(RandomTransforms(flip=1.0), {"happy": 5})
    extractor, network, data = make_extractor(augmentation=plan, batch_size=2)
    found = extractor.features(EXTRA, FOLDER)
    assert set(found.labels) == {3}
    train = data.rows("train")
    drawn = plan.plan(torch.from_numpy(data.store.labels[train]), data.seed, epoch=0)
    originals = data.store.images[train[drawn.source[len(train) :]]]
    flipped = to_float(torch.from_numpy(originals)).flip(dims=[3])
    with torch.no_grad():
        assert np.allclose(found.values, network.features(flipped), atol=1e-4)


def test_added_images_are_cropped_as_in_training():
    plan = TargetedAugmentation(RandomTransforms(flip=1.0), {"happy": 5})
    extractor, network, data = make_extractor(augmentation=plan, size=40)
    found = extractor.features(EXTRA, FOLDER)
    trained = TrainBatches(
        torch.from_numpy(data.store.images),
        torch.from_numpy(data.store.labels),
        data.rows("train"),
        plan,
        batch_size=len(data.rows("train")) + 5,
        seed=data.seed,
        device=torch.device("cpu"),
        crop=40,
    )
    images = next(iter(trained)).images[:5]  # the transformed ones come first
    with torch.no_grad():
        expected = network.features(images).numpy()
    order = [np.lexsort(values.T) for values in (expected, found.values)]
    assert np.allclose(found.values[order[1]], expected[order[0]], atol=1e-4)


def stamps():
    return {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}


def test_a_dump_that_fits_is_read_and_not_made_again():
    first = make_extractor()[0].features("test", FOLDER)
    before = stamps()
    again = make_extractor(batch_size=7)[0].features("test", FOLDER)
    assert stamps() == before
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.probabilities, again.probabilities)


@pytest.mark.parametrize(
    ("changed", "named"), [({"seed": 1}, "weights"), ({"data_seed": 1}, "data")]
)
def test_a_dump_of_other_weights_or_data_is_made_again(changed, named, caplog):
    first = make_extractor()[0].features("test", FOLDER)
    with caplog.at_level("INFO", logger="ferlab"):
        extractor, _, _ = make_extractor(**changed)
        again = extractor.features("test", FOLDER)
    assert f"with other {named}" in caplog.text
    assert not np.allclose(first.values, again.values)
    assert json.loads((FOLDER / "test.json").read_text()) == extractor.manifest("test")


def test_a_dump_in_another_class_order_is_made_again(caplog):
    first = make_extractor()[0].features("test", FOLDER)
    manifest = json.loads((FOLDER / "test.json").read_text())
    manifest["classes"].reverse()
    (FOLDER / "test.json").write_text(json.dumps(manifest))
    np.save(FOLDER / "test.npy", first.values + 1)
    with caplog.at_level("INFO", logger="ferlab"):
        again = make_extractor()[0].features("test", FOLDER)
    assert "with other classes" in caplog.text
    assert np.array_equal(first.values, again.values)


@pytest.mark.parametrize("damage", ["cut", "nan", "no manifest", "other shape", "flipped bit"])
def test_a_damaged_dump_is_made_again(damage):
    first = make_extractor()[0].features("test", FOLDER)
    file = FOLDER / "test.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "nan":
        np.save(file, np.full_like(first.values, np.nan))
    elif damage == "flipped bit":
        packed = FOLDER / "test.npz"
        content = bytearray(packed.read_bytes())
        content[len(content) // 2] ^= 0xFF
        packed.write_bytes(content)
    elif damage == "other shape":
        np.save(file, first.values[:-1])
    else:
        (FOLDER / "test.json").unlink()
    assert np.array_equal(make_extractor()[0].features("test", FOLDER).values, first.values)


def test_features_that_are_no_numbers_are_refused_and_not_written():
    def diverge(network):
        network.layers[2].dense.weight.data[0, 0] = float("nan")

    extractor, _, _ = make_extractor(spoil=diverge)
    assert "the features of test are not all numbers" in mistake_of(
        extractor.features, "test", FOLDER
    )
    assert not FOLDER.exists()


def test_dropout_is_off_although_the_network_was_left_in_training():
    values = make_extractor()[0].features("test", FOLDER).values
    training = make_extractor(spoil=lambda network: network.train())[0]
    assert np.array_equal(training.features("test", Path("features/again")).values, values)


def test_features_that_another_process_makes_are_waited_for_and_read(caplog):
    make_extractor()[0].features("test", FOLDER)
    before = stamps()

    def end_the_other(record):
        if "waiting for another process" in record.msg:
            other.release()
        return True

    with FileLock(FOLDER / ".lock") as other, caplog.at_level("INFO", logger="ferlab"):
        caplog.handler.addFilter(end_the_other)
        make_extractor()[0].features("test", FOLDER)
    assert "waiting for another process that is at features/2" in caplog.text
    assert "are there already" in caplog.text
    assert stamps() == before
    assert not (FOLDER / ".lock").exists()
