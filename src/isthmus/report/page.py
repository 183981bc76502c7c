"""From the summary to one page that needs nothing else, and to a folder with its pictures."""

from __future__ import annotations

import base64
import io
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.comparison import EQUAL_WITHIN, readable_percent
from isthmus.errors import OutputExistsError
from isthmus.plots.scatter import ON_DARK, ON_LIGHT

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["check_free", "render", "write_report"]

PAGE, PICTURES = "index.html", "pictures"
FLAT_UNTIL = 150_000  # bytes of a PNG picture that has few colours and many equal pixels


def render(summary: Mapping[str, Any]) -> str:
    """Return the report as one HTML page.

    Parameters
    ----------
    summary : mapping
        What :func:`isthmus.report.summarise` returned.

    Returns
    -------
    str
        A page with its style and its pictures inside, as WebP; it runs no script and loads nothing.
        Every text of the summary is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("isthmus.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a summary that lacks a part is a mistake, not an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimals": _decimals,
        "data_url": _data_url,
        "thousands": _thousands,
        "change": _change,
    }
    return environment.get_template("page.html").render(
        summary, palette=list(zip(ON_LIGHT, ON_DARK, strict=True))
    )


def write_report(
    summary: Mapping[str, Any], folder: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the page as ``index.html``, and its pictures as PNG files in ``pictures``.

    The folder appears complete or not at all. In an existing folder each file is replaced as a
    whole, the page last.

    Parameters
    ----------
    summary : mapping
        What :func:`isthmus.report.summarise` returned.
    folder : path-like
        The folder to write; its parents are made if need be.
    overwrite : bool
        Write into a folder that holds something already. The page is replaced, and so are pictures
        that an earlier report left; any other file stays as it is.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputExistsError
        If the folder is a file, or holds something and ``overwrite`` is False.
    OSError
        If the folder cannot be written.
    """
    target = Path(folder)
    check_free(target, overwrite=overwrite)
    page = render(summary)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile, which would make a folder that only its owner can read.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        (draft / PICTURES).mkdir(parents=True)
        (draft / PAGE).write_text(page, encoding="utf-8")
        for stem, picture in summary["pictures"].items():
            (draft / PICTURES / f"{stem}.png").write_bytes(picture["light"])
        _move_in(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target / PAGE


def check_free(target: Path, *, overwrite: bool) -> None:
    """Raise if a report cannot be written to a folder; cheap enough to ask before training."""
    for folder in (target, target / PICTURES):
        if folder.exists() and not folder.is_dir():
            raise OutputExistsError(f"{folder} is a file, but the report needs a folder of that name.")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise OutputExistsError(
            f"{target} exists and holds files. Choose another folder, or ask for it to be overwritten."
        )


def _move_in(draft: Path, target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        draft.rename(target)
        return
    pictures = target / PICTURES
    pictures.mkdir(exist_ok=True)
    fresh = {path.name for path in (draft / PICTURES).iterdir()}
    for name in fresh:
        (draft / PICTURES / name).replace(pictures / name)
    (draft / PAGE).replace(target / PAGE)
    for path in pictures.glob("*.png"):
        if path.name not in fresh and _is_ours(path):
            path.unlink()


def _is_ours(path: Path) -> bool:
    """Say whether an Isthmus report wrote the picture, which its PNG header tells."""
    with path.open("rb") as stream:
        return b"Software\x00Isthmus" in stream.read(512)


def _decimals(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    rounded = round(value, digits) + 0.0  # the sum makes -0.0 plain zero
    return f"{rounded:,.{digits}f}".replace("-", "−")


def _thousands(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _data_url(content: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(_webp(content)).decode('ascii')}"


def _webp(content: bytes) -> bytes:
    """Return a PNG picture as WebP, which takes a page about half the bytes.

    Most pictures are a few flat colours and their edges: 256 colours are enough, and without further
    loss they are small. Thousands of points or grey pixels would come out large, and nobody sees
    what the usual loss takes away from them.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")  # figures have no holes, and a fourth channel costs bytes
    how: dict[str, Any] = {"quality": 80}
    if len(content) <= FLAT_UNTIL:
        # This method keeps each colour within a few hundredths; the default one is far off for rare ones.
        method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
        picture = picture.quantize(256, method=method, dither=dither).convert("RGB")
        how = {"lossless": True, "quality": 60}
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", method=4, **how)
    return buffer.getvalue()


def _change(relative: float) -> str:
    """Return a squared error relative to PCA's in a few letters: −44%, +12%, × 3.1, or =."""
    if relative >= 2:
        return f"× {relative:.1f}" if relative <= 100 else "× 100+"
    change = relative - 1
    if abs(change) <= EQUAL_WITHIN:
        return "="
    return ("+" if change > 0 else "−") + readable_percent(abs(change))
