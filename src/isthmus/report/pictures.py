"""The pictures of a report, each in a light and a dark version and with words for who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus import plots
from isthmus.plots.latent import MOST_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from isthmus.comparison import Model
    from isthmus.metrics import CodeStatistics

    Array: TypeAlias = NDArray[Any]
    Picture: TypeAlias = dict[str, Any]

__all__ = [
    "activity",
    "copies",
    "denoised",
    "drawn_samples",
    "effects",
    "interpolation",
    "latent_map",
    "losses",
    "manifold",
    "unit_effects",
    "worst",
]

SHOWN_UNITS = 64  # of what a unit adds, more pictures than these are not looked at


def copies(originals: Array, copies_by_model: Mapping[str, Array], image_shape: Sequence[int]) -> Picture:
    """Picture originals above the copies of each model."""
    return _picture(
        lambda theme: plots.reconstructions(originals, copies_by_model, image_shape, theme=theme),
        alt=f"The first {len(originals)} test images and, in a row below for each, the copies made by "
        f"{_listed(list(copies_by_model))}.",
        caption=f"The first {len(originals)} test images and what comes back from the code.",
    )


def losses(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Picture:
    """Picture the losses over the epochs."""
    return _picture(
        lambda theme: plots.loss_curves(histories, theme=theme),
        alt="Loss by epoch. " + " ".join(_course(name, rows) for name, rows in histories.items() if rows),
        caption="Each curve is in the unit of its own loss, penalties included, so compare shapes "
        "across models and numbers in the table above.",
    )


def worst(
    name: str, originals: Array, copies_of_them: Array, errors: Array, image_shape: Sequence[int]
) -> Picture:
    """Picture the pairs of which the copy is worst, worst first."""
    return _picture(
        lambda theme: plots.worst_reconstructions(
            originals, copies_of_them, errors, image_shape, theme=theme
        ),
        alt=f"The {len(errors)} test images that {name} copies worst, above their copies; the squared "
        f"errors go from {errors[0]:.3g} down to {errors[-1]:.3g}.",
        caption="The test images that it copies worst, with their squared errors.",
    )


def effects(
    name: str, columns: Array, image_shape: Sequence[int], dead: Sequence[int], n_units: int
) -> Picture:
    """Picture what each unit adds to a copy."""
    shown = [unit for unit in dead if unit < len(columns)]
    units = f"each of the first {len(columns)}" if len(columns) < n_units else "each"
    return _picture(
        lambda theme: plots.filters(columns, image_shape, shown, theme=theme),
        alt=f"{len(columns)} small images: what {units} of the {n_units} code units of {name} adds to a "
        f"copy. {len(shown)} of them dead.",
        caption=f"What {units} of its {n_units} code units adds to a copy when it alone is switched on: "
        "orange adds light, blue takes it away.",
    )


def weights(name: str, components: Array, image_shape: Sequence[int]) -> Picture:
    """Picture the weights between each hidden unit of a Boltzmann machine and the image."""
    shown = components[:SHOWN_UNITS]
    units = f"the first {len(shown)}" if len(shown) < len(components) else "all"
    return _picture(
        lambda theme: plots.filters(shown, image_shape, theme=theme),
        alt=f"{len(shown)} small images: the weights of {units} of the {len(components)} hidden units of {name}.",
        caption=f"What {units} of its {len(components)} hidden units are tied to: orange pixels speak for a "
        "unit, blue ones against it, and it for and against them.",
    )


def chains(
    name: str, originals: Array, states: Mapping[int, Array], image_shape: Sequence[int], *, mean: bool
) -> Picture:
    """Picture where a Boltzmann machine is after some steps from each image, as drawn or in the mean."""
    rows = {f"{n} step{'s' if n > 1 else ''}": images for n, images in states.items()}
    numbers = _listed([str(n) for n in states])
    what = "reconstructs of them after" if mean else "dreams when it starts from them, after"
    return _picture(
        lambda theme: plots.reconstructions(originals, rows, image_shape, theme=theme),
        alt=f"The first {len(originals)} test images, and in a row below for each what {name} {what} "
        f"{numbers} steps.",
        caption=f"The first {len(originals)} test images and what it {what} {numbers} steps of Gibbs sampling"
        + (", the last of them in the mean." if mean else ": each picture is drawn, pixel by pixel."),
    )


def layers(name: str, history: Sequence[Mapping[str, Any]]) -> Picture:
    """Picture the losses of the layers that were trained before the whole."""
    numbers = sorted({row["layer"] for row in history})
    by_layer = {f"layer {n}": [row for row in history if row["layer"] == n] for n in numbers}
    return _picture(
        lambda theme: plots.loss_curves(by_layer, theme=theme),
        alt=f"Loss by epoch of the {len(numbers)} layers of {name}, which were trained one by one. "
        + " ".join(_course(layer, rows) for layer, rows in by_layer.items()),
        caption="The losses of its layers, which were trained one by one, each on what the one before it makes "
        "of the images.",
    )


def activity(name: str, statistics: CodeStatistics) -> Picture:
    """Picture how strong each unit is, and how often it is on."""
    means, shares = statistics.unit_means, statistics.active_share
    return _picture(
        lambda theme: plots.code_activity(means, shares, statistics.unit_deviations, theme=theme),
        alt=f"Two bar charts by code unit of {name}: the mean code, from {means.min():.3g} to "
        f"{means.max():.3g}, and the share of test rows in which the unit is not zero, from "
        f"{shares.min():.0%} to {shares.max():.0%}.",
        caption="How strong each code unit is, with a thin line one standard deviation long, and in "
        "how many test rows it is not zero.",
    )


def latent_map(name: str, codes: Array, labels: Array | None = None) -> Picture:
    """Picture where the test rows lie in a code of two numbers."""
    (left, low), (right, high) = codes.min(axis=0), codes.max(axis=0)
    rows = f"{len(codes):,} test rows"
    shown = rows if len(codes) <= MOST_POINTS else f"{MOST_POINTS:,} of {rows}, evenly taken,"
    colours = "" if labels is None else f", coloured by {len(set(labels.tolist())):,} different labels"
    return _picture(
        lambda theme: plots.latent_scatter(codes, labels, theme=theme),
        alt=f"A point for each of {shown} at its code by {name}{colours}. Code 1 goes from {left:.3g} to "
        f"{right:.3g}, code 2 from {low:.3g} to {high:.3g}.",
        caption="Where the test rows lie in its code of two numbers"
        + ("." if labels is None else ", coloured by label.")
        + ("" if len(codes) <= MOST_POINTS else f" {MOST_POINTS:,} of {len(codes):,} are drawn."),
    )


def manifold(
    name: str,
    grid: Array,
    image_shape: Sequence[int],
    axes: tuple[Array, Array],
    levels: tuple[float, float],
) -> Picture:
    """Picture what the decoder makes of a grid of codes of two numbers."""
    rows, columns = grid.shape[:2]
    along, up = axes
    return _picture(
        lambda theme: plots.manifold(grid, image_shape, axes=axes, levels=levels, theme=theme),
        alt=f"{columns} by {rows} images that {name} decodes from a grid of codes: code 1 from "
        f"{along[0]:.3g} on the left to {along[-1]:.3g} on the right, code 2 from {up[0]:.3g} at the "
        f"bottom to {up[-1]:.3g} at the top.",
        caption="What it decodes from codes on a grid over the middle 90% of each code unit.",
    )


def drawn_samples(name: str, rows: Array, image_shape: Sequence[int], levels: tuple[float, float]) -> Picture:
    """Picture images that a model made up."""
    return _picture(
        lambda theme: plots.samples(rows, image_shape, levels=levels, theme=theme),
        alt=f"{len(rows)} images that {name} made up, none of them chosen.",
        caption=f"{len(rows)} images that it made up: the first of seed 0, none of them chosen.",
    )


def interpolation(name: str, ways: Array, image_shape: Sequence[int], levels: tuple[float, float]) -> Picture:
    """Picture the ways from one image to another, straight in the code."""
    pairs, steps = ways.shape[:2]
    return _picture(
        lambda theme: plots.interpolations(ways, image_shape, levels=levels, theme=theme),
        alt=f"{pairs} rows of {steps} images: in each, {name} goes from the copy of one test image to "
        "that of another, in equal steps along a straight line in its code.",
        caption="From the copy of one test image to that of another, straight through the code.",
    )


def denoised(
    name: str, originals: Array, noisy: Array, restored: Array, image_shape: Sequence[int]
) -> Picture:
    """Picture noisy images above what a model restored and what it should have."""
    return _picture(
        lambda theme: plots.denoising(originals, noisy, restored, image_shape, theme=theme),
        alt=f"The first {len(originals)} test images in three rows: with the noise that {name} was "
        "trained on, as it restores them, and as they were.",
        caption="The first test images with the noise that it was trained on, what it makes of them, "
        "and what they were.",
    )


def unit_effects(model: Model, statistics: CodeStatistics) -> Array:
    """Return what each code unit adds to a copy, whatever the model is made of.

    Parameters
    ----------
    model : Model
        Only its ``inverse_transform`` is used.
    statistics : CodeStatistics
        Of its codes: each unit is switched on as strongly as it typically is.

    Returns
    -------
    ndarray of shape (units, ...)
        The copy of a code in which one unit is on, less the copy of the code of zeros. For a linear
        decoder these are its columns, each times the typical strength of its unit. At most
        ``SHOWN_UNITS`` units.
    """
    n_units = len(statistics.typical)
    alone = np.diag(statistics.typical).astype(np.float32)[:SHOWN_UNITS]
    silence = np.asarray(model.inverse_transform(np.zeros((1, n_units), dtype=np.float32)))
    effect: Array = np.asarray(model.inverse_transform(alone)) - silence
    return effect


def _picture(draw: Callable[[plots.Theme], Figure], *, alt: str, caption: str) -> Picture:
    light, dark = draw(plots.LIGHT), draw(plots.DARK)
    width, height = (round(100 * inches) for inches in light.get_size_inches())
    return {
        "alt": alt,
        "caption": caption,
        "width": width,
        "height": height,
        "light": plots.to_png(light),
        "dark": plots.to_png(dark),
    }


def _course(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    first, last = rows[0], rows[-1]
    validation = last.get("validation_loss")
    aside = "" if validation is None else f" (validation {validation:.4g})"
    return f"{name}: from {first['loss']:.4g} to {last['loss']:.4g}{aside} in {len(rows)} epochs."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
