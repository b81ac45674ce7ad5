"""What lies in a folder or in a zip archive, listed alike; nothing is unpacked or written."""

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ferlab.checks import FerlabError

_DROPPINGS = {".ds_store", "thumbs.db", "desktop.ini", "__macosx"}


class File(NamedTuple):
    """A file on disk or in an archive.

    Attributes:
        name: the last part of its path.
        place: the whole path, for messages; below the archive's path for what lies in one.
        size: bytes.
        version: changes with the content: modification time in nanoseconds, or checksum.
        archive: what it lies in, and its entry there; None on disk.
    """

    name: str
    place: str
    size: int
    version: int
    archive: tuple[zipfile.ZipFile, zipfile.ZipInfo] | None = None

    def read(self, at_most: int) -> bytes:
        """Return the file's bytes, no more than `at_most`, whatever size an archive pretends.

        Raises:
            FerlabError: it cannot be unpacked.
        """
        if self.archive is None:
            with open(self.place, "rb") as on_disk:
                return on_disk.read(at_most)
        archive, info = self.archive
        try:
            with archive.open(info) as packed:
                return packed.read(at_most)
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            NotImplementedError,
        ) as error:
            raise FerlabError(
                f"{self.place} cannot be unpacked ({error}); copy it again"
            ) from error


class Folder:
    """A folder on disk or in an archive; what lies in it is listed when it is asked for.

    Attributes:
        name: the last part of its path.
        place: the whole path, for messages.
    """

    def __init__(
        self, name: str, place: str, list_children: Callable[[], "dict[str, File | Folder]"]
    ) -> None:
        self.name = name
        self.place = place
        self._list_children = list_children

    @cached_property
    def children(self) -> "dict[str, File | Folder]":
        """What lies in it by name, in order; hidden files and droppings left out."""
        found = self._list_children()
        return {name: found[name] for name in sorted(found)}

    def folder(self, name: str) -> "Folder | None":
        """Return the folder of this name inside it; None where there is none."""
        child = self.children.get(name)
        return child if isinstance(child, Folder) else None


def list_folder(path: Path) -> Folder:
    """Return a folder on disk."""
    return _folder(path.name, str(path))


def _folder(name: str, place: str) -> Folder:
    return Folder(name, place, partial(_scan, place))


def _scan(folder: str) -> dict[str, File | Folder]:
    children: dict[str, File | Folder] = {}
    with os.scandir(folder) as found:
        for item in found:
            name, path = item.name, item.path
            if not _is_visible(name):
                continue
            try:
                if item.is_dir():
                    children[name] = _folder(name, path)
                elif item.is_file():
                    status = item.stat()
                    children[name] = File(name, path, status.st_size, status.st_mtime_ns)
            except OSError as error:  # a link that leads to itself
                raise FerlabError(f"{path}: {error.strerror}; remove it") from error
    return children


def list_zip(path: Path) -> Folder:
    """Return the root of a zip archive, all of it listed; files are read in place.

    Raises:
        FerlabError: not a whole archive, or an entry that no honest one has: a path that leads
            out of it, a symbolic link, a name that is there twice, an encrypted file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise FerlabError(f"{path} is not a whole zip archive ({error}); copy it again") from error
    root: _Tree = {}
    for info in archive.infolist():
        place = f"{path}/{info.filename}"
        parts = PurePosixPath(info.filename).parts
        if problem := _problem(info, parts):
            raise FerlabError(f"{place} {problem}; get the archive from a source that you trust")
        if info.is_dir() or not all(map(_is_visible, parts)):
            continue
        folder = root
        for part in parts[:-1]:
            inner = folder.setdefault(part, {})
            if isinstance(inner, zipfile.ZipInfo):
                raise FerlabError(f"{place} lies in a file; the archive is damaged")
            folder = inner
        if parts[-1] in folder:
            raise FerlabError(f"{place} is there twice; the archive is damaged")
        folder[parts[-1]] = info
    return _zip_folder(archive, path.name, str(path), root)


_Tree = dict[str, "zipfile.ZipInfo | _Tree"]


def _problem(info: zipfile.ZipInfo, parts: tuple[str, ...]) -> str | None:
    if not parts and info.filename != "./":
        return "has no name"
    if ".." in parts or info.filename.startswith("/") or "\\" in info.filename:
        return "leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 1:
        return "is encrypted"
    return None


def _zip_folder(archive: zipfile.ZipFile, name: str, place: str, tree: _Tree) -> Folder:
    def list_children() -> dict[str, File | Folder]:
        return {
            child: File(child, f"{place}/{child}", node.file_size, node.CRC, (archive, node))
            if isinstance(node, zipfile.ZipInfo)
            else _zip_folder(archive, child, f"{place}/{child}", node)
            for child, node in tree.items()
        }

    return Folder(name, place, list_children)


def _is_visible(name: str) -> bool:
    """Tell a file apart from hidden files and file managers' droppings."""
    return not name.startswith(".") and name.lower() not in _DROPPINGS
