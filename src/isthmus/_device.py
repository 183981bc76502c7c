"""Devices, and the border between NumPy's memory and torch's."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus._checks import wrong_parameter


def choose_device(device: object, owner: str) -> torch.device:
    """Return the device that ``device`` names; ``"auto"`` is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = "'auto', 'cpu', 'cuda', 'cuda:0' or another device that torch finds on this machine"
    if not isinstance(device, (str, torch.device)):
        raise wrong_parameter(owner, "device", wanted, device)
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by build and backend
        raise wrong_parameter(owner, "device", wanted, device) from error
    return chosen


def device_of(generator: torch.Generator | None) -> torch.device:
    """Return where weights from this generator lie; without one there are shapes and no memory."""
    return torch.device("meta") if generator is None else generator.device


def as_tensor(array: NDArray[np.floating]) -> Tensor:
    """Return a tensor that shares the array's memory and is only read, and never handed to a user's own code.

    ``torch.from_numpy`` warns about read-only arrays, such as memory maps, even where nothing is
    written to them; they are handed over by address instead.
    """
    if array.flags.writeable or array.size == 0:
        return torch.from_numpy(array if array.size else array.copy())
    array = np.ascontiguousarray(array)
    memory = memoryview((ctypes.c_char * array.nbytes).from_address(array.ctypes.data))
    alias = np.frombuffer(memory, array.dtype)
    tensor = torch.from_numpy(alias.reshape(array.shape))
    tensor._isthmus_owner = array  # type: ignore[attr-defined]  # the memory must outlive the tensor
    return tensor


def is_short_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is not enough memory; torch has a class for that on GPUs alone."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _work_alone() -> None:
    """Have a forked child compute on one thread.

    It has none of its parent's threads, but OpenMP, whose books were copied too, waits for them for ever.
    """
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_work_alone)


@contextmanager
def fair_threads() -> Iterator[None]:
    """Use no more threads than the processor time that a container is given.

    torch counts the cores of the machine. Where a container gets the time of fewer, the threads that
    wait for each other after every product wait for those that may not run.
    """
    before, allowed = torch.get_num_threads(), _cores_of_container()
    if allowed is None or allowed >= before:
        yield
        return
    torch.set_num_threads(allowed)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores_of_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the cores' worth of time that a Linux control group grants, or None for no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        return max(1, math.floor(int(quota) / int(period))) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def is_intel() -> bool:
    """Return whether Intel made this machine's processor, as far as can be seen."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "GenuineIntel" in platform.processor()
