"""`ferlab explore`: a data set, its split, its augmentation and its defects as one page."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from ferlab.augment.extremes import extremes
from ferlab.augment.transforms import RandomTransforms
from ferlab.checks import check_integer
from ferlab.data.audit import describe_gaps
from ferlab.data.batches import to_float, to_uint8
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.store import SPLITS
from ferlab.emotions import EMOTIONS
from ferlab.files import write_json
from ferlab.instantiate import plain
from ferlab.reporting import exploration, faces, figures, page
from ferlab.running.compose import make_data
from ferlab.running.entry import run_stage
from ferlab.running.recorded import check_same_data
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("explore", explore, overrides, sweeps=False)


def explore(config: DictConfig, folder: RunFolder) -> None:
    """Write `index.html`, its pictures and the audit's numbers as `metrics.json`."""
    values = plain(config)
    folder.check_configuration(values)
    index = folder.path / "index.html"
    if folder.recorded_metrics() is None:
        n_faces = check_integer("faces", config.faces, at_least=1)
        n_offenders = check_integer("offenders", config.offenders, at_least=1)
        data = make_data(config)
        data.rows("train")  # what cannot be split is met before anything is written
        folder.open(values, {"data": data.store.digest}, device="cpu")
        random = np.random.default_rng(config.seed)
        page.write_page(
            index,
            f"{config.data.title}: {len(data.store):,} images",
            _distribution(data, folder.path, config.data.title),
            _split(data, folder.path),
            _faces(data, folder.path, n_faces, random),
            _augmentation(data, folder.path, config.seed, random),
            _audit(data, folder.path, n_offenders),
        )
        added = {"images/added": data.augmentation.n_extra}
        write_json(folder.metrics, {**data.audit.summary(), **added})
    else:
        check_same_data(config, folder)
        log.info("finished before, nothing to do")
    log.info("page: %s", os.path.relpath(index))


def _distribution(data: FaceDataModule, folder: Path, title: str) -> str:
    store = data.store
    counts = {split: store.class_counts(rows) for split in SPLITS if len(rows := store.rows(split))}
    figure = exploration.draw_distribution(counts, "Classes, in all and by split")
    figures.save(figure, folder / "distribution.png")
    gaps = describe_gaps(store) if title == "FER-2013" else ()
    return page.section(
        "Class distribution",
        page.figure(
            folder / "distribution.png",
            "Left: images per class, all splits together. Right: each class's share of a split.",
        ),
        _table_of(counts),
        *(page.paragraph(line, soft=True) for line in gaps),
    )


def _split(data: FaceDataModule, folder: Path) -> str:
    train, val = data.rows("train"), data.rows("val")
    counts = {
        "train": data.store.class_counts(train),
        "validation": data.store.class_counts(val),
    }
    left_out = ""
    if data.folds is not None:
        left_out = page.paragraph(
            f"{len(data.rows('left out')):,} images do neither: fold {data.fold} of {data.folds}."
        )
    if not len(val):
        return page.section(
            "Train and validation",
            page.paragraph(
                f"All {'other ' if left_out else ''}training images train; none validates."
            ),
            left_out,
        )
    figures.save(exploration.draw_split(counts, "Train and validation"), folder / "split.png")
    error = exploration.stratification_error(counts["train"], counts["validation"])
    return page.section(
        "Train and validation",
        page.paragraph(
            f"{100 * data.val_fraction:g} % of each class of the training images validate (split "
            f"seed {data.split_seed}). Identical images stay on one side. The class shares of the "
            f"two sides differ by at most {np.abs(error).max():.3f} points."
        ),
        left_out,
        page.figure(
            folder / "split.png",
            "Left: images per class. Right: the stratification error, in percentage points.",
        ),
        _table_of(counts),
    )


def _faces(data: FaceDataModule, folder: Path, n_faces: int, random: np.random.Generator) -> str:
    store, training = data.store, data.store.rows("training")
    sheets = []
    for label, emotion in enumerate(EMOTIONS):
        rows = training[store.labels[training] == label]
        chosen = np.sort(random.permutation(rows)[:n_faces])
        path = folder / f"faces_{emotion}.png"
        figures.save_image(faces.contact_sheet(store.images[chosen], columns=8), path)
        sheets.append(page.figure(path, f"{emotion}: {len(chosen)} of {len(rows):,}"))
    return page.section(
        "Faces", page.paragraph("Training images, drawn at random."), page.side_by_side(*sheets)
    )


