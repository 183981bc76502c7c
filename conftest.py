"""What tests and doctests share: the device, the threads, the seeds, and the digits."""

from __future__ import annotations

import importlib
import pkgutil
from numbers import Integral

import pytest


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where models are trained: cpu, cuda, ...")
    # The workers of xdist share the cores among them already, and for nets as small as the tests' one
    # thread is the fastest anyway.
    parser.addoption("--threads", default=1, type=int, help="how many threads torch uses")
    parser.addoption(
        "--shift-seeds", default=0, type=int, help="is added to each random_state that is a number"
    )


def pytest_configure(config):
    import torch

    torch.set_num_threads(config.getoption("--threads"))
    if shift := config.getoption("--shift-seeds"):
        shift_seeds(shift)


def shift_seeds(shift):
    """Let every model train with another seed than its random_state says.

    Equal seeds stay equal and other ones different: what has to hold for all seeds, holds for these.
    """
    import isthmus
    from isthmus.estimators import _building

    own = _building.seed_of

    def shifted(random_state, owner):
        seed = own(random_state, owner)
        return (seed + shift) % 2**32 if isinstance(random_state, Integral) else seed

    for module in _modules_of(isthmus):
        if getattr(module, "seed_of", None) is own:
            module.seed_of = shifted


def _modules_of(package):
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(one.name) for one in found if not one.name.endswith("__main__")]


@pytest.fixture(scope="session")
def device(request):
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def digits():
    """Return 1,400 training rows and 397 test rows of 64 grey values between 0 and 1, read-only."""
    from sklearn.datasets import load_digits

    data = load_digits().data / 16
    data.flags.writeable = False
    return data[:1400], data[1400:]
