"""Batches: every image once, the marked ones transformed, and the same again after a resume."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from faces import make_store

from ferlab.augment.crops import views_at_test_time
from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import RandomTransforms
from ferlab.data.batches import EvalBatches, TrainBatches, place, to_float
from ferlab.emotions import EMOTIONS

STORE = make_store(4)
ROWS = STORE.rows("training")  # 28
MIRROR = RandomTransforms(flip=1.0)  # what it changes can still be recognised
SHAKE = RandomTransforms(rotation=20, zoom=0.1, brightness=0.2)


def train_batches(batch_size=7, seed=0, rows=ROWS, store=STORE, given=None, **augmentation):
    return TrainBatches(
        torch.from_numpy(store.images),
        torch.from_numpy(store.labels),
        rows,
        TargetedAugmentation(**augmentation),
        batch_size,
        seed,
        torch.device("cpu"),
        **(given or {}),
    )


def eval_batches(rows, batch_size):
    images, labels = torch.from_numpy(STORE.images), torch.from_numpy(STORE.labels)
    return EvalBatches(images, labels, rows, batch_size, torch.device("cpu"))


def forever(batches):
    while True:
        yield from batches


def pixels(images):
    return [image.tobytes() for image in (images * 255).round().byte().numpy()]


ROW_OF = {image.tobytes(): row for row, image in enumerate(STORE.images)}


def rows_in(batches):
    """Return the store's row of every image, in order; none may be transformed."""
    return [ROW_OF[image] for batch in batches for image in pixels(batch.images)]


def rows_and_mirrored(batches):
    """Return (row, whether mirrored) of every image, in order."""
    found = []
    for batch in batches:
        for as_is, mirrored in zip(pixels(batch.images), pixels(batch.images.flip(3)), strict=True):
            found.append((ROW_OF[as_is], False) if as_is in ROW_OF else (ROW_OF[mirrored], True))
    return found


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.labels, other.labels)


READ_A_MAPPED_STORE = """
import numpy as np
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.store import ImageStore

def memory(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


n = 20_000
np.lib.format.open_memmap("images.npy", "w+", np.uint8, (n, 1, 48, 48))
store = ImageStore(
    images=np.load("images.npy", mmap_mode="c"),
    labels=np.arange(n) % 7,
    splits=np.zeros(n, np.uint8),
    names=np.full(n, "x"),
    hashes=np.arange(n).astype("S32"),
)
data = FaceDataModule(lambda: store, val_fraction=0.001)
batches = iter(data.train_dataloader())
next(batches)
own, mapped = memory("RssAnon"), memory("RssFile")
for _ in batches:
    pass
print(memory("RssAnon") - own, memory("RssFile") - mapped)
"""

# one epoch


def test_an_epoch_holds_every_image_once():
    batches = train_batches(batch_size=7)
    assert len(batches) == 4
    assert sorted(rows_in(batches)) == ROWS.tolist()


def test_rows_that_do_not_fill_a_batch_are_left_out_other_ones_each_epoch():
    batches = train_batches(batch_size=10)
    assert len(batches) == 2
    left_out = []
    for _ in range(3):
        epoch = list(batches)
        assert [len(batch.images) for batch in epoch] == [10, 10]
        rows = rows_in(epoch)
        assert len(set(rows)) == 20
        left_out.append(frozenset(ROWS.tolist()) - set(rows))
    assert len(set(left_out)) == 3


def test_a_batch_size_beyond_the_data_gives_one_batch_of_all():
    batches = train_batches(batch_size=1000)
    assert (len(batches), batches.batch_size) == (1, 28)
    assert sorted(rows_in(batches)) == ROWS.tolist()


def test_labels_are_those_of_the_images():
    rows = np.concatenate([ROWS[::2], STORE.rows("private")[::3]])
    batches = list(train_batches(batch_size=4, rows=rows, extra={"sad": 3}, transforms=MIRROR))
    labels = torch.cat([batch.labels for batch in batches])
    assert labels.dtype == torch.int64
    assert labels.tolist() == [STORE.labels[row] for row, _ in rows_and_mirrored(batches)]


