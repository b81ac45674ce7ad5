"""The Trainer: how many threads compute, and what becomes of freed memory."""

import platform
import subprocess
import sys

import pytest
import torch
from torch.torch_version import TorchVersion

from ferlab.checks import FerlabError
from ferlab.learning.trainer import make_trainer


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_a_process_with_fewer_cores_than_the_machine_takes_no_more_threads(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # counts like a container's quota
    make_trainer(tmp_path, "cpu")
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("four_threads")
def test_threads_that_somebody_has_set_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    make_trainer(tmp_path, "cpu")
    assert torch.get_num_threads() == 4


FAULTS = """
import pathlib, resource, sys, torch
from ferlab.learning.memory import keep_freed_memory
from ferlab.learning.trainer import make_trainer

def faults():
    for _ in range(3):
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory(False)
print(faults())
make_trainer(pathlib.Path(sys.argv[1]), "cpu")
print(faults())
"""
"""Prints the page faults of making and freeing 64 MB some times, without a trainer and with one."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_a_trainer_keeps_freed_memory_for_the_next_step(tmp_path):
    # In a process of its own: what other tests left in the heap decides where a block goes.
    command = [sys.executable, "-c", FAULTS, str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given_back, kept = map(int, printed.split()[-2:])
    assert kept < given_back / 4


def test_mps_is_refused_where_pytorch_cannot_transform_images_there(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.12.1"))
    with pytest.raises(FerlabError, match=r"mps needs PyTorch 2\.13 or later"):
        make_trainer(tmp_path, "mps")


@pytest.mark.parametrize(
    ("has", "precision"),
    [({"amx_bf16": True}, "bf16-mixed"), ({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true")],
)
def test_auto_is_bf16_where_the_processor_computes_in_it(tmp_path, monkeypatch, has, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert make_trainer(tmp_path, "cpu").precision == precision
    assert make_trainer(tmp_path, "cpu", "bf16-mixed").precision == "bf16-mixed"
