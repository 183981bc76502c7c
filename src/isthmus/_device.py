"""Devices, and the border between NumPy's memory and torch's."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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


def shared_with(array: NDArray[Any]) -> Tensor:
    """Return a tensor in the memory of an array, which nobody may write to.

    For :class:`isthmus.training.StoredRows`, which hands out copies alone: training rows may be a memory map of any
    size. ``torch.from_numpy`` warns about arrays that are read-only, and torch has no such tensors; so their memory is
    handed over by its address.
    """
    if array.flags.writeable or array.size == 0:
        return torch.from_numpy(array if array.size else array.copy())
    array = np.ascontiguousarray(array)
    memory = memoryview((ctypes.c_char * array.nbytes).from_address(array.ctypes.data))
    alias = np.frombuffer(memory, array.dtype)
    tensor = torch.from_numpy(alias.reshape(array.shape))
    tensor._isthmus_owner = array  # type: ignore[attr-defined]  # the memory must outlive the tensor
    return tensor


def copied_from(array: NDArray[Any]) -> Tensor:
    """Return a tensor in memory of its own, which others may write to: modules, losses and noises of the user's."""
    return torch.from_numpy(np.array(array, order="C"))


def is_short_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is not enough memory; torch has a class for that on GPUs alone."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


#: The process that this module was imported in. Its threads, and the books that OpenMP keeps of them, are what a forked
#: child has a copy of: the books, but not the threads.
_IMPORTED_IN = os.getpid()


class _OwnWork:
    """What is different in torch while methods of Isthmus run: how many do, and how to undo it."""

    def __init__(self) -> None:
        self.lock, self.running, self.undo = threading.Lock(), 0, ExitStack()
        self.thread = threading.local()  # torch counts threads for each thread of Python

    def begin(self) -> None:
        """Change what has to be different."""
        with self.lock:
            if not self.running:
                exact_float32(self.undo)
            self.running += 1
        self.thread.depth = self._depth() + 1
        if os.getpid() != _IMPORTED_IN:
            self._limit()

    def end(self) -> None:
        """Undo it, if no other method runs."""
        self.thread.depth -= 1
        with self.lock:
            self.running -= 1
            if self.running:
                return  # MKL's number of threads is that of the process: others would hang
            self.undo.close()
            if hasattr(self.thread, "before"):
                torch.set_num_threads(self.thread.before)
                del self.thread.before

    def after_fork(self) -> None:
        """Forget, in a child, the threads that only the parent has; one of them may have held the lock."""
        self.lock, self.running = threading.Lock(), self._depth()
        if self.running:
            self._limit()
        else:
            self.undo.close()

    def _depth(self) -> int:
        return getattr(self.thread, "depth", 0)

    def _limit(self) -> None:
        if not hasattr(self.thread, "before"):
            self.thread.before = torch.get_num_threads()
        torch.set_num_threads(1)


_own_work = _OwnWork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_own_work.after_fork)


@contextmanager
def own_work() -> Iterator[None]:
    """Compute as Isthmus promises to, whatever torch is set to, and leave torch's settings as they were.

    A forked child computes on one thread: OpenMP would wait for the threads of the parent for ever. What is called
    float32 is computed in float32: by default, convolutions on GPUs round its mantissa to 10 bits (TF32).

    The settings of torch are those of the whole process. Where several threads are in here, the last one that leaves
    restores them.
    """
    _own_work.begin()
    try:
        yield
    finally:
        _own_work.end()


def does_own_work(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs within `own_work`."""

    @functools.wraps(method)
    def wrapped(*args: Any, **options: Any) -> Any:
        with own_work():
            return method(*args, **options)

    return wrapped


def exact_float32(undo: ExitStack) -> None:
    """Turn off what computes float32 products with fewer digits, and say how to turn it on again."""
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    if torch.version.cuda is not None:
        try:
            if cudnn.allow_tf32:
                undo.callback(setattr, cudnn, "allow_tf32", True)
                cudnn.allow_tf32 = False
        except (
            RuntimeError
        ):  # the newer switches below are in use, with which torch does not read the older ones
            _make_exact(undo, cudnn.conv, cudnn.rnn)
    try:
        precision = torch.get_float32_matmul_precision()
        lowered = matmul.allow_tf32
    except RuntimeError:
        _make_exact(undo, matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
        return
    if precision != "highest" or lowered:
        undo.callback(setattr, matmul, "allow_tf32", lowered)
        undo.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")


def _make_exact(undo: ExitStack, *switches: Any) -> None:
    for switch in switches:
        if switch.fp32_precision in {"tf32", "bf16"}:
            undo.callback(setattr, switch, "fp32_precision", switch.fp32_precision)
            switch.fp32_precision = "ieee"


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


def multiplies_bfloat16() -> bool:
    """Return whether oneDNN computes in bfloat16 on this processor; it refuses to where instructions are missing."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())
