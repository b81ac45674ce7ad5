"""A Lightning Trainer for one device, with the device and precision chosen where left open."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning as L
import torch
from joblib import cpu_count
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler

from ferlab.checks import FerlabError, check_boolean, check_choice, check_integer, check_number
from ferlab.learning.compilation import Compilation
from ferlab.learning.dropout import CurriculumDropout
from ferlab.learning.memory import keep_freed_memory
from ferlab.learning.processes import is_distributed, processes_and_nodes
from ferlab.learning.progress import ProgressBar
from ferlab.learning.tensors import CheckpointFile

ACCELERATORS = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
PROFILERS = ("simple", "pytorch")


def make_trainer(
    folder: Path,
    accelerator: str = "auto",
    precision: str = "auto",
    max_epochs: int = 100,
    gradient_clip: float | None = None,
    profiler: str | None = None,
    compile: bool | str = False,
    validate: bool = True,
    progress_bar: bool = True,
    callbacks: Sequence[Callback] = (),
) -> L.Trainer:
    """Return a Trainer of one device, or under torchrun of one for each of its processes.

    Args:
        folder: what Lightning takes for its root folder; the profile goes there.
        accelerator: one of ACCELERATORS; `auto` is a CUDA device where there is one, else the CPU.
        precision: one of PRECISIONS; `auto` is bf16 where the hardware computes in it, else fp32.
        max_epochs: most epochs of a training, >= 1.
        gradient_clip: largest norm of all gradients together, > 0; None clips nothing.
        profiler: one of PROFILERS, seconds per hook or per operation; None measures nothing.
        compile: whether a training compiles its network; `auto`: where that pays for itself, see
            `compilation.pays_off`.
        validate: whether each epoch of a training ends with a look at the validation images; False
            for data that have none.
        progress_bar: whether to show one, where standard output is a terminal.
        callbacks: in the order in which they are called.

    Raises:
        FerlabError: a value out of range, or an accelerator that this machine lacks.
    """
    check_choice("trainer.accelerator", accelerator, ACCELERATORS)
    check_choice("trainer.precision", precision, PRECISIONS)
    check_integer("trainer.max_epochs", max_epochs, at_least=1)
    check_boolean("trainer.progress_bar", progress_bar)
    if gradient_clip is not None:
        check_number("trainer.gradient_clip", gradient_clip, above=0)
    if profiler is not None:
        check_choice("trainer.profiler", profiler, PROFILERS)
    if compile != "auto" and not isinstance(compile, bool):
        raise FerlabError(f"trainer.compile must be auto, true or false; got {compile!r}")
    _keep_to_own_cores()
    keep_freed_memory()
    progress_bar = progress_bar and sys.stdout.isatty()
    device = _pick_device(accelerator)
    per_node, n_nodes = processes_and_nodes()
    if device == "cuda" and per_node > torch.cuda.device_count():
        raise FerlabError(
            f"{per_node} processes need as many CUDA devices; this machine has "
            f"{torch.cuda.device_count()}: start fewer with --nproc-per-node"
        )
    if precision == "auto":
        precision = "bf16-mixed" if _computes_in_bf16(device) else "32-true"
    callbacks = [*_compilation(compile, callbacks), *callbacks]
    # One process is itself, whatever SLURM or MPI say around it.
    environment = TorchElasticEnvironment if is_distributed() else LightningEnvironment
    return L.Trainer(
        default_root_dir=folder,
        accelerator=device,
        devices=per_node,
        num_nodes=n_nodes,
        strategy="ddp" if per_node * n_nodes > 1 else "auto",
        precision=precision,  # type: ignore[arg-type]  # checked above
        max_epochs=max_epochs,
        gradient_clip_val=gradient_clip,
        limit_val_batches=None if validate else 0,
        profiler=_make_profiler(profiler, folder),
        callbacks=[*callbacks, ProgressBar()] if progress_bar else callbacks,
        plugins=[CheckpointFile(), environment()],
        logger=False,
        enable_progress_bar=progress_bar,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=0,  # nothing is logged per step
        use_distributed_sampler=False,
    )


def _compilation(choice: bool | str, callbacks: Sequence[Callback]) -> list[Callback]:
    """Return what compiles the network of a trainer with these callbacks, if anything does."""
    if not choice:
        return []
    if any(isinstance(callback, CurriculumDropout) for callback in callbacks):
        if choice == "auto":
            return []
        raise FerlabError(
            "trainer.compile=true would compile anew in each epoch, for a probability of dropout "
            "is part of what is compiled; leave it out, or callbacks=curriculum_dropout"
        )
    return [Compilation(choice)]


def _keep_to_own_cores() -> None:
    """Let torch use no more threads than this process has cores.

    torch looks at the process's affinity, not at a container's quota. OMP_NUM_THREADS is somebody's
    word: a person's, or that of a launcher that shares the cores among its jobs.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))


def _make_profiler(name: str | None, folder: Path) -> Profiler | None:
    if name == "simple":
        return SimpleProfiler(dirpath=folder, filename="profile")
    if name == "pytorch":
        return PyTorchProfiler(dirpath=folder, filename="profile", export_to_chrome=True)
    return None


def describe_device(trainer: L.Trainer) -> str:
    """Return the name of the trainer's device as a person knows it."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type


def _pick_device(accelerator: str) -> str:
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if accelerator == "auto":
        return "cuda" if available["cuda"] else "cpu"
    if not available[accelerator]:
        raise FerlabError(
            f"trainer.accelerator={accelerator}, but this machine has no such device; "
            f"use auto or {' or '.join(name for name, present in available.items() if present)}"
        )
    if accelerator == "mps" and torch.__version__ < "2.13":
        raise FerlabError(
            "trainer.accelerator=mps needs PyTorch 2.13 or later, whose grid_sample repeats the "
            "border there; install it, or use cpu"
        )
    return accelerator


def _computes_in_bf16(device: str) -> bool:
    """Tell whether bf16 matrix products run in hardware rather than emulated."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
