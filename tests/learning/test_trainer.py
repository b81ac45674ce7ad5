"""The Trainer: how many threads compute."""

import pytest
import torch

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
