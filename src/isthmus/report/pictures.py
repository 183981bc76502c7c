"""The pictures of a report, each in a light and a dark version and with words for who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus import plots
from isthmus.plots.scatter import MOST_POINTS
from isthmus.plots.series import MOST_CHANNELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from isthmus.comparison import Model
    from isthmus.metrics import CodeStatistics
    from isthmus.report.maps import Plane

    Array: TypeAlias = NDArray[Any]
    Picture: TypeAlias = dict[str, Any]

__all__ = [
    "activity",
    "chains",
    "copies",
    "correlations",
    "curves",
    "denoised",
    "drawn_samples",
    "effects",
    "errors",
    "examples",
    "exemplars",
    "interpolation",
    "latent_map",
    "layers",
    "losses",
    "manifold",
    "rates",
    "unit_effects",
    "weights",
]

SHOWN_UNITS = 64  # of what a unit adds, more pictures than these are not looked at
ROUNDING = 1e-4  # errors that are closer, as a share of the mean error, count as equal


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


def rates(points: Sequence[Mapping[str, Any]]) -> Picture:
    """Picture what files cost and lose."""
    names = list(dict.fromkeys(point["name"] for point in points))
    courses = [_rate_course(name, [point for point in points if point["name"] == name]) for name in names]
    return _picture(
        lambda theme: plots.rate_distortion(points, theme=theme),
        alt="Squared error by bits per value, both logarithmic. " + " ".join(courses),
        caption="What files cost and what they lose: further down and to the left is better. Models are solid "
        "lines, codecs dashed; an open mark at the lower edge has no error at all.",
    )


def examples(
    name: str,
    originals: Array,
    copies_of_them: Array,
    errors: Array,
    ranks: Sequence[str],
    image_shape: Sequence[int],
) -> Picture:
    """Picture pairs and their differences from the best to the worst."""
    words = [f"{rank}\n{_brief(error)}" for rank, error in zip(ranks, errors, strict=True)]
    return _picture(
        lambda theme: plots.differences(originals, copies_of_them, words, image_shape, theme=theme),
        alt=f"{len(errors)} test images from the one that {name} copies best to the worst, their copies and "
        f"the differences; the squared errors go from {errors[0]:.3g} up to {errors[-1]:.3g}.",
        caption="From the test images that it copies best to the worst, by the rank of their squared error, which "
        "stands below. In the differences orange is light that the copy adds, blue what it lacks.",
    )


def curves(
    name: str, originals: Array, copies_of_them: Array, errors: Array, ranks: Sequence[str]
) -> Picture:
    """Picture series and their copies from the best to the worst."""
    words = [f"{rank}, squared error {_brief(error)}" for rank, error in zip(ranks, errors, strict=True)]
    channels = originals.shape[2] if originals.ndim == 3 else 1
    some = (
        f" Of {channels} channels the {MOST_CHANNELS} liveliest are drawn."
        if channels > MOST_CHANNELS
        else ""
    )
    return _picture(
        lambda theme: plots.series_copies(originals, copies_of_them, words, theme=theme),
        alt=f"Curves of {len(errors)} test series, those that {name} copies {_listed(list(ranks))}, with their "
        f"copies; the squared errors are {_listed([_brief(error) for error in errors])}.",
        caption=f"The test series that it copies {_listed(list(ranks))}, and the copies.{some}",
    )


def errors(name: str, by_name: Mapping[str, Array]) -> Picture:
    """Picture how the errors of the rows are spread, beside those of a baseline."""
    medians = [f"{of} {np.median(values):.3g}" for of, values in by_name.items()]
    others = _listed([other for other in by_name if other != name])
    own, theirs = (by_name[key] for key in (name, others))
    better = own < theirs - ROUNDING * theirs.mean()
    return _picture(
        lambda theme: plots.error_histogram(by_name, theme=theme),
        alt=f"Histogram of the squared errors of {len(own):,} test rows by {name}, and by {others} over it. "
        f"Medians: {_listed(medians)}.",
        caption=f"Distribution of the squared error over the test rows, beside that of {others}. {name} reconstructs "
        f"{float(better.mean()):.0%} of the rows better.",
    )


def exemplars(
    name: str,
    rows: Array,
    units: Sequence[int],
    n_units: int,
    image_shape: Sequence[int],
    levels: tuple[float, float],
) -> Picture:
    """Picture the rows that drive each unit hardest."""
    which = f"the {len(units)} that vary most" if len(units) < n_units else "all"
    return _picture(
        lambda theme: plots.exemplars(rows, units, image_shape, levels=levels, theme=theme),
        alt=f"For {which} of the {n_units} code units of {name}, the {rows.shape[1]} test images with the "
        "largest code, the largest first.",
        caption=f"What its code units look for: the {rows.shape[1]} test images with the largest code, for {which} "
        f"of its {n_units} units. The number of the unit stands before them.",
    )


def correlations(name: str, codes: Array, statistics: CodeStatistics) -> Picture:
    """Picture which units say the same."""
    table = _correlations(codes[:, :SHOWN_UNITS], statistics)
    shown = f"the first {len(table)}" if len(table) < codes.shape[1] else "all"
    apart = abs(table[np.triu_indices(len(table), 1)])
    known = apart[np.isfinite(apart)]
    facts = "None can be told." if known.size == 0 else (
        f"Without their sign they have a mean of {known.mean():.2f} and reach {known.max():.2f}."
    )  # fmt: skip
    return _picture(
        lambda theme: plots.code_correlations(table, theme=theme),
        alt=f"Square of the correlations between {shown} of the {codes.shape[1]} code units of {name}. {facts}",
        caption=f"How {shown} of its {codes.shape[1]} code units go together over the test rows: orange units rise "
        f"together, of blue ones one falls as the other rises. {facts}",
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


def latent_map(name: str, plane: Plane, labels: Array | None = None) -> Picture:
    """Picture where the test rows lie on a plane."""
    points, (across, up) = plane.points, plane.names
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    rows = f"{len(points):,} test rows"
    shown = rows if len(points) <= MOST_POINTS else f"{MOST_POINTS:,} of {rows}, evenly taken,"
    colours = "" if labels is None else f", coloured by {len(set(labels.tolist())):,} different labels"
    return _picture(
        lambda theme: plots.latent_scatter(points, labels, names=plane.names, theme=theme),
        alt=f"A point for each of {shown} at its code by {name}{colours}. {across.capitalize()} goes from "
        f"{left:.3g} to {right:.3g}, {up} from {low:.3g} to {high:.3g}.",
        caption=plane.caption
        + ("." if labels is None else ", coloured by label.")
        + ("" if len(points) <= MOST_POINTS else f" {MOST_POINTS:,} of {len(points):,} are drawn."),
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


def _correlations(codes: Array, statistics: CodeStatistics) -> Array:
    """Return the correlations between units, NaN for those that never change."""
    centred = codes.astype(np.float64)
    centred -= centred.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    lengths[[unit for unit in statistics.dead if unit < len(lengths)]] = np.nan
    lengths[lengths == 0] = np.nan
    between: Array = np.clip((centred / lengths).T @ (centred / lengths), -1, 1)
    return between


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


def _brief(error: float) -> str:
    return f"{error:.1f}" if error >= 1 else f"{error:.2g}"


def _rate_course(name: str, points: Sequence[Mapping[str, Any]]) -> str:
    ends = [f"{point['sse']:.3g} at {point['bits_per_value']:.3g} bits" for point in (points[0], points[-1])]
    return f"{name}: {ends[0]}." if len(points) == 1 else f"{name}: from {ends[0]} to {ends[1]}."
