"""Pictures of what a model does, as Matplotlib figures.

Each function returns a :class:`matplotlib.figure.Figure` that belongs to nobody: pyplot, its list
of open figures and ``rcParams`` are never touched. Show it in a notebook by naming it, write it
with :func:`save`. Colours come from a :class:`Theme`, of which there are two: ``LIGHT`` for paper
and white pages, and ``DARK``.

    figure.py        themes, and figures as files
    images.py        pictures of pictures: copies, differences, filters, exemplars
    series.py        series and their copies as curves
    curves.py        losses over epochs, activity of code units
    errors.py        how errors are spread over the rows
    correlations.py  which code units say the same
    scatter.py       where rows lie in the code
    latent.py        what is decoded: grids, samples, ways between images, denoising
    rates.py         errors over bytes
"""

from isthmus.plots.correlations import code_correlations
from isthmus.plots.curves import code_activity, loss_curves
from isthmus.plots.errors import error_histogram
from isthmus.plots.figure import DARK, LIGHT, Theme, save, to_png
from isthmus.plots.images import differences, exemplars, filters, reconstructions, worst_reconstructions
from isthmus.plots.latent import denoising, interpolations, manifold, samples
from isthmus.plots.rates import rate_distortion
from isthmus.plots.scatter import latent_scatter
from isthmus.plots.series import series_copies

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "code_activity",
    "code_correlations",
    "denoising",
    "differences",
    "error_histogram",
    "exemplars",
    "filters",
    "interpolations",
    "latent_scatter",
    "loss_curves",
    "manifold",
    "rate_distortion",
    "reconstructions",
    "samples",
    "save",
    "series_copies",
    "to_png",
    "worst_reconstructions",
]
