"""Compiled passes over memory, where this machine has a C compiler; without one, there are none.

What lies between the matrix products of a step (gathering rows, the cross-entropy, Adam) is a chain
of sweeps over memory in PyTorch, and one sweep in C. ``kernels.c`` is compiled for this processor
when it is first needed, in a fraction of a second, and kept in the user's cache. The environment variable
``ISTHMUS_NO_COMPILE=1`` turns this off.

What is compiled is run, so nothing is loaded from, or built in, a place that anybody else can write to.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import platformdirs
import threadpoolctl
import torch
from torch import Tensor

_SOURCE = Path(__file__).with_name("kernels.c")
_PLAIN = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
#: With any value but "" and "0", nothing is compiled, and nothing that was compiled is loaded.
NO_COMPILE = "ISTHMUS_NO_COMPILE"

#: From the fastest to what every compiler takes.
_FLAGS = (
    (*_PLAIN, "-fopenmp", "-mprefer-vector-width=512"),
    (*_PLAIN, "-fopenmp"),
    _PLAIN,
)
_COMPILERS = ("cc", "gcc", "clang")
_COMPILER_TIMEOUT = 60.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_POINTER, _SIZE, _FLOAT, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
_SIGNATURES = {
    "cross_entropy_f32": (*[_POINTER] * 3, _SIZE, _SIZE, _FLOAT, _POINTER, _POINTER, _INT),
    "cross_entropy_bf16": (*[_POINTER] * 3, _SIZE, _SIZE, _FLOAT, _POINTER, _POINTER, _INT),
    "gather_rows": (_POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _INT),
    "gather_bytes": (_POINTER, _POINTER, _SIZE, _SIZE, _FLOAT, _POINTER, _INT),
    "binary_units": (*[_POINTER] * 2, *[_SIZE] * 4, _INT, *[_POINTER] * 2, _INT),
    "adam": (*[_POINTER] * 4, _SIZE, *[_FLOAT] * 7, _INT),
}


class Kernels:
    """The compiled functions, on contiguous tensors in the CPU's memory.

    Shapes and types are the caller's care; `fits` says whether tensors can be passed.

    Parameters
    ----------
    library : ctypes.CDLL
        What ``kernels.c`` was compiled to.
    threaded : bool
        Whether it shares its threads with torch. A second set of them would fight for the cores.
    """

    def __init__(self, library: ctypes.CDLL, *, threaded: bool) -> None:
        for name, types in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, None
        self._library = library
        self._threaded = threaded

    @staticmethod
    def fits(*tensors: Tensor) -> bool:
        """Return whether the tensors lie in the CPU's memory without gaps."""
        return all(tensor.is_cpu and tensor.is_contiguous() for tensor in tensors)

    def cross_entropy(self, pre_activations: Tensor, rows: Tensor, bias: Tensor | None) -> Tensor:
        """Return the mean cross-entropy of the rows, and leave its gradient in ``pre_activations``.

        Pre-activations, the bias still to be added to them, and rows are all float32 or all bfloat16; the
        mean is float64.
        """
        single = pre_activations.dtype == torch.float32
        function = self._library.cross_entropy_f32 if single else self._library.cross_entropy_bf16
        n, width = rows.shape
        mean = torch.empty((), dtype=torch.float64, device="cpu")
        sums = torch.empty(n, dtype=torch.float64, device="cpu")
        addend = pre_activations.new_zeros(width) if bias is None else bias
        function(
            pre_activations.data_ptr(),
            addend.data_ptr(),
            rows.data_ptr(),
            n,
            width,
            1 / n,
            sums.data_ptr(),
            mean.data_ptr(),
            self._threads(),
        )
        return mean

    def gather(self, source: Tensor, chosen: Tensor, unit: float, out: Tensor) -> None:
        """Write the chosen rows of ``source`` to ``out``; bytes become float32, divided by ``unit``."""
        n, width = out.shape
        if source.dtype == out.dtype:
            size = width * out.element_size()
            self._library.gather_rows(
                source.data_ptr(), chosen.data_ptr(), n, size, out.data_ptr(), self._threads()
            )
        else:
            self._library.gather_bytes(
                source.data_ptr(), chosen.data_ptr(), n, width, unit, out.data_ptr(), self._threads()
            )

    def adam(self, weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, *settings: float) -> None:
        """Take a step of Adam; the settings are those of ``adam`` in ``kernels.c``, in its order."""
        addresses = (tensor.data_ptr() for tensor in (weights, gradient, mean, square))
        self._library.adam(*addresses, weights.numel(), *settings, self._threads())

    def binary_units(
        self, inputs: Tensor, keys: Tensor, stream: int, golden: int, bits: int
    ) -> tuple[Tensor, Tensor]:
        """Return the probabilities of binary units with these inputs, float32, and draws of them.

        Keys and ``stream`` are mixed, by SplitMix64 with the increment ``golden``, to numbers of ``bits`` bits.
        """
        probabilities, draws = torch.empty_like(inputs), torch.empty_like(inputs)
        self._library.binary_units(
            inputs.data_ptr(),
            keys.data_ptr(),
            *inputs.shape,
            stream,
            golden,
            bits,
            probabilities.data_ptr(),
            draws.data_ptr(),
            self._threads(),
        )
        return probabilities, draws

    def _threads(self) -> int:
        return torch.get_num_threads() if self._threaded else 1

    def __reduce__(self) -> tuple[object, tuple[()]]:
        # A copy in another process loads its own, or finds that it has none.
        return load_kernels, ()


