"""Commands that make bytes of rows and rows of bytes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.cli.console import print_json, print_lines, say_shape
from isthmus.cli.inputs import check_output, load_model, names_of, read_rows, rows_for
from isthmus.cli.models import Flag, Output
from isthmus.errors import DataError, OutputExistsError


def compress(
    model: str,
    data: str,
    /,
    *,
    output: Output,
    step: float | None = None,
    target_bpp: float | None = None,
    max_error: float | None = None,
    lossless: Flag = False,
    force: Flag = False,
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Compress the rows of DATA with a model.

    Without an option, codes are rounded so that the copies' squared error grows by at most 5%.

    Parameters
    ----------
    model
        A saved model. It is needed again to decompress.
    data
        Rows to compress. A .npy file may be larger than memory.
    output
        File to write; by custom it ends in .isth.
    step
        How far apart two rounded codes are, in the unit of the data.
    target_bpp
        Bits per value that the file takes at most.
    max_error
        How far any value may be from its original.
    lossless
        Keep rows bit for bit.
    force
        Replace the file if it exists.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object.
    """
    from isthmus.codec import require_coder
    from isthmus.data import check_target, replacing
    from isthmus.estimators import Compressor
    from isthmus.estimators.compressor import block_rows

    target = Path(output)
    check_target(target, overwrite=force)
    require_coder()
    fitted = load_model(model, device)
    source = read_rows(data)
    rows = rows_for(fitted, source)
    size = block_rows(rows.shape[1:])
    started = time.perf_counter()
    compressor = Compressor(
        fitted,
        step="auto" if step is None else step,
        target_bpp=target_bpp,
        max_error=max_error,
        lossless=lossless,
    ).fit(rows[:size])
    blocks = (np.asarray(rows[start : start + size]) for start in range(0, len(rows), size))
    try:
        with replacing(target) as file:
            compressor.compress_to(blocks, file)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}.") from error
    _say_size(output, source.name, rows, target.stat().st_size, time.perf_counter() - started, json)


def decompress(
    model: str, file: str, /, *, output: Output, force: Flag = False, device: str = "auto", json: Flag = False
) -> None:
    """Write the rows of a file that 'isthmus compress' made.

    Parameters
    ----------
    model
        The model it was compressed with.
    file
        The compressed file.
    output
        File to write: .npy (rows may be more than memory holds), .npz, .csv or .parquet.
    force
        Replace the file if it exists.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object.
    """
    from isthmus.codec import count_rows, require_coder
    from isthmus.data import write_blocks
    from isthmus.estimators import Compressor

    check_output(output, force=force)
    require_coder()
    fitted = load_model(model, device)
    compressor = Compressor(fitted)
    try:
        with Path(file).open("rb") as stream:
            rows = count_rows(stream)
            blocks = compressor.decompress_from(stream)
            shape = write_blocks(blocks, rows, output, columns=names_of(fitted), overwrite=force)
    except OSError as error:
        if isinstance(error, OutputExistsError):
            raise
        raise DataError(f"{error.filename or file}: {error.strerror or error}.") from error
    say_shape(output, shape, json)


def _say_size(output: str, source: str, rows: Any, size: int, seconds: float, json: bool) -> None:
    bits = 8 * size / rows.size
    if json:
        print_json(
            {
                "output": output,
                "data": source,
                "rows": len(rows),
                "bytes": size,
                "bits_per_value": bits,
                "share": size / rows.nbytes,
                "seconds": seconds,
            }
        )
        return
    print_lines(
        f"{output}: {size:,} bytes for {len(rows):,} rows of {source}, {bits:.3g} bits per value, "
        f"{100 * size / rows.nbytes:.2g}% of {rows.nbytes:,} bytes"
    )
