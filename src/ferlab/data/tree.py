"""FER-2013 as a tree of image files: `train/<class>/` and `test/<class>/`."""

import hashlib
import io
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from ferlab.checks import FerlabError, did_you_mean
from ferlab.data.listing import File, Folder
from ferlab.data.store import OFFICIAL, SPLITS, ImageStore
from ferlab.emotions import EMOTIONS, IMAGE_SIZE

OTHER_NAMES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "neutrality": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
}
"""What clones of FER-2013 call their class folders, and the class that is meant."""

_UNNAMED = {"train": "training", "test": "test"}  # the split where the file name tells none
_PARTS = tuple(_UNNAMED)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_LARGEST = 1 << 20  # bytes of an image file; FER-2013's have about 1,600

log = logging.getLogger(__name__)


class ClassFolder(NamedTuple):
    """The folder of one class in `train/` or `test/`."""

    part: str
    emotion: str
    folder: Folder


class _ImageFile(NamedTuple):
    """One image, not read yet; the attributes are those of the store."""

    name: str
    label: int
    split: int
    file: File


def find_classes(root: Folder) -> list[ClassFolder]:
    """Return the 14 class folders below a folder that holds `train/` and `test/`.

    That folder may lie in `root`. Class folders under OTHER_NAMES are told in a warning.

    Raises:
        FerlabError: names the folder that is missing or that FER-2013 cannot have.
    """
    top = _descend(root)
    for entry in top.children.values():
        if entry.name not in _PARTS:
            log.warning("passed over: %s is neither train/ nor test/", entry.place)
    classes: list[ClassFolder] = []
    for part in _PARTS:
        folder = top.folder(part)
        assert folder is not None
        folders = _class_folders(folder)
        classes += [ClassFolder(part, emotion, folders[emotion]) for emotion in EMOTIONS]
    renamed = {c.folder.name: c.emotion for c in classes if c.folder.name != c.emotion}
    if renamed:
        pairs = ", ".join(f"{given} = {emotion}" for given, emotion in renamed.items())
        log.warning("class folders by other names: %s", pairs)
    return classes


def fingerprint(classes: list[ClassFolder]) -> str:
    """Return a digest of the files' names, sizes and versions: another one, another cache."""
    digest = hashlib.blake2b(digest_size=12)
    for part, emotion, folder in classes:
        lines = [f"{part}/{emotion}"]
        for name, entry in folder.children.items():
            if isinstance(entry, File):
                lines.append(f"{name}\0{entry.size}\0{entry.version}")
        digest.update("\n".join(lines).encode(errors="replace"))
    return digest.hexdigest()