@functools.cache
def load_kernels() -> Kernels | None:
    """Return the compiled functions, or None where they cannot or must not be compiled or loaded."""
    if os.environ.get(NO_COMPILE, "") not in {"", "0"}:
        return None
    compiler = _compiler()
    if compiler is None:
        return None
    for flags in _FLAGS:
        try:
            path, before = _compiled(compiler, flags), _thread_libraries()
            library = ctypes.CDLL(str(path))
            # One more than before would be a second set of threads beside torch's.
            return Kernels(library, threaded="-fopenmp" in flags and _thread_libraries() == before)
        except (OSError, AttributeError, subprocess.SubprocessError):
            continue
    return None


def _compiler() -> str | None:
    if os.name != "posix":
        return None
    named = os.environ.get("CC")
    found = (shutil.which(name) for name in ((named,) if named else _COMPILERS))
    return next(filter(None, found), None)


def _compiled(compiler: str, flags: tuple[str, ...]) -> Path:
    """Return the compiled file, from the cache if it is there."""
    key = "\0".join((_SOURCE.read_text(encoding="utf-8"), compiler, *flags, _processor()))
    name = hashlib.sha256(key.encode()).hexdigest()[:24] + ".so"
    folder = _private_folder()
    path = folder / name
    if not _is_own(path):
        # Compiled under a name of its own first, so that two processes do not meet in one file.
        handle, draft = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            _compile(compiler, flags, draft)
            Path(draft).chmod(0o700)
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
    return path


def _compile(compiler: str, flags: tuple[str, ...], output: str) -> None:
    subprocess.run(  # noqa: S603 - the compiler of this machine, on our own source
        [compiler, *flags, str(_SOURCE), "-o", output, "-lm"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=_COMPILER_TIMEOUT,
    )


def _private_folder() -> Path:
    """Return a folder that nobody else can write to: what lies in it is going to be run.

    Raises
    ------
    OSError
        When there is none.
    """
    try:
        cache = Path(platformdirs.user_cache_dir("isthmus"))
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (cache, cache / "kernels"):
            folder.mkdir(mode=0o700, exist_ok=True)
        folder = folder.resolve()
        if _is_private(folder) and os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # the latter where links lead in a circle
        pass
    folder = Path(_temporary_folder().name).resolve()
    if not _is_private(folder):
        raise PermissionError(f"others can write to the folder that {folder} is in")
    return folder


def _is_private(folder: Path) -> bool:
    """Return whether nobody else can write to a folder, nor put another one in its place."""
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
        return False
    for parent in folder.parents:
        status = parent.stat()
        # In a sticky folder, such as /tmp, others can write, but not rename what is not theirs.
        others_rename = status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX
        if status.st_uid not in {0, os.geteuid()} or others_rename:
            return False
    return True


def _is_own(path: Path) -> bool:
    """Return whether there is a file that its owner alone, this user, could have written."""
    try:
        status = path.lstat()
    except OSError:
        return False
    own = status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE
    return stat.S_ISREG(status.st_mode) and own


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="isthmus-kernels-")


def _processor() -> str:
    """Return what tells processors apart: a home may be shared by machines that differ in theirs."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _thread_libraries() -> set[str]:
    return {
        library["filepath"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "openmp"
    }
