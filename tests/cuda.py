"""A CUDA device that is not there: shapes, types and devices are computed, values are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)


class Pretended(TorchDispatchMode):
    """Fakes what touches the device; what the CPU computes has its values.

    Attributes:
        waits: names of the operations that copied from the host's memory and waited for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(map(_is_there, leaves)):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if any(map(_is_on_host, leaves)) and not kwargs.get("non_blocking"):
            self.waits.append(str(func))
        return func(*args, **kwargs)


def _is_there(leaf: object) -> bool:
    return isinstance(leaf, FakeTensor) or (isinstance(leaf, torch.device) and leaf == CUDA)


def _is_on_host(leaf: object) -> bool:
    # A tensor of no dimension is handed to a kernel as a number.
    return isinstance(leaf, Tensor) and leaf.device.type == "cpu" and leaf.ndim > 0


@contextmanager
def pretended() -> Iterator[Pretended]:
    """Compute on CUDA without its values.

    Whatever mixes devices raises, and whatever needs a value on the host, for which it would wait.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), Pretended() as mode:
        yield mode