def test_images_are_float32_from_0_for_black_to_1_for_white():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert torch.equal(to_float(images), torch.tensor([0, 51 / 255, 1]))
    for batches in (train_batches(transforms=SHAKE, apply_to="all"), eval_batches(ROWS, 10)):
        for batch in batches:
            assert batch.images.dtype == torch.float32
            assert batch.images.shape[1:] == (1, 48, 48)
            assert 0 <= batch.images.min() < 0.1
            assert 0.9 < batch.images.max() <= 1


def test_the_order_differs_between_epochs_and_between_seeds():
    batches = train_batches()
    orders = [rows_in(batches) for _ in range(3)] + [rows_in(train_batches(seed=1))]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == ROWS.tolist() for order in orders)


def test_batches_mix_the_classes():
    assert all(len(batch.labels.unique()) > 2 for batch in train_batches(batch_size=7))


def test_the_same_seed_gives_the_same_batches_whatever_else_draws_random_numbers():
    torch.manual_seed(0)
    first = list(train_batches(transforms=SHAKE, extra={"fear": 7}))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = list(train_batches(transforms=SHAKE, extra={"fear": 7}))
    assert_same(first, second)
    assert torch.equal(torch.get_rng_state(), before)


# augmentation


@pytest.mark.parametrize("batch_size", [5, 11, 35])
def test_extra_rows_come_on_top_of_the_originals_in_the_asked_number(batch_size):
    extra = {"disgust": 5, "happy": 2}
    batches = train_batches(batch_size, extra=extra, transforms=MIRROR)
    assert batches.n_rows == 35
    epoch = rows_and_mirrored(batches)
    if 35 % batch_size:
        assert len(epoch) == 33
        return
    assert sorted(row for row, mirrored in epoch if not mirrored) == ROWS.tolist()
    added = Counter(EMOTIONS[STORE.labels[row]] for row, mirrored in epoch if mirrored)
    assert added == extra
    assert {row for row, _ in epoch} == set(ROWS.tolist())


def test_only_marked_rows_are_changed():
    plan = TargetedAugmentation(MIRROR, {"sad": 7}).plan(torch.from_numpy(STORE.labels[ROWS]), 0, 0)
    marked = ROWS[plan.source[plan.transformed].numpy()]
    epoch = rows_and_mirrored(train_batches(extra={"sad": 7}, transforms=MIRROR))
    assert sorted(row for row, mirrored in epoch if mirrored) == sorted(marked.tolist())


def test_without_extra_rows_transforms_change_nothing():
    assert sorted(rows_in(train_batches(transforms=MIRROR))) == ROWS.tolist()


def test_apply_to_all_changes_the_originals_too():
    batches = train_batches(transforms=MIRROR, apply_to="all", extra={"sad": 7})
    epoch = rows_and_mirrored(batches)
    assert all(mirrored for _, mirrored in epoch)
    assert len(epoch) == 35


def test_every_row_is_transformed_with_its_own_draws():
    labels = torch.from_numpy(STORE.labels[ROWS])
    plan = TargetedAugmentation(SHAKE, {"sad": 7, "fear": 7}).plan(labels, 0, 0)
    images = to_float(torch.from_numpy(STORE.images[ROWS]))[plan.source]
    expected = torch.where(plan.transformed[:, None, None, None], SHAKE(images, plan.draws), images)
    epoch = train_batches(extra={"sad": 7, "fear": 7}, transforms=SHAKE)
    seen = torch.cat([batch.images for batch in epoch])
    distance = torch.cdist(seen.flatten(1), expected.flatten(1), p=float("inf"))
    nearest = distance.argmin(dim=1)
    assert sorted(nearest.tolist()) == list(range(42))
    assert distance.min(dim=1).values.max() < 1e-5


def images_of(epoch):
    return Counter(image for batch in epoch for image in pixels(batch.images))


@pytest.mark.parametrize("apply_to", ["extra", "all"])
def test_frozen_epochs_hold_the_same_images_in_another_order(apply_to):
    batches = train_batches(
        extra={"fear": 7}, transforms=SHAKE, frozen=True, apply_to=apply_to, batch_size=5
    )
    first, second = list(batches), list(batches)
    assert images_of(first) == images_of(second)
    assert not torch.equal(first[0].images, second[0].images)


