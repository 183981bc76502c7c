"""Small data sets that are not digits, for tests of every family: made or read without a network.

MNIST says little about tables with units, photographs, series and embeddings. Each function returns a training
array and a test array, drawn once from a fixed seed and read-only; rows are samples. ``DATASETS`` names them all.

(A module named ``datasets`` in this folder would hide the package of that name from the tests.)
"""

from __future__ import annotations

from functools import cache

import numpy as np


def _split(rows, n_train):
    """Return the first ``n_train`` rows and the rest as two arrays that cannot be written to."""
    parts = rows[:n_train].copy(), rows[n_train:].copy()
    for part in parts:
        part.flags.writeable = False
    return parts


@cache
def money_and_shares():
    """Return a table with units: 500 training rows and 100 test rows of 8 columns, float64.

    Three columns are sums of money (lognormal, 100 to 100,000), three are shares between 0 and 1, and two are
    counts. All depend on three latent factors, along curved relations, with about 5% noise: the variance in raw
    units is that of the money alone.
    """
    random = np.random.default_rng(0)
    wealth, age, city = random.standard_normal((3, 600))
    noise = 0.05 * random.standard_normal((6, 600))
    income = np.exp(10 + 0.5 * wealth + noise[0])
    savings = np.exp(9 + 0.7 * wealth + 0.4 * age + noise[1])
    rent = np.exp(6.5 + 0.3 * wealth + 0.4 * city + noise[2])
    renting = _logistic(1.5 * city - 0.8 * age + noise[3])
    rural = _logistic(-2 * city + noise[4])
    # The share spent on health rises with age in both directions from the middle: no linear map finds it.
    health = _logistic(age**2 - 2 + 0.3 * wealth + noise[5])
    children = random.poisson(np.exp(0.5 - 0.4 * age**2))
    trips = random.poisson(np.exp(1.5 + 0.5 * wealth + 0.3 * city))
    columns = income, savings, rent, renting, rural, health, children, trips
    return _split(np.column_stack(columns).astype(np.float64), 500)


def _logistic(values):
    return 1 / (1 + np.exp(-values))


@cache
def photographs():
    """Return grey photographs: 500 training images and 100 test images of 16 x 16 pixels, uint8.

    They are cut from scikit-learn's two sample images, and no two of them overlap.
    """
    from sklearn.datasets import load_sample_images

    pictures = []
    for image in load_sample_images().images:
        grey = (image @ (0.299, 0.587, 0.114)).round().astype(np.uint8)
        tiles = grey[:416, :640].reshape(26, 16, 40, 16).swapaxes(1, 2)
        pictures.append(tiles.reshape(-1, 16, 16))
    return _split(np.random.default_rng(0).permutation(np.concatenate(pictures))[:600], 500)


@cache
def series():
    """Return signals: 250 training rows and 50 test rows of 40 samples in time, float64.

    Half of the rows are two periods of a sine with its third harmonic, half are heartbeat-like: a sharp peak between
    two slow waves, twice per row. Phase, amplitude (.5 to 2) and width vary from row to row; the noise has a standard
    deviation of .05.
    """
    random = np.random.default_rng(0)
    phase = random.uniform(0, 1, (300, 1))
    amplitude = random.uniform(0.5, 2, (300, 1))
    width = random.uniform(0.03, 0.06, (300, 1))
    angle = (2 * np.arange(40) / 40 + phase) % 1
    sines = np.sin(2 * np.pi * angle) + 0.3 * np.sin(6 * np.pi * angle)
    beats = 0.2 * np.exp(-(((angle - 0.25) / 0.08) ** 2))
    beats = beats + np.exp(-(((angle - 0.5) / width) ** 2)) + 0.35 * np.exp(-(((angle - 0.8) / 0.1) ** 2))
    rows = amplitude * np.where(np.arange(300)[:, None] % 2, sines, beats)
    return _split(rows + 0.05 * random.standard_normal(rows.shape), 250)


@cache
def embeddings():
    """Return embeddings: 500 training rows and 100 test rows of 48 columns, of length 1, float32.

    Ten clusters, each in a plane of its own of three dimensions around its centre, with isotropic noise of a tenth of
    the spread. Each row is divided by its length.
    """
    random = np.random.default_rng(0)
    centres = random.standard_normal((10, 48))
    planes = random.standard_normal((10, 3, 48))
    labels = random.integers(10, size=600)
    within = np.einsum("nk,nkd->nd", 0.5 * random.standard_normal((600, 3)), planes[labels])
    rows = centres[labels] + within + 0.1 * random.standard_normal((600, 48))
    return _split((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), 500)


@cache
def spectra_float32():
    """Return spectra: 500 training rows and 100 test rows of 32 channels, float32, mean 1000 and spread 1.7.

    Three smooth components and noise of a standard deviation of .1, on an offset of nearly 600 spreads: a mean that is
    subtracted in float32, or a covariance of products of float32 numbers, loses what there is to learn.
    """
    random = np.random.default_rng(0)
    channel = np.linspace(0, 1, 32)
    components = np.stack([np.sin(np.pi * channel), np.cos(2 * np.pi * channel), np.cos(5 * np.pi * channel)])
    rows = random.standard_normal((600, 3)) @ components
    rows = 1000 + 1.7 * rows / rows.std() + 0.1 * random.standard_normal((600, 32))
    return _split(rows.astype(np.float32), 500)


#: Every data set of this module by its name.
DATASETS = {
    "money_and_shares": money_and_shares,
    "photographs": photographs,
    "series": series,
    "embeddings": embeddings,
    "spectra_float32": spectra_float32,
}
