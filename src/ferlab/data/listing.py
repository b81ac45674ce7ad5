"""What lies in a folder or in a zip archive, listed alike; nothing is unpacked or written."""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from ferlab.checks import FerlabError

_DROPPINGS = {".ds_store", "thumbs.db", "desktop.ini", "__macosx"}


@dataclass(eq=False)
class Entry:
    """A file or a folder, on disk or in an archive.

    Attributes:
        name: the last part of its path.
        place: the whole path, for messages; below the archive's path for what lies in one.
        size: of a file, bytes.
        version: of a file, changes with its content: size and modification time, or checksum.
        read: returns a file's bytes, of which there are at most so many as it is given.
        list_children: returns what lies in a folder; None for a file.
    """

    name: str
    place: str
    size: int = 0
    version: str = ""
    read: Callable[[int], bytes] = bytes
    list_children: Callable[[], "dict[str, Entry]"] | None = None

    @property
    def is_folder(self) -> bool:
        return self.list_children is not None

    @cached_property
    def children(self) -> "dict[str, Entry]":
        """What lies in a folder, by name in order; hidden files and droppings left out."""
        found = self.list_children() if self.list_children else {}
        return {name: found[name] for name in sorted(found)}

    def holds_folders(self, *names: str) -> bool:
        """Tell whether all of these are folders inside this one."""
        return all(name in self.children and self.children[name].is_folder for name in names)


def list_folder(path: Path) -> Entry:
    """Return a folder on disk; what lies in it is listed when it is asked for."""
    return Entry(path.name, str(path), list_children=partial(_scan, path))


def _scan(folder: Path) -> dict[str, Entry]:
    entries = {}
    with os.scandir(folder) as found:
        for item in found:
            if not _is_visible(item.name):
                continue
            try:
                if item.is_dir():
                    entries[item.name] = list_folder(Path(item.path))
                elif item.is_file():
                    entries[item.name] = _file(item)
            except OSError as error:  # a link that leads to itself
                raise FerlabError(f"{item.path}: {error.strerror}; remove it") from error
    return entries


def _file(item: os.DirEntry[str]) -> Entry:
    status = item.stat()
    return Entry(
        name=item.name,
        place=item.path,
        size=status.st_size,
        version=f"{status.st_size} {status.st_mtime_ns}",
        read=partial(_read, item.path),
    )


def _read(path: str, at_most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(at_most)


def list_zip(path: Path) -> Entry:
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
    if ".." in parts or info.filename.startswith("/") or "\\" in info.filename:
        return "leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 1:
        return "is encrypted"
    return None


def _zip_folder(archive: zipfile.ZipFile, name: str, place: str, tree: _Tree) -> Entry:
    def list_children() -> dict[str, Entry]:
        return {
            child: _zip_file(archive, child, f"{place}/{child}", node)
            if isinstance(node, zipfile.ZipInfo)
            else _zip_folder(archive, child, f"{place}/{child}", node)
            for child, node in tree.items()
        }

    return Entry(name, place, list_children=list_children)


def _zip_file(archive: zipfile.ZipFile, name: str, place: str, info: zipfile.ZipInfo) -> Entry:
    def read(at_most: int) -> bytes:
        try:
            with archive.open(info) as file:
                return file.read(at_most)  # whatever size the archive pretends
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise FerlabError(f"{place} cannot be unpacked ({error}); copy it again") from error

    return Entry(name, place, info.file_size, f"{info.file_size} {info.CRC}", read)


def _is_visible(name: str) -> bool:
    """Tell a file apart from hidden files and file managers' droppings."""
    return not name.startswith(".") and name.lower() not in _DROPPINGS