def test_fresh_epochs_hold_other_added_images():
    batches = train_batches(extra={"fear": 7}, transforms=SHAKE, batch_size=5)
    first, second = images_of(batches), images_of(batches)
    assert (first & second) == Counter(STORE.images[row].tobytes() for row in ROWS)


def test_mixup_blends_rows_of_the_batch_and_their_labels():
    plain = list(train_batches())
    mixed = list(train_batches(mixup=0.4))
    for before, after in zip(plain, mixed, strict=True):
        assert after.labels.shape == (7, 7)
        assert torch.allclose(after.labels.sum(dim=1), torch.ones(7))
        own = torch.nn.functional.one_hot(before.labels, 7).float()
        among = torch.linalg.lstsq(before.images.flatten(1).T, after.images.flatten(1).T).solution
        blends = (before.images.flatten(1).T @ among).T  # in the span of the batch's own images
        assert torch.allclose(blends, after.images.flatten(1), atol=1e-3)
        shares = among.T @ own  # so much of each class is in the image
        assert torch.allclose(shares, after.labels, atol=1e-3)
    assert any(not torch.equal(b.images, a.images) for b, a in zip(plain, mixed, strict=True))


def test_refined_epochs_hold_the_images_as_they_are_or_mirrored():
    plan = {"extra": {"fear": 7}, "apply_to": "all", "mixup": 0.4, "refine": 0.5}
    both = RandomTransforms(rotation=20, brightness=0.2, flip=0.5)
    batches = train_batches(5, transforms=both, given={"n_epochs": 4}, **plan)
    originals = Counter(STORE.images[row].tobytes() for row in ROWS)
    mirrors = {STORE.images[row][..., ::-1].tobytes() for row in ROWS}
    for refined in (False, False, True, True):
        epoch = list(batches)
        images = images_of(epoch)
        as_they_are, mirrored = images.keys() & originals.keys(), images.keys() & mirrors
        assert as_they_are | mirrored == (images.keys() if refined else set())
        assert bool(as_they_are and mirrored) == refined
        assert all((batch.labels.ndim == 1) == refined for batch in epoch)


def test_transformed_images_are_cropped_at_all_places():
    ramp = np.arange(48, dtype=np.uint8)
    for axis in (ramp[None, :], ramp[:, None]):
        store = replace(STORE, images=np.broadcast_to(axis, STORE.images.shape).copy())
        still = RandomTransforms()
        batches = train_batches(
            store=store, transforms=still, apply_to="all", given={"crop": 40}, batch_size=7
        )
        some = islice(forever(batches), 60)
        first = torch.cat([batch.images[:, 0, 0, 0] for batch in some]) * 255
        assert set(first.round().int().tolist()) == set(range(9))


@pytest.mark.parametrize("size", [40, 43])
@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_not_transformed_is_seen_as_when_it_is_judged(frozen, size):
    plan = {"extra": {"fear": 5}, "transforms": SHAKE, "frozen": frozen}
    batches = list(train_batches(33, given={"crop": size}, **plan))
    (centres,) = views_at_test_time(to_float(torch.from_numpy(STORE.images[ROWS])), "none", size)
    seen = {image.numpy().tobytes() for batch in batches for image in batch.images}
    assert {centre.numpy().tobytes() for centre in centres} <= seen
    assert len(seen) == 33


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_soft_labels_go_with_their_images_as_labels_do(mixup, rank, world_size):
    plan = {"extra": {"fear": 5}, "transforms": SHAKE, "apply_to": "all", "mixup": mixup}
    given = {"crop": 40, "rank": rank, "world_size": world_size}
    one_hot = torch.eye(7)[torch.from_numpy(STORE.labels[ROWS])]
    hard = train_batches(6, given=given, **plan)
    soft = train_batches(6, given={**given, "soft_labels": one_hot}, **plan)
    for batch, other in zip(islice(forever(hard), 12), islice(forever(soft), 12), strict=True):
        assert torch.equal(batch.images, other.images)
        labels = batch.labels if mixup else torch.eye(7)[batch.labels]
        assert torch.equal(labels, other.labels)


