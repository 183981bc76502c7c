"""Pictures of what a model does, as Matplotlib figures.

Each function returns a :class:`matplotlib.figure.Figure` that belongs to nobody: pyplot, its list
of open figures and ``rcParams`` are never touched. Show it in a notebook by naming it, write it
with :func:`save`. Colours come from a :class:`Theme`, of which there are two: ``LIGHT`` for paper
and white pages, and ``DARK``.

    figure.py   themes, and figures as files
    images.py   pictures of pictures: copies, worst copies, filters
    curves.py   losses over epochs, activity of code units
    latent.py   pictures of the code: where rows lie, grids, samples, ways between images, denoising
"""

from isthmus.plots.curves import code_activity, loss_curves
from isthmus.plots.figure import DARK, LIGHT, Theme, save, to_png
from isthmus.plots.images import filters, reconstructions, worst_reconstructions
from isthmus.plots.latent import denoising, interpolations, latent_scatter, manifold, samples

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "code_activity",
    "denoising",
    "filters",
    "interpolations",
    "latent_scatter",
    "loss_curves",
    "manifold",
    "reconstructions",
    "samples",
    "save",
    "to_png",
    "worst_reconstructions",
]