def decode(classes: list[ClassFolder]) -> ImageStore:
    """Return the decoded images; what is passed over is named in warnings.

    Pillow decodes outside the interpreter lock, so threads help.

    Raises:
        FerlabError: names a file that is no 8-bit grey image of 48×48 pixels, or that by its name
            belongs to another split; or a class without training images.
    """
    files = [file for of_class in classes for file in _scan_class(*of_class)]
    images = np.empty((len(files), 1, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    bar = tqdm(total=len(files), desc="decoding", unit="image", disable=None, leave=False)
    with bar, ThreadPoolExecutor(max_workers=cpu_count()) as pool:
        chunks = [range(start, min(start + 256, len(files))) for start in range(0, len(files), 256)]

        def decode_chunk(chunk: range) -> None:
            for index in chunk:
                images[index, 0] = _decode_image(files[index].file)

        try:
            for chunk, _ in zip(chunks, pool.map(decode_chunk, chunks), strict=True):
                bar.update(len(chunk))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is wrong is said at once
            raise
    return ImageStore.from_arrays(
        images,
        labels=np.array([file.label for file in files], dtype=np.int64),
        splits=np.array([file.split for file in files], dtype=np.uint8),
        names=np.array([file.name for file in files], dtype=np.str_),
    )


def _decode_image(file: File) -> NDArray[np.uint8]:
    """Return the grey levels of one image file: uint8 (48, 48)."""
    try:
        # Of other formats Pillow would start a program for PostScript.
        with Image.open(io.BytesIO(file.read(_LARGEST)), formats=("JPEG", "PNG")) as image:
            if image.size != (IMAGE_SIZE, IMAGE_SIZE):
                width, height = image.size
                raise FerlabError(
                    f"{file.place} is {width}×{height} pixels; FER-2013's images are "
                    f"{IMAGE_SIZE}×{IMAGE_SIZE}"
                )
            if image.mode != "L":
                raise FerlabError(
                    f"{file.place} is not 8-bit grey (mode {image.mode}); convert it or remove it"
                )
            return np.asarray(image, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no image" if isinstance(error, UnidentifiedImageError) else error
        raise FerlabError(
            f"{file.place} cannot be decoded ({reason}); replace it or remove it"
        ) from error


def _descend(root: Folder) -> Folder:
    """Return the folder that holds `train/` and `test/`: `root`, or one of the folders in it."""
    for folder in (root, *root.children.values()):
        if isinstance(folder, Folder) and all(map(folder.folder, _PARTS)):
            return folder
    missing = next(part for part in _PARTS if root.folder(part) is None)
    held = ", ".join(list(root.children)[:5]) or "nothing"
    raise FerlabError(
        f"{root.place} has no folder {missing}/ (it holds {held}); data.root is the folder or zip "
        "that holds FER-2013's train/ and test/, or a CSV file"
    )


def _class_folders(part: Folder) -> dict[str, Folder]:
    """Return the folder of each class in `train/` or `test/`."""
    found: dict[str, Folder] = {}
    for entry in part.children.values():
        if not isinstance(entry, Folder):
            log.warning("passed over: %s is not a class folder", entry.place)
            continue
        name = entry.name.lower()
        emotion = OTHER_NAMES.get(name, name)
        if emotion not in EMOTIONS:
            advice = did_you_mean(name, EMOTIONS) or "; rename or remove it"
            if name.isdecimal():
                advice = "; a number may mean either of two class orders: rename it"
            raise FerlabError(
                f"{entry.place} is not one of the classes {', '.join(EMOTIONS)}{advice}"
            )
        if emotion in found:
            raise FerlabError(
                f"{entry.place} and {found[emotion].name}/ beside it are one class, {emotion}; "
                "make one folder of them"
            )
        found[emotion] = entry
    if missing := [name for name in EMOTIONS if name not in found]:
        raise FerlabError(
            f"{part.place} lacks the class folder{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)}; FER-2013 has {', '.join(EMOTIONS)}"
        )
    return found


def _scan_class(part: str, emotion: str, folder: Folder) -> Iterator[_ImageFile]:
    label, found = EMOTIONS.index(emotion), False
    for entry in folder.children.values():
        if isinstance(entry, Folder) or not entry.name.lower().endswith(_IMAGE_SUFFIXES):
            log.warning("passed over: %s is not a JPEG or PNG file", entry.place)
            continue
        if entry.size > _LARGEST:
            raise FerlabError(
                f"{entry.place} has {entry.size:,} bytes; an image of {IMAGE_SIZE}×{IMAGE_SIZE} "
                "pixels has a few thousand; replace it or remove it"
            )
        split = OFFICIAL.get(entry.name.partition("_")[0], _UNNAMED[part])
        if (split == "training") != (part == "train"):
            raise FerlabError(
                f"{entry.place} is by its name one of the {split} images, which do not belong "
                f"in {part}/; move it"
            )
        found = True
        yield _ImageFile(
            name=f"{part}/{emotion}/{entry.name}",
            label=label,
            split=SPLITS.index(split),
            file=entry,
        )
    if not found and part == "train":
        raise FerlabError(f"{folder.place} holds no image; every class needs some")
