"""Damaged files: nothing but our own errors, in bounded memory and time.

    python benchmarks/fuzz.py [--files 5000] [--seed 0]

Compressed files (lossy, bounded and lossless) are changed at random: bits flipped, bytes replaced, cut, doubled,
zeroed, spliced with each other; in half of them the checksums are then made right again, so that what they hold is
reached. Each is decompressed. Writes the counts into benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import io
import resource
import struct
import time
import zlib
from collections import Counter
from datetime import date

import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Compressor
from isthmus.errors import IsthmusError
from recording import machine, write_between

PREAMBLE, BLOCK_START = 14, 16


def mutated(content: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """Return content with some random damage."""
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        kind, place = generator.integers(6), int(generator.integers(max(1, len(data))))
        length = int(generator.integers(1, 40))
        if kind == 0:
            data[place] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            data[place : place + length] = generator.bytes(length)
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place : place + length] = bytes(length)
        else:
            other = others[int(generator.integers(len(others)))]
            data[place:] = other[place:]
        data = data or bytearray(b"\0")
    return bytes(data)


def sealed(data: bytes) -> bytes:
    """Return data with right checksums of the header and the first block, where they can be found."""
    fixed = bytearray(data)
    if len(fixed) < PREAMBLE + 4:
        return data
    header_end = PREAMBLE + struct.unpack_from("<I", fixed, 10)[0]
    if header_end + 4 + BLOCK_START > len(fixed):
        return data
    struct.pack_into("<I", fixed, header_end, zlib.crc32(fixed[:header_end]))
    start = header_end + 4
    rows, length = struct.unpack_from("<II", fixed, start + 4)
    content = fixed[start + BLOCK_START : start + BLOCK_START + length]
    if rows < 2**32 and len(content) == length:
        struct.pack_into("<I", fixed, start + 12, zlib.crc32(content, rows))
    return bytes(fixed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    X = (load_digits().images / 16).astype(np.float32)[:300]
    model = Autoencoder(8, hidden_layers=(32,), epochs=5, random_state=0).fit(X)
    compressors = [
        Compressor(model, **options).fit(X) for options in ({}, {"max_error": 0.05}, {"lossless": True})
    ]
    files = [compressor.compress(X) for compressor in compressors]
    generator = np.random.default_rng(arguments.seed)
    counts: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(arguments.files):
        data = mutated(files[number % 3], files, generator)
        data = sealed(data) if generator.random() < 0.5 else data
        started = time.perf_counter()
        try:
            rows = sum(len(block) for block in compressors[0].decompress_from(io.BytesIO(data)))
            same = data in files
            counts["unchanged" if same else f"read, {'as many' if rows == len(X) else 'other'} rows"] += 1
        except IsthmusError as error:
            counts[type(error).__name__] += 1
        slowest = max(slowest, time.perf_counter() - started)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    lines = [
        f"{machine()}; {date.today().isoformat()}, seed {arguments.seed}.",
        "",
        f"{arguments.files:,} damaged compressed files: "
        + ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
        + f". The slowest took {slowest:.2f} s; memory grew by {grown:.0f} MiB at most. "
        "What was read had its checksums made right after the damage.",
    ]
    print("\n".join(lines))
    write_between("fuzz", "end of fuzz", lines)


if __name__ == "__main__":
    main()
