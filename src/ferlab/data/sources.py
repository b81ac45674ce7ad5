"""Where images come from: finds FER-2013 on this machine and decodes its folder tree."""

import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ferlab.checks import FerlabError, did_you_mean
from ferlab.data.drawn import draw_store
from ferlab.data.store import FORMAT, SIDE, SPLITS, ImageStore, cache_folder, cached
from ferlab.emotions import EMOTIONS

KAGGLE_HANDLE = "msambare/fer2013/versions/1"  # with its version: the cache answers offline

_HARMLESS = {".ds_store", "thumbs.db", "desktop.ini", "__macosx"}
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
_OFFICIAL_HALVES = {"PublicTest": "public", "PrivateTest": "private"}

log = logging.getLogger(__name__)


def fer2013(root: str | None = None, cache: str | None = None) -> ImageStore:
    """Return FER-2013 as a store, decoded once into the cache and memory-mapped from there.

    Args:
        root: folder that holds `train/<class>/` and `test/<class>/`; None: see `find_root`.
        cache: folder for decoded stores; None: see `cache_folder`.

    Raises:
        FerlabError: no data, or data that cannot be FER-2013; the message names the file.
    """
    folder = find_root(root)
    files = list(_scan(folder))
    store_folder = cache_folder(cache) / f"tree-{_fingerprint(files)}"
    log.info("data: FER-2013 from %s", folder)
    return cached(store_folder, lambda: _decode(files))


def drawn(size: int, seed: int = 0, cache: str | None = None) -> ImageStore:
    """Return `size` faces drawn by the program, cached like the real ones; see `draw_store`."""
    log.info("data: %s faces drawn by the program (seed %s), not FER-2013", size, seed)
    key = f"drawn-{size}-{seed}-{_code_of_drawing()}"
    store_folder = cache_folder(cache) / key
    return cached(store_folder, lambda: draw_store(size, seed))


def find_root(root: str | None = None) -> Path:
    """Return the folder of FER-2013: the first of five places that is there.

    `root`; the environment variable FERLAB_DATA; `data/fer2013` in the working directory; the
    kagglehub cache; a kagglehub download.

    Raises:
        FerlabError: a place that was named does not exist, or none was found and the download
            failed.
    """
    for name, named in (("data.root", root), ("FERLAB_DATA", os.environ.get("FERLAB_DATA"))):
        if named:
            folder = Path(os.path.expanduser(str(named)))
            if not folder.is_dir():
                problem = "is not a folder" if folder.exists() else "does not exist"
                raise FerlabError(
                    f"{name}={named} {problem}; "
                    "name the folder that holds FER-2013's train/ and test/"
                )
            return folder
    in_project = Path("data/fer2013")
    if in_project.is_dir():
        return in_project
    return _kaggle()


def _kaggle() -> Path:
    """Return the Kaggle data set's folder from kagglehub's cache, downloading it where needed."""
    import kagglehub  # half a second that a run with local data need not pay

    try:
        return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:  # kagglehub passes on whatever its network stack raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise FerlabError(
            "FER-2013 is not here and could not be downloaded from Kaggle "
            f"({reason}); set data.root=<folder with train/ and test/>, or log in with "
            "`kagglehub.login()` or download msambare/fer2013 by hand into data/fer2013, "
            "or use data=drawn"
        ) from error


@dataclass(frozen=True)
class _ImageFile:
    path: str
    name: str  # relative to the root, with forward slashes
    label: int
    split: int
    size: int  # bytes
    modified: int  # nanoseconds


