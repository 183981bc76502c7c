"""What tests and doctests share: the device, the threads, and the digits."""

from __future__ import annotations

import pytest


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where models are trained: cpu, cuda, ...")


def pytest_configure():
    import torch

    # The workers of xdist (PYTEST_XDIST_WORKER) share the cores among them already, and for nets as
    # small as the tests' one thread is the fastest anyway.
    torch.set_num_threads(1)


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
