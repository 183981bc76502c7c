"""Rows and their codes as bytes; nothing here knows a network or needs torch.

    channel.py     integers through a range coder, in both directions by the same words
    tables.py      integer frequencies that learn while they are used
    columns.py     quantised codes
    levels.py      rows as integers, copies as predictions that every machine agrees on
    residuals.py   what copies leave to be told
    container.py   the file around it all, which FORMAT.md describes

:class:`isthmus.Compressor` joins them to a model.
"""

from isthmus.codec.channel import Channel, Reader, Writer, require_coder
from isthmus.codec.columns import LARGEST, send_columns
from isthmus.codec.container import (
    MOST_ROWS,
    MOST_VALUES,
    Block,
    Header,
    count_rows,
    exponents_of,
    header_bytes,
    read_blocks,
    read_header,
    steps_of,
    write_block,
    write_end,
)
from isthmus.codec.levels import Levels, exact_levels, levels_within, send_levels

__all__ = [
    "LARGEST",
    "MOST_ROWS",
    "MOST_VALUES",
    "Block",
    "Channel",
    "Header",
    "Levels",
    "Reader",
    "Writer",
    "count_rows",
    "exact_levels",
    "exponents_of",
    "header_bytes",
    "levels_within",
    "read_blocks",
    "read_header",
    "require_coder",
    "send_columns",
    "send_levels",
    "steps_of",
    "write_block",
    "write_end",
]
