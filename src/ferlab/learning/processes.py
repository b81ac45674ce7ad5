"""The processes of one training under torchrun: each computes its share of every batch."""

import os

import torch.distributed
from torch.distributed.rendezvous import rendezvous


def is_distributed() -> bool:
    """Return whether torchrun started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def is_first() -> bool:
    """Return whether this process is the one that writes and speaks, or the only one."""
    return not is_distributed() or os.environ["RANK"] == "0"


def processes_and_nodes() -> tuple[int, int]:
    """Return the number of processes per node, and the number of nodes."""
    if not is_distributed():
        return 1, 1
    per_node = int(os.environ["LOCAL_WORLD_SIZE"])
    return per_node, int(os.environ["WORLD_SIZE"]) // per_node


def from_first(text: str) -> str:
    """Return the first process's text in each of them."""
    if not is_distributed():
        return text
    store, rank, _ = next(rendezvous("env://"))
    if rank == 0:
        store.set("ferlab", text)
    return str(store.get("ferlab").decode())
