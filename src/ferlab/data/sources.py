"""Where images come from: finds FER-2013 on this machine, in whatever form, and caches it."""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import PIL
from filelock import FileLock

from ferlab.checks import FerlabError
from ferlab.data import pixel_csv, tree
from ferlab.data.audit import describe_gaps
from ferlab.data.drawn import draw_store
from ferlab.data.listing import list_folder, list_zip
from ferlab.data.store import FORMAT, ImageStore, cache_folder, cached

KAGGLE_HANDLE = "msambare/fer2013/versions/1"  # with its version: the cache answers offline

CSV_FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
"""The CSV files that a folder may hold in the place of a tree, the most complete first."""

log = logging.getLogger(__name__)


def fer2013(root: str | None = None, cache: str | None = None) -> ImageStore:
    """Return FER-2013 as a store, decoded once into the cache and memory-mapped from there.

    The same pixels give the same store in every form: a folder or zip that holds
    `train/<class>/` and `test/<class>/`, `fer2013.csv`, `icml_face_data.csv`, `train.csv`.

    Args:
        root: the folder or file; None: see `find_root`.
        cache: folder for decoded stores; None: see `cache_folder`.

    Raises:
        FerlabError: no data, or data that cannot be FER-2013; the message names the file.
    """
    place = find_root(root, cache)
    key, decode = _recognise(place)
    store = cached(cache_folder(cache) / f"{key}-{FORMAT}", decode)
    log.info("data: FER-2013 from %s", place)
    for line in describe_gaps(store):
        log.warning("data: %s", line)
    return store


def drawn(size: int, seed: int = 0, cache: str | None = None) -> ImageStore:
    """Return `size` faces drawn by the program, cached like the real ones; see `draw_store`."""
    log.info("data: %s faces drawn by the program (seed %s), not FER-2013", size, seed)
    key = f"drawn-{size}-{seed}-{_code_of_drawing()}"
    store_folder = cache_folder(cache) / key
    return cached(store_folder, lambda: draw_store(size, seed))


def find_root(root: str | None = None, cache: str | None = None) -> Path:
    """Return the folder or file of FER-2013: the first of five places that is there.

    `root`; the environment variable FERLAB_DATA; `data/fer2013` in the working directory; the
    kagglehub cache; a kagglehub download.

    Raises:
        FerlabError: a place that was named does not exist, or none was found and the download
            failed.
    """
    return find_local(root) or _kaggle(cache_folder(cache))


def find_local(root: str | None = None) -> Path | None:
    """Return the first of the places of `find_root` that lie outside kagglehub; None: none does.

    Raises:
        FerlabError: a place that was named does not exist.
    """
    for name, named in (("data.root", root), ("FERLAB_DATA", os.environ.get("FERLAB_DATA"))):
        if named:
            place = Path(os.path.expanduser(str(named)))
            if not place.exists():
                raise FerlabError(
                    f"{name}={named} does not exist; "
                    "name the folder or zip that holds FER-2013's train/ and test/, or a CSV file"
                )
            return place
    in_project = Path("data/fer2013")
    return in_project if in_project.is_dir() else None


def _recognise(place: Path) -> tuple[str, Callable[[], ImageStore]]:
    """Return a key that changes with the files' content, and what decodes them."""
    if place.is_dir():
        held = next((name for name in CSV_FILES if (place / name).is_file()), None)
        if held is None or (place / "train").is_dir():
            classes = tree.find_classes(list_folder(place))
            return f"tree-{tree.fingerprint(classes)}", partial(tree.decode, classes)
        place = place / held
    suffix = place.suffix.lower() if place.is_file() else ""  # a pipe would be waited for
    if suffix == ".zip":
        classes = tree.find_classes(list_zip(place))
        return f"zip-{tree.fingerprint(classes)}", partial(tree.decode, classes)
    if suffix == ".csv":
        return f"csv-{pixel_csv.fingerprint(place)}", partial(pixel_csv.read_csv, place)
    raise FerlabError(
        f"{place} is neither a folder nor a .zip or .csv file; "
        "data.root is one of FER-2013's five forms"
    )


def _kaggle(cache: Path) -> Path:
    """Return the Kaggle data set's folder from kagglehub's cache, downloading it where needed."""
    try:
        import kagglehub  # half a second that a run with local data need not pay

        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "kaggle.lock"):  # or two processes would write the same archive
            return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:  # kagglehub passes on whatever its network stack raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise FerlabError(
            "FER-2013 is not here and could not be downloaded from Kaggle "
            f"({reason}); set data.root=<folder, zip or CSV file>, or log in with "
            "`kagglehub.login()` or download msambare/fer2013 by hand into data/fer2013, "
            "or use data=drawn"
        ) from error


def _code_of_drawing() -> str:
    """Return a digest of the drawing code and Pillow's version: other faces, another cache."""
    code = Path(__file__).with_name("drawn.py").read_bytes()
    return hashlib.blake2b(code + f"{FORMAT} {PIL.__version__}".encode(), digest_size=6).hexdigest()
