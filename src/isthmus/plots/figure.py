"""Themes, and figures as files."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._checks import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DARK",
    "DPI",
    "FONT_SIZE",
    "LEFT",
    "LIGHT",
    "RIGHT",
    "WIDTH",
    "Theme",
    "blank",
    "figure_of",
    "framed",
    "quiet",
    "save",
    "shortened",
    "to_png",
    "write",
]

DPI = 200  # sharp on a phone's screen and in print
WIDTH = 7.0  # inches; the pages show figures at about this size
FONT_SIZE = 10.5  # points; still to be read where a phone shows the figure at half its size
LONGEST_NAME = 18  # characters
LEFT, BELOW = 0.7, 0.52  # inches for the numbers and names of the axes
RIGHT = 1.25  # inches for the key


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    Attributes
    ----------
    background, text, muted, faint : str
        The page, what is written on it, what is written less loudly, and lines to hold on to.
    series : tuple of str
        One colour for each thing compared, told apart also by colour-blind readers (after
        M. Okabe and K. Ito, "Color Universal Design", 2008) and readable as text.
    diverging : tuple of three str
        Below zero, zero, above zero.
    """

    background: str
    text: str
    muted: str
    faint: str
    series: tuple[str, ...]
    diverging: tuple[str, str, str]


LIGHT = Theme(
    background="#ffffff",
    text="#1f2328",
    muted="#5d6670",
    faint="#e3e6ea",
    series=("#0068a8", "#b84a00", "#007a5a", "#a34a80", "#7a6200", "#4c5560"),
    diverging=("#0b5fa5", "#f4f4f2", "#b84a00"),
)
DARK = Theme(
    background="#14171b",
    text="#e6e8eb",
    muted="#9aa4af",
    faint="#2f353c",
    series=("#5db7ec", "#f2935c", "#45c8a0", "#e39cc6", "#e0c654", "#b4bcc6"),
    diverging=("#62b5f5", "#22272d", "#ff9a55"),
)


def blank(height: float, theme: Theme, width: float = WIDTH) -> Figure:
    """Return an empty figure of that size in inches, independent of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor=theme.background)


def quiet(axes: Axes, theme: Theme) -> None:
    """Leave of the axes what is needed to read a value: pale lines and small numbers."""
    axes.set_facecolor(theme.background)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=theme.faint, linewidth=0.8, linestyle="-", alpha=1)
    axes.grid(visible=False, axis="x")
    axes.tick_params(which="both", length=0, pad=4, labelsize=FONT_SIZE - 1, labelcolor=theme.muted)


def framed(
    across: float,
    down: float,
    right: float,
    theme: Theme,
    names: Sequence[str] = ("code 1", "code 2"),
) -> Axes:
    """Return axes of that size in inches in a figure of their own, both named."""
    top = 0.1  # half a line of writing, for a number at the very top
    width, height = LEFT + across + right, BELOW + down + top
    figure = blank(height, theme, width)
    frame = figure.add_axes((LEFT / width, BELOW / height, across / width, down / height))
    quiet(frame, theme)
    frame.grid(visible=False)
    frame.set_xlabel(names[0], color=theme.text, fontsize=FONT_SIZE)
    frame.set_ylabel(names[1], color=theme.text, fontsize=FONT_SIZE)
    return frame


def figure_of(frame: Axes) -> Figure:
    """Return the figure that axes are in."""
    figure: Figure = frame.figure  # type: ignore[assignment]  # it is in no figure within a figure
    return figure


def shortened(name: str) -> str:
    """Return a name that fits into an inch or so, cut if it is very long."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def write(axes: Axes, place: tuple[float, float], name: str, **style: Any) -> None:
    """Write a name where there is an inch for it: smaller if it is long, cut if it is very long."""
    shown = shortened(name)
    size = FONT_SIZE * min(1.0, 11 / max(1, len(shown)))
    # A name may hold a dollar sign: nothing here is meant as mathematics.
    axes.text(*place, shown, fontsize=size, parse_math=False, **style)


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    r"""Return a figure as the bytes of a PNG file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What one of the functions here returned, or any other.
    dpi : int
        Pixels per inch.

    Returns
    -------
    bytes
        The same figure gives the same bytes; they name Isthmus as the software that wrote them.

    Examples
    --------
    >>> from isthmus.plots import code_activity
    >>> to_png(code_activity([3.0, 0.5], [1.0, 0.2]))[:4]
    b'\x89PNG'
    """
    return _encoded(figure, "png", dpi)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a file, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What one of the functions here returned, or any other.
    path : path-like
        Where to; the ending says the format: .png, .svg, .pdf ... An existing file is replaced.

    Raises
    ------
    InvalidParameterError
        If Matplotlib has no format of that ending.
    OSError
        If the file cannot be written.
    """
    target = Path(path)
    known = figure.canvas.get_supported_filetypes()
    file_format = check_choice(
        target.suffix.lower().lstrip("."), known, parameter="path ending", owner="save"
    )
    content = _encoded(figure, file_format, DPI)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _encoded(figure: Figure, file_format: str, dpi: int) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Software": "Isthmus"} if file_format == "png" else None
    figure.savefig(buffer, format=file_format, dpi=dpi, facecolor=figure.get_facecolor(), metadata=metadata)
    return buffer.getvalue()
