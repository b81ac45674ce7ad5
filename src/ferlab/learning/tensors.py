"""Files of torch: written whole or not at all, read without running what they hold."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ferlab.files import replacing


def write_tensors(path: Path, value: object) -> None:
    """Write tensors in plain containers, whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(_packed(value))


def read_tensors(path: Path) -> object:
    """Return what `write_tensors` wrote; None where the file is missing, damaged or not plain."""
    try:
        return torch.load(path, weights_only=True, map_location="cpu") if is_whole(path) else None
    except Exception:  # a file with the right checksums and the wrong content fails anywhere
        return None


def is_whole(path: Path) -> bool:
    """Tell whether every part of a file of torch has the checksum that was written with it.

    torch itself reads a flipped bit without a word. It compresses nothing: what is compressed could
    unpack to more than memory holds.
    """
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
            return stored and archive.testzip() is None
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint where it belongs; Lightning's goes through the system's temporary folder.

    There a kill would leave it, and it would be written twice.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        Path(path).write_bytes(_packed(checkpoint))


def _packed(value: object) -> memoryview:
    # Through memory: torch hides a full disk in a RuntimeError.
    packed = io.BytesIO()
    torch.save(value, packed)
    return packed.getbuffer()
