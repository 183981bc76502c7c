"""Which pictures of a model a report shows: those that any model has, and those that it alone offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from isthmus.comparison import Model
from isthmus.metrics import code_statistics, row_errors
from isthmus.plots.latent import grey_levels
from isthmus.report import pictures
from isthmus.report.maps import plane_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from isthmus.comparison import Reconstruction
    from isthmus.metrics import CodeStatistics
    from isthmus.report.maps import Plane

    Array: TypeAlias = NDArray[Any]
    Picture: TypeAlias = dict[str, Any]
    Pictures: TypeAlias = dict[str, Picture]

__all__ = ["SHOWN_IMAGES", "Denoiser", "Generator", "Machine", "pictures_of"]

SHOWN_IMAGES = 10  # as in the notebook
GRID = 15  # codes along each side of the manifold
MIDDLE = (0.05, 0.95)  # quantiles: beyond them codes are rare, and what is decoded from them says little
SAMPLES = 40
PAIRS, STEPS = 5, 10
STEPS_OF_CHAINS = (1, 10, 100, 1000)
QUARTERS = ("best", "25%", "median", "75%", "worst")
UNITS_WITH_EXEMPLARS, EXEMPLARS = 16, 8


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
    *,
    series: bool = False,
    plane: Plane | None = None,
    errors: Mapping[str, Array] | None = None,
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
    series : bool
        Whether rows that are no images are to be drawn as curves.
    plane : Plane, optional
        Where the rows lie on the map; as :func:`isthmus.report.maps.plane_of` finds it if left out.
    errors : mapping of name to ndarray of shape (n,), optional
        The errors of the rows, of this model and of what it is held against.
    """
    drawn: Pictures = {}
    if image_shape is not None or series:
        drawn["examples"] = _examples(name, X, result, image_shape)
    if errors:
        drawn["errors"] = pictures.errors(name, errors)
    two_numbers = result.codes.shape[1] == 2
    plane = plane or plane_of(result.codes)
    if plane is not None:
        drawn["latent-map"] = pictures.latent_map(name, plane, labels)
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
        columns = pictures.unit_effects(model, codes)
        n_units = len(codes.typical)
        drawn["filters"] = pictures.effects(name, columns, image_shape, codes.dead, n_units)
        units, rows = _strongest(result.codes, codes)
        if len(units):
            levels = grey_levels(X)
            drawn["exemplars"] = pictures.exemplars(name, X[rows], units, n_units, image_shape, levels)
    drawn["activity"] = pictures.activity(name, codes)
    if len(codes.typical) > 1 and len(X) > 1:
        drawn["correlations"] = pictures.correlations(name, result.codes, codes)
    return drawn


def _examples(name: str, X: Array, result: Reconstruction, image_shape: Sequence[int] | None) -> Picture:
    """Picture rows from the best copied to the worst, chosen by the rank of their error."""
    errors = row_errors(X, result.copies)
    order = np.argsort(errors, kind="stable")
    if image_shape is None:
        places, names = [0, (len(X) - 1) // 2, len(X) - 1], ["best", "median", "worst"]
        chosen = order[places]
        return pictures.curves(name, X[chosen], result.copies[chosen], errors[chosen], names)
    places, names = _ranks(len(X))
    chosen = order[places]
    return pictures.examples(name, X[chosen], result.copies[chosen], errors[chosen], names, image_shape)


def _ranks(rows: int) -> tuple[list[int], list[str]]:
    """Return places in an order, two at each quarter of the way, and what to call them."""
    places: dict[int, str] = {}
    for share, words in zip((0, 0.25, 0.5, 0.75, 1), QUARTERS, strict=True):
        first = round(share * max(0, rows - 2))
        for place in (first, first + 1):
            if place < rows:
                places.setdefault(place, words)
    return list(places), list(places.values())


def _strongest(codes: Array, statistics: CodeStatistics) -> tuple[list[int], Array]:
    """Return the units that vary most, in their order, and for each the rows where it is largest."""
    dead = set(statistics.dead)
    alive = [unit for unit in np.argsort(-statistics.unit_deviations, kind="stable") if unit not in dead]
    units = sorted(int(unit) for unit in alive[:UNITS_WITH_EXEMPLARS])
    rows = [np.argsort(-codes[:, unit], kind="stable")[:EXEMPLARS] for unit in units]
    return units, np.array(rows, dtype=np.intp)


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
