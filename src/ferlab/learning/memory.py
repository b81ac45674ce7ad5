"""Memory: what is kept of it between two steps, and which errors say that there is not enough."""

import ctypes
import platform

import torch

_WORDS = ("DefaultCPUAllocator", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
"""What the errors say of allocators that have no class of error: torch's on the CPU, CUDA's own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that there was not enough memory, of the host or a device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _WORDS)


def keep_freed_memory(keep: bool = True) -> None:
    """Let the C library keep what is freed for the next step; or, again, give it back at once.

    By default glibc maps blocks above 32 MB anew at each allocation, and Linux clears their pages:
    in every training step, thousands of page faults. Does nothing where there is no glibc.

    Args:
        keep: False for what glibc comes to by itself.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4  # malloc.h
    library = ctypes.CDLL(None)
    library.mallopt(mmap_threshold, 2**25)
    library.mallopt(mmap_max, 0 if keep else 2**16)
    library.mallopt(trim_threshold, -1 if keep else 2**26)
