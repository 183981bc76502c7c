"""Which pictures of a model a report shows: those that any model has, and those that it alone offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from isthmus.comparison import Model
from isthmus.metrics import code_statistics, row_errors
from isthmus.plots.latent import grey_levels
from isthmus.report import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from isthmus.comparison import Reconstruction

    Array: TypeAlias = NDArray[Any]
    Pictures: TypeAlias = dict[str, dict[str, Any]]

__all__ = ["SHOWN_IMAGES", "Denoiser", "Generator", "Machine", "pictures_of"]

SHOWN_IMAGES = 10  # as in the notebook
GRID = 15  # codes along each side of the manifold
MIDDLE = (0.05, 0.95)  # quantiles: beyond them codes are rare, and what is decoded from them says little
SAMPLES = 40
PAIRS, STEPS = 5, 10
STEPS_OF_CHAINS = (1, 10, 100, 1000)


class Generator(Model, Protocol):
    """A model that can make rows up."""

    def sample(self, n_samples: int, *, random_state: int) -> Any:
        """Return rows that nobody has seen."""


class Machine(Model, Protocol):
    """A Boltzmann machine: its weights are pictures, and it walks from row to row."""

    components_: Array

    def gibbs(self, X: Any, /, n_steps: int, *, random_state: int) -> Any:
        """Return rows drawn by Gibbs sampling that starts from X."""

    def reconstruct(self, X: Any, /, n_steps: int, *, random_state: int) -> Any:
        """Return the means after such steps."""


class Denoiser(Model, Protocol):
    """A model that was trained to undo a noise which it can show."""

    def corrupt(self, X: Any, /, *, random_state: int) -> Any:
        """Return the rows of X with the noise of the training."""

    def reconstruct(self, X: Any, /) -> Any:
        """Return what the model makes of the rows of X."""


def pictures_of(
    name: str,
    model: Model,
    X: Array,
    result: Reconstruction,
    image_shape: Sequence[int] | None,
    labels: Array | None = None,
) -> Pictures:
    """Return the pictures of one model, by kind, in the order of the page.

    Parameters
    ----------
    name : str
        What the report calls the model.
    model : Model
        What it offers is seen by its methods: ``sample``, ``gibbs``, or ``corrupt`` and ``reconstruct``.
    X : ndarray of shape (n, ...)
        The test rows.
    result : Reconstruction
        Their codes and copies.
    image_shape : tuple of int or None
        How to picture a row; None if rows are not images.
    labels : ndarray of shape (n,), optional
        To colour the rows by.
    """
    drawn: Pictures = {}
    two_numbers = result.codes.shape[1] == 2
    if two_numbers:
        drawn["latent-map"] = pictures.latent_map(name, result.codes, labels)
    if image_shape is not None:
        levels = grey_levels(X)
        if two_numbers and _is_continuous(result.codes):
            axes, grid = _grid(model, result.codes)
            drawn["manifold"] = pictures.manifold(name, grid, image_shape, axes, levels)
        if _generates(model):
            made_up = np.asarray(model.sample(SAMPLES, random_state=0))
            drawn["samples"] = pictures.drawn_samples(name, made_up, image_shape, levels)
            ways = _ways(model, X[: 2 * PAIRS])
            if ways is not None:
                drawn["interpolation"] = pictures.interpolation(name, ways, image_shape, levels)
        if _denoises(model):
            originals = X[:SHOWN_IMAGES]
            noisy = np.asarray(model.corrupt(originals, random_state=0))
            restored = np.asarray(model.reconstruct(noisy))
            drawn["denoising"] = pictures.denoised(name, originals, noisy, restored, image_shape)
        if _is_machine(model):
            drawn |= _pictures_of_machine(name, model, X[:SHOWN_IMAGES], image_shape)
    history = getattr(model, "pretraining_history_", None)
    if history:
        drawn["layers"] = pictures.layers(name, history)
    return drawn | _pictures_of_any(name, model, X, result, image_shape)


def _pictures_of_machine(name: str, model: Machine, originals: Array, image_shape: Sequence[int]) -> Pictures:
    dreams = {n: np.asarray(model.gibbs(originals, n, random_state=0)) for n in STEPS_OF_CHAINS}
    copies = {n: np.asarray(model.reconstruct(originals, n, random_state=0)) for n in STEPS_OF_CHAINS}
    return {
        "weights": pictures.weights(name, model.components_, image_shape),
        "chains": pictures.chains(name, originals, dreams, image_shape, mean=False),
        "steps": pictures.chains(name, originals, copies, image_shape, mean=True),
    }


def _pictures_of_any(
    name: str, model: Model, X: Array, result: Reconstruction, image_shape: Sequence[int] | None
) -> Pictures:
    codes = code_statistics(result.codes)
    drawn: Pictures = {}
    if image_shape is not None:
        errors = row_errors(X, result.copies)
        order = np.argsort(-errors, kind="stable")[:SHOWN_IMAGES]
        drawn["worst"] = pictures.worst(name, X[order], result.copies[order], errors[order], image_shape)
        columns = pictures.unit_effects(model, codes)
        n_units = len(codes.typical)
        drawn["filters"] = pictures.effects(name, columns, image_shape, codes.dead, n_units)
    drawn["activity"] = pictures.activity(name, codes)
    return drawn


# A method may be there or not by how the model is configured, as with scikit-learn's available_if. A
# check of the class, which isinstance with a runtime protocol is in later Pythons, would miss that.
def _generates(model: Model) -> TypeGuard[Generator]:
    return callable(getattr(model, "sample", None))


def _is_machine(model: Model) -> TypeGuard[Machine]:
    return hasattr(model, "components_") and callable(getattr(model, "gibbs", None))


def _denoises(model: Model) -> TypeGuard[Denoiser]:
    return all(callable(getattr(model, method, None)) for method in ("corrupt", "reconstruct"))


def _is_continuous(codes: Array) -> bool:
    """Say whether there is anything between two codes; between the numbers of entries there is not."""
    return codes.dtype.kind == "f"


def _grid(model: Model, codes: Array) -> tuple[tuple[Array, Array], Array]:
    """Return the codes along both sides of a grid, and its images: a row for each value of code 2."""
    lowest, highest = np.quantile(codes, MIDDLE, axis=0)
    along, up = np.linspace(lowest, highest, GRID, axis=1).astype(codes.dtype)
    points = np.stack(np.meshgrid(along, up), axis=-1)  # [row, column] holds (along[column], up[row])
    decoded = np.asarray(model.inverse_transform(points.reshape(-1, 2)))
    return (along, up), decoded.reshape(GRID, GRID, *decoded.shape[1:])


def _ways(model: Model, images: Array) -> Array | None:
    """Return what is decoded on straight lines from each even image to the next, None without any."""
    codes = np.asarray(model.transform(images))
    pairs = len(codes) // 2
    if pairs == 0 or not _is_continuous(codes):
        return None
    starts, ends = codes[: 2 * pairs : 2], codes[1 : 2 * pairs : 2]
    steps = np.linspace(starts, ends, STEPS, axis=1).astype(codes.dtype)
    decoded = np.asarray(model.inverse_transform(steps.reshape(pairs * STEPS, *codes.shape[1:])))
    return decoded.reshape(pairs, STEPS, *decoded.shape[1:])