def test_transforms_leave_the_store_as_it_was():
    store = make_store(2)
    batches = train_batches(
        store=store, rows=store.rows("training"), transforms=SHAKE, apply_to="all"
    )
    list(batches)
    assert np.array_equal(store.images, make_store(2).images)


# resuming

N_BATCHES = 15  # three epochs
AUGMENTED = {
    "batch_size": 6,
    "extra": {"fear": 4},
    "transforms": SHAKE,
    "refine": 1 / 3,
    "given": {"n_epochs": 3},
}


@pytest.fixture(scope="module")
def uninterrupted():
    assert len(train_batches(**AUGMENTED)) == 5
    return list(islice(forever(train_batches(**AUGMENTED)), N_BATCHES))


@pytest.mark.parametrize("every", [1, 2, 4, 5, 7])
def test_a_run_stopped_at_any_batch_goes_on_with_the_very_same_batches(uninterrupted, every):
    state, taken = train_batches(**AUGMENTED).state_dict(), []
    while len(taken) < N_BATCHES:
        batches = train_batches(**AUGMENTED)
        batches.load_state_dict(state)
        taken += islice(forever(batches), min(every, N_BATCHES - len(taken)))
        state = json.loads(json.dumps(batches.state_dict()))
    assert_same(taken, uninterrupted)


def test_the_position_after_the_last_batch_is_the_next_epoch():
    batches = train_batches(batch_size=7)
    states = [batches.state_dict() for _ in islice(forever(batches), 5)]
    positions = [(state["epoch"], state["next_batch"]) for state in states]
    assert positions == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]


def test_an_epoch_ends_where_it_was_resumed_in():
    batches = train_batches(batch_size=7)
    batches.load_state_dict({"epoch": 2, "next_batch": 3})
    assert len(list(batches)) == 1
    assert len(list(batches)) == 4


# evaluation


def test_evaluation_keeps_the_order_of_the_rows():
    rows = np.array([40, 3, 3, 77, 0])
    batches = eval_batches(rows, batch_size=2)
    assert len(batches) == 3
    for _ in range(2):
        epoch = list(batches)
        assert [len(batch.images) for batch in epoch] == [2, 2, 1]
        assert rows_in(epoch) == rows.tolist()
        assert torch.cat([batch.labels for batch in epoch]).tolist() == STORE.labels[rows].tolist()


@pytest.mark.parametrize("batch_size", [1, 13, 28, 1000])
def test_the_evaluation_batch_size_changes_no_image(batch_size):
    batches = eval_batches(ROWS, batch_size)
    assert len(batches) == len(list(batches)) == -(-28 // batch_size)
    assert rows_in(batches) == ROWS.tolist()


# where the images lie


def test_images_move_to_the_device_where_they_leave_half_of_its_memory_free():
    images = torch.from_numpy(STORE.images)
    device = torch.device("meta")  # stands in for an accelerator
    assert place(images, device, free=2 * images.nbytes).device == device
    assert place(images, device, free=2 * images.nbytes - 2).device.type == "cpu"


def test_images_that_stay_on_the_host_are_gathered_there_and_sent_batch_by_batch():
    images, labels = torch.from_numpy(STORE.images), torch.from_numpy(STORE.labels)
    device = torch.device("meta")
    shaken = TargetedAugmentation(SHAKE, {"sad": 3}, apply_to="all")
    train = TrainBatches(images, labels, ROWS, shaken, 7, 0, device)
    for batch in [*train, *EvalBatches(images, labels, ROWS, 7, device)]:
        assert (batch.images.device, batch.labels.device) == (device, device)
        assert batch.images.shape == (7, 1, 48, 48)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells of memory there")
def test_a_mapped_store_is_read_through_the_map_and_never_copied_whole(tmp_path):
    (tmp_path / "code.py").write_text(READ_A_MAPPED_STORE)
    command = [sys.executable, "code.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    own, mapped = map(int, told.stdout.split())
    assert mapped > 0.9 * 20_000 * 48 * 48
    assert own < 10e6
