"""The processes of one training under torchrun: each computes its share of every batch."""

import os
from collections.abc import Callable

import torch.distributed
from torch.distributed.rendezvous import rendezvous

from ferlab.checks import FerlabError


def is_distributed() -> bool:
    """Return whether torchrun started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def is_first() -> bool:
    """Return whether this process is the one that writes and speaks, or the only one."""
    return not is_distributed() or os.environ["RANK"] == "0"


def processes_and_nodes() -> tuple[int, int]:
    """Return the number of processes per node, and the number of nodes.

    Raises:
        FerlabError: SLURM's `srun` has started this several times, each of which would do it all.
    """
    if not is_distributed():
        n_tasks = os.environ.get("SLURM_NTASKS", "1")
        by_hand = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # salloc's shell
        if "SLURM_STEP_ID" in os.environ and n_tasks != "1" and not by_hand:
            raise FerlabError(
                f"srun has started this {n_tasks} times, and each would do all of it; use "
                "srun --ntasks-per-node=1 torchrun …"
            )
        return 1, 1
    per_node = int(os.environ["LOCAL_WORLD_SIZE"])
    return per_node, int(os.environ["WORLD_SIZE"]) // per_node


def from_first(name: str, text: Callable[[], str]) -> str:
    """Return in each process what `text` returns in the first one, which alone calls it.

    Args:
        name: another one for each text.
        text: may raise, which ends the others too.
    """
    if not is_distributed():
        return text()
    store, rank, _ = next(rendezvous("env://"))
    if rank == 0:
        store.set(f"ferlab {name}", text())
    return str(store.get(f"ferlab {name}").decode())