def _scan(root: Path) -> Iterator[_ImageFile]:
    """Yield the image files of a Kaggle folder tree; names in warnings what is passed over."""
    for entry in _entries(root):
        if entry.name not in ("train", "test"):
            log.warning("passed over: %s is neither train/ nor test/", entry.path)
    for part in ("train", "test"):
        if not (root / part).is_dir():
            held = ", ".join(sorted(entry.name for entry in os.scandir(root))[:5]) or "nothing"
            raise FerlabError(
                f"{root} has no folder {part}/ (it holds {held}); "
                "data.root is the folder that holds FER-2013's train/ and test/"
            )
        known: set[str] = set()
        for entry in _entries(root / part):
            if entry.is_dir() and entry.name in EMOTIONS:
                known.add(entry.name)
            elif entry.is_dir():
                raise FerlabError(
                    f"{entry.path} is not one of the classes {', '.join(EMOTIONS)}"
                    f"{did_you_mean(entry.name, EMOTIONS) or '; rename or remove it'}"
                )
            else:
                log.warning("passed over: %s is not a class folder", entry.path)
        if missing := [name for name in EMOTIONS if name not in known]:
            raise FerlabError(
                f"{root / part} lacks the class folder{'s' * (len(missing) > 1)} "
                f"{', '.join(missing)}; FER-2013 has {', '.join(EMOTIONS)}"
            )
        for label, emotion in enumerate(EMOTIONS):
            yield from _scan_class(root, part, label, emotion)


def _scan_class(root: Path, part: str, label: int, emotion: str) -> Iterator[_ImageFile]:
    found = False
    for entry in _entries(root / part / emotion):
        if not entry.is_file() or Path(entry.name).suffix.lower() not in _IMAGE_SUFFIXES:
            log.warning("passed over: %s is not a JPEG or PNG file", entry.path)
            continue
        found = True
        if part == "train":
            split = "training"
        else:
            split = _OFFICIAL_HALVES.get(entry.name.partition("_")[0], "test")
        status = entry.stat()
        yield _ImageFile(
            path=entry.path,
            name=f"{part}/{emotion}/{entry.name}",
            label=label,
            split=SPLITS.index(split),
            size=status.st_size,
            modified=status.st_mtime_ns,
        )
    if not found and part == "train":
        raise FerlabError(f"{root / part / emotion} holds no image; every class needs some")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in `folder` by name, without hidden files and file managers' droppings."""
    with os.scandir(folder) as entries:
        return sorted(
            (
                entry
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in _HARMLESS
            ),
            key=lambda entry: entry.name,
        )


def _fingerprint(files: list[_ImageFile]) -> str:
    """Return a digest of names, sizes and modification times: another one, another cache."""
    digest = hashlib.blake2b(f"format {FORMAT}".encode(), digest_size=12)
    for file in files:
        digest.update(f"{file.name}\0{file.size}\0{file.modified}\0".encode(errors="replace"))
    return digest.hexdigest()


def _code_of_drawing() -> str:
    """Return a digest of the drawing code and Pillow's version: other faces, another cache."""
    code = Path(__file__).with_name("drawn.py").read_bytes()
    return hashlib.blake2b(code + f"{FORMAT} {PIL.__version__}".encode(), digest_size=6).hexdigest()


def _decode(files: list[_ImageFile]) -> ImageStore:
    """Return the decoded images; Pillow decodes outside the interpreter lock, so threads help."""
    images = np.empty((len(files), 1, SIDE, SIDE), dtype=np.uint8)
    bar = tqdm(total=len(files), desc="decoding", unit="image", disable=None, leave=False)
    with bar, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        chunks = [range(start, min(start + 256, len(files))) for start in range(0, len(files), 256)]

        def decode_chunk(chunk: range) -> None:
            for index in chunk:
                images[index, 0] = _read_image(files[index].path)

        for chunk, _ in zip(chunks, pool.map(decode_chunk, chunks), strict=True):
            bar.update(len(chunk))
    return ImageStore.from_arrays(
        images,
        labels=np.array([file.label for file in files], dtype=np.int64),
        splits=np.array([file.split for file in files], dtype=np.uint8),
        names=np.array([file.name for file in files], dtype=np.str_),
    )


def _read_image(path: str) -> NDArray[np.uint8]:
    """Return the grey levels of one image file: uint8 (48, 48).

    Raises:
        FerlabError: not an image, damaged, not grey, or not 48×48.
    """
    try:
        with Image.open(path) as image:
            if image.size != (SIDE, SIDE):
                width, height = image.size
                raise FerlabError(
                    f"{path} is {width}×{height} pixels; FER-2013's images are {SIDE}×{SIDE}"
                )
            if image.mode != "L":
                raise FerlabError(
                    f"{path} is not 8-bit grey (mode {image.mode}); convert it or remove it"
                )
            return np.asarray(image, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FerlabError(f"{path} cannot be decoded ({error}); replace it or remove it") from error
