"""The pictures of a report, each in a light and a dark version and with words for who cannot see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus import plots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from isthmus.comparison import Model
    from isthmus.metrics import CodeStatistics

    Array: TypeAlias = NDArray[Any]
    Picture: TypeAlias = dict[str, Any]

__all__ = ["activity", "copies", "effects", "losses", "unit_effects", "worst"]

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
