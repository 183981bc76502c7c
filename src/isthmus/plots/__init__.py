"""Pictures of what a model does, as Matplotlib figures.

Each function returns a :class:`matplotlib.figure.Figure` that belongs to nobody: pyplot, its list
of open figures and ``rcParams`` are never touched. Show it in a notebook by naming it, write it
with :func:`save`. Colours come from a :class:`Theme`, of which there are two: ``LIGHT`` for paper
and white pages, and ``DARK``.

    figure.py   themes, and figures as files
    images.py   pictures of pictures: copies, worst copies, filters
    curves.py   losses over epochs, activity of code units
"""

from isthmus.plots.curves import code_activity, loss_curves
from isthmus.plots.figure import DARK, LIGHT, Theme, save, to_png
from isthmus.plots.images import filters, reconstructions, worst_reconstructions

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "code_activity",
    "filters",
    "loss_curves",
    "reconstructions",
    "save",
    "to_png",
    "worst_reconstructions",
]