def _augmentation(
    data: FaceDataModule, folder: Path, seed: int, random: np.random.Generator
) -> str:
    store, plan = data.store, data.augmentation
    train = data.rows("train")
    originals = store.class_counts(train)
    added = np.array([plan.extra.get(emotion, 0) for emotion in EMOTIONS])
    figures.save(
        exploration.draw_plan(
            originals, added, f"{originals.sum():,} images and {added.sum():,} added ones per epoch"
        ),
        folder / "plan.png",
    )
    kept = "the same in each epoch" if plan.frozen else "drawn anew in each epoch"
    what = "all images" if plan.apply_to == "all" else "the added images alone"
    how = f" Transformed are {what}, {kept}." if plan.transforms is not None else ""
    parts = [
        page.paragraph(
            f"The plan adds {added.sum():,} images to {originals.sum():,}, so an epoch has "
            f"{originals.sum() + added.sum():,}.{how} The split comes "
            "first: no copy of an image that validates is trained on."
        ),
        page.figure(folder / "plan.png", "Rows per class of one epoch."),
    ]
    if plan.transforms is not None:
        face = to_float(torch.from_numpy(store.images[random.choice(train)]))
        parts += _transforms(plan.transforms, face, folder, seed)
    if plan.mixup:
        parts.append(page.paragraph(f"Mixup blends each image with another, alpha {plan.mixup}."))
    if plan.refine:
        last = f"In the last {100 * plan.refine:g} % of the epochs"
        parts.append(page.paragraph(f"{last} there is no mixup, and no transform but the flip."))
    return page.section("Augmentation", *parts)


def _transforms(
    transforms: RandomTransforms, face: torch.Tensor, folder: Path, seed: int
) -> Iterator[str]:
    """Yield what each transform does at its extremes, and what all together do at random."""
    shown = [("original", to_uint8(face).numpy()[0])] + [
        (f"{name}\n{caption}", to_uint8(image).numpy()[0])
        for name, images in extremes(transforms, face).items()
        for caption, image in images
    ]
    figures.save(
        faces.draw_captioned(shown, "Each transform at its extremes"),
        folder / "transforms.png",
    )
    draws = torch.rand(48, RandomTransforms.N_DRAWS, generator=torch.Generator().manual_seed(seed))
    many = transforms(face.expand(48, *face.shape), draws)
    figures.save_image(
        faces.contact_sheet(to_uint8(many).numpy(), columns=16), folder / "transformed.png"
    )
    yield page.figure(folder / "transforms.png", "One face, each transform by itself.")
    yield page.figure(folder / "transformed.png", "The same face, all transforms at random.")


def _audit(data: FaceDataModule, folder: Path, n_offenders: int) -> str:
    audit, store = data.audit, data.store
    in_training = store.splits == SPLITS.index("training")
    often = (np.bincount(audit.group, weights=in_training) > 1)[audit.group]
    kinds = {
        "contradicting": (
            "Identical images with different labels",
            audit.contradicting,
        ),
        "leaked": (
            "Test images with an identical twin among the training images; test/clean leaves "
            "them out",
            audit.leaked,
        ),
        "repeated": (
            "Training images that are there more than once",
            in_training & often & ~audit.contradicting,
        ),
        "blank": ("Images on which nothing is to be seen", audit.blank),
    }
    parts = [
        page.paragraph(
            "Twins are images with identical pixels. They never straddle train and validation. "
            f"data.twins={data.twins} and data.blank={data.blank} here; drop_from_train would "
            f"leave out {audit.superfluous.sum():,} training images, blank=drop "
            f"{audit.blank.sum():,} images of all splits."
        ),
        page.table(["", "count"], [[name, f"{n:,}"] for name, n in audit.summary().items()]),
    ]
    for name, (title, marked) in kinds.items():
        if not marked.any():
            continue
        thumbnails = list(_thumbnails(data, np.flatnonzero(marked)))
        path = folder / f"{name}.png"
        shown = thumbnails[:n_offenders]
        figures.save(faces.draw_captioned(shown, title), path)
        parts.append(
            page.figure(path, f"{title}: {len(shown)} of {len(thumbnails):,} different ones.")
        )
    return page.section("Audit", *parts)


def _thumbnails(data: FaceDataModule, rows: NDArray[np.int64]) -> Iterator[faces.Captioned]:
    """Yield each group of twins among the rows once, captioned by where its images stand.

    Of many places those among the test images come first, and the rest is counted.
    """
    store, audit = data.store, data.audit
    for first in rows[np.sort(np.unique(audit.group[rows], return_index=True)[1])]:
        members = np.flatnonzero(audit.group == audit.group[first])
        members = members[
            np.argsort(store.splits[members] == SPLITS.index("training"), kind="stable")
        ]
        places = [f"{SPLITS[store.splits[row]]} {EMOTIONS[store.labels[row]]}" for row in members]
        lines = [
            place if (n := places.count(place)) == 1 else f"{n}× {place}"
            for place in dict.fromkeys(places)
        ]
        if len(lines) > 3:
            lines = [*lines[:2], f"and {len(lines) - 2} more"]
        yield "\n".join(lines), store.images[first, 0]


def _table_of(counts: exploration.Counts) -> str:
    return page.table(
        ["", "all", *EMOTIONS],
        [[name, f"{row.sum():,}", *(f"{n:,}" for n in row)] for name, row in counts.items()],
    )
