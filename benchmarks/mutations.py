"""Files of every kind that Isthmus reads, and ways to damage them."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Checkpoint, Compressor, load
from isthmus.codec import Writer, send_columns
from isthmus.data import read_data, write_data
from isthmus.training.checkpoint import read_state

PREAMBLE, BLOCK_START = 14, 16

#: Models of an earlier version, of every class.
STORED = Path(__file__).parents[1] / "tests" / "stored_models"

Random = np.random.Generator
Damage = Callable[[bytes, list[bytes], Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    files : list of bytes
        Whole ones.
    read : callable
        Reads one from its bytes and uses what was read; returns how that went, in a word.
    damages : tuple of callables
        Ways to damage one: bytes, all whole ones and a generator to bytes.
    """

    files: list[bytes]
    read: Callable[[bytes], str]
    damages: tuple[Damage, ...]


def mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Return content with some random damage: bits, bytes, cuts, repetitions, zeros, splices."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        kind, place = random.integers(6), int(random.integers(max(1, len(data))))
        length = int(random.integers(1, 40))
        if kind == 0:
            data[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[place : place + length] = random.bytes(length)
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place : place + length] = bytes(length)
        else:
            data[place:] = others[int(random.integers(len(others)))][place:]
        data = data or bytearray(b"\0")
    return bytes(data)


#: What may stand where something else is expected.
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**27, 2**31 - 1, 2**31, 2**63, 10**9, 10**30, 1e308, -0.0, 0.5, float("nan")),
    *("", "nan", "auto", "../../x", "x" * 5000, "\x00", "<script>", "\x1b[2J"),
    *([], [[]], {}, {"a": {"b": []}}, [None, "a", 3], {"part": "dense"}, [1] * 1000, [1] * 300_000),
    *(
        [10**9] * 3,
        [[]] * 100_000,
        {str(number): number for number in range(1000)},
        json.loads("[" * 400 + "]" * 400),
    ),
)

#: The entries that were replaced since this was cleared: their names in each other, without the numbers in lists.
PLACES: Counter[str] = Counter()


def with_strange_json(tree: Any, random: Random) -> Any:
    """Return a JSON value with one entry of it replaced, removed, doubled or nested.

    Each entry is as likely as any other, and the items of a list are one entry.
    """
    entries: dict[str, list[tuple[Any, Any]]] = {}

    def visit(node: Any, above: str) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            name = f"{above}/{key}" if isinstance(node, dict) else f"{above}[]"
            entries.setdefault(name, []).append((node, key))
            if isinstance(node[key], dict | list):
                visit(node[key], name)

    def some() -> tuple[str, Any, Any]:
        name = list(entries)[int(random.integers(len(entries)))]
        return name, *entries[name][int(random.integers(len(entries[name])))]

    tree = json.loads(json.dumps(tree))
    visit(tree, "")
    name, node, key = some()
    PLACES[name] += 1
    choice = random.integers(8)
    if choice == 0:
        del node[key]
    elif choice == 1:
        _, other_node, other_key = some()
        node[key] = json.loads(json.dumps(other_node[other_key] if _has(other_node, other_key) else None))
    elif choice == 2:
        node[key] = [node[key]]
    elif choice == 3 and isinstance(node, dict):
        node["surprise"] = node[key]
    else:
        node[key] = STRANGE[int(random.integers(len(STRANGE)))]
    return tree


def _has(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else key < len(node)


def _strange_header(weights: bytes, random: Random) -> bytes:
    """Return a file of safetensors with one entry of its header changed, and the header's length made right."""
    length = int.from_bytes(weights[:8], "little")
    tree = with_strange_json({"tensors": json.loads(weights[8 : 8 + length])}, random).get("tensors")
    header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "little") + header + weights[8 + length :]


# Compressed files


def compressed() -> Kind:
    """Lossy, bounded and lossless ones; in half of them the checksums are made right after the damage."""
    rows, model = _rows(), _model()
    compressors = [
        Compressor(model, **options).fit(rows) for options in ({}, {"max_error": 0.05}, {"lossless": True})
    ]

    def read(data: bytes) -> str:
        found = sum(len(block) for block in compressors[0].decompress_from(io.BytesIO(data)))
        return "as many rows" if found == len(rows) else "other rows"

    files = [compressor.compress(rows) for compressor in compressors]
    return Kind(
        files, read, (mutated, lambda *given: _sealed(mutated(*given)), _strange_compressed, _long_block)
    )


def _strange_compressed(data: bytes, _: list[bytes], random: Random) -> bytes:
    """Return compressed rows with one entry of the header changed, and lengths and checksums made right."""
    length = struct.unpack_from("<I", data, 10)[0]
    tree = json.loads(zlib.decompress(data[PREAMBLE : PREAMBLE + length]))
    packed = zlib.compress(json.dumps(with_strange_json(tree, random)).encode())
    start = data[:10] + struct.pack("<I", len(packed)) + packed
    return start + struct.pack("<I", zlib.crc32(start)) + data[PREAMBLE + length + 4 :]


@cache
def _equal_codes(n_rows: int, n_codes: int) -> bytes:
    channel = Writer()
    if n_rows:
        send_columns(channel, np.zeros((n_rows, n_codes), dtype=np.int64), (n_rows, n_codes))
    return channel.content()


def _long_block(data: bytes, _: list[bytes], random: Random) -> bytes:
    """Return compressed rows whose first block promises other numbers of rows, and codes that are all the same."""
    length = struct.unpack_from("<I", data, 10)[0]
    tree = json.loads(zlib.decompress(data[PREAMBLE : PREAMBLE + length]))
    n_rows = int(random.choice([0, 1, 1000, 65_536, 65_537, 2**31, 2**32 - 1]))
    n_codes = int(random.choice([1, 8, 512]))
    content = _equal_codes(min(n_rows, 65_536), n_codes) + random.bytes(4 * int(random.integers(200)))
    if random.random() < 0.5:
        tree["exponents"] = [0] * n_codes
    packed = zlib.compress(json.dumps(tree).encode())
    start = data[:10] + struct.pack("<I", len(packed)) + packed
    header = start + struct.pack("<I", zlib.crc32(start))
    return (
        header + struct.pack("<4sIII", b"ROWS", n_rows, len(content), zlib.crc32(content, n_rows)) + content
    )


def _sealed(data: bytes) -> bytes:
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


# Models: a configuration, and weights behind it, as one string of bytes

_BETWEEN = b"\0--weights--\0"


def models() -> Kind:
    """Saved models: bytes of either file are damaged, values of the configuration replaced, weights renamed."""
    rows = _rows()
    files = []
    with tempfile.TemporaryDirectory() as folder:
        stored = [load(path) for path in sorted(STORED.iterdir())]
        for number, model in enumerate([_model(), *_other_models(), *stored]):
            path = Path(folder, str(number))
            model.save(path)
            parts = [(path / name).read_bytes() for name in ("config.json", "model.safetensors")]
            files.append(_BETWEEN.join(parts))

    def read(data: bytes) -> str:
        config, _, weights = data.partition(_BETWEEN)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_bytes(config)
            Path(folder, "model.safetensors").write_bytes(weights)
            model = load(folder)
            vars(model).pop("feature_names_in_", None)  # plain arrays have none
            if model.n_features_in_ > 10_000:  # rows of any size can be described, and are then the user's
                return "loaded, for long rows"
            codes = model.transform(
                rows[:5] if model.n_features_in_ == 64 else np.zeros((5, model.n_features_in_))
            )
            assert np.isfinite(codes).all(), "codes are not finite"
            assert np.isfinite(model.inverse_transform(codes)).all(), "copies are not finite"
        return "loaded"

    return Kind(
        files, read, (mutated, _strange_config, _strange_config, _strange_weights, _strange_model_header)
    )


def _strange_config(data: bytes, _: list[bytes], random: Random) -> bytes:
    config, between, weights = data.partition(_BETWEEN)
    tree = with_strange_json(json.loads(config), random)
    return json.dumps(tree).encode() + between + weights


def _strange_model_header(data: bytes, _: list[bytes], random: Random) -> bytes:
    config, between, weights = data.partition(_BETWEEN)
    return config + between + _strange_header(weights, random)


def _strange_weights(data: bytes, _: list[bytes], random: Random) -> bytes:
    config, between, weights = data.partition(_BETWEEN)
    tensors = load_tensors(weights)
    name = list(tensors)[int(random.integers(len(tensors)))]
    choice = random.integers(5)
    if choice == 0:
        del tensors[name]
    elif choice == 1:
        tensors["../" + name] = tensors[name].clone()
    elif choice == 2:
        tensors[name] = tensors[name].double().flatten()[:-1]
    elif choice == 3:
        tensors[name] = tensors[name] * float(random.choice([np.nan, np.inf, 1e38, -1, 0]))
    else:
        tensors[name] = tensors[name].to(dtype=_other_type(random))
    return config + between + save_tensors(tensors)


def _other_type(random: Random) -> Any:
    import torch

    return [torch.int8, torch.bool, torch.float64, torch.bfloat16, torch.int64][int(random.integers(5))]


# Checkpoints


def checkpoints() -> Kind:
    """Checkpoints in the middle of a training: bytes damaged, or values replaced and the checksum made right."""
    rows = _rows()

    def fitted(folder: str, **more: Any) -> Autoencoder:
        return Autoencoder(4, epochs=3, batch_size=100, random_state=0, **more).fit(rows, checkpoint=folder)

    with tempfile.TemporaryDirectory() as folder:
        with _quietly():
            fitted(Checkpoint(folder, every_seconds=0))  # type: ignore[arg-type]
        files = [path.read_bytes() for path in sorted(Path(folder).glob("stage-*"))]

    def read(data: bytes) -> str:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "stage-01-00000007.safetensors").write_bytes(data)
            model = fitted(folder)
            assert np.isfinite(model.transform(rows[:5])).all(), "codes are not finite"
        return "gone on from"

    return Kind(
        files,
        read,
        (mutated, _strange_state, _strange_state, lambda data, _, random: _strange_header(data, random)),
    )


def _strange_state(data: bytes, _: list[bytes], random: Random) -> bytes:
    from isthmus.training import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state")
        path.write_bytes(data)
        tensors: dict[str, Any] = {}
        tree = with_strange_json(checkpoint._packed(read_state(path), "", tensors), random)
        text = json.dumps(tree)
    header = {"format": checkpoint.FORMAT, "format_version": checkpoint.FORMAT_VERSION, "state": text}
    return save_tensors(tensors, {**header, "checksum": checkpoint._checksum(text, tensors)})


# Data files


def tables(ending: str) -> Callable[[], Kind]:
    """Files of one ending, read as data and trained on."""

    def kind() -> Kind:
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, rows in enumerate(
                [_rows()[:40, 20:28], np.arange(60).reshape(20, 3), _rows()[:9, 30:33] * 1e30]
            ):
                path = Path(folder, f"{number}{ending}")
                write_data(rows, path, columns=[f"c{column}" for column in range(rows.shape[1])])
                files.append(path.read_bytes())

        def read(data: bytes) -> str:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"rows{ending}")
                path.write_bytes(data)
                rows = read_data(path).rows
                _train(rows)
                assert sorted(item.name for item in Path(folder).iterdir()) == [path.name], (
                    "something was written"
                )
            return "read"

        return Kind(files, read, (mutated, *STRUCTURED.get(ending, ())))

    return kind


def _train(rows: NDArray[Any]) -> None:
    """Fit on what was read, if that is quickly done, and look at what comes."""
    if rows.size > 100_000 or len(rows) < 2:
        return
    codes = Autoencoder(1, epochs=1, random_state=0, code_activation="identity").fit_transform(rows)
    assert np.isfinite(codes).all(), "codes are not finite"


def _strange_csv(data: bytes, _: list[bytes], random: Random) -> bytes:
    fields = [line.split(b",") for line in data.splitlines()]
    line = fields[int(random.integers(len(fields)))]
    strange = (
        b"",
        b"nan",
        b"inf",
        b"1e999",
        b"1e-320",
        b'"',
        b'"a,b"',
        b"\0",
        b"\xff\xfe",
        b"0x10",
        b"1_0",
        b"1,2",
    )
    strange += (
        "٣".encode(),
        b"9" * 400,
        b" ",
        b"\r",
        b"=1+1",
        b"1" * 200_000,
        "½".encode(),
        b"True",
        b"1.0.0",
    )
    line[int(random.integers(len(line)))] = strange[int(random.integers(len(strange)))]
    return b"\n".join(b",".join(line) for line in fields)


def _strange_npy(data: bytes, _: list[bytes], random: Random) -> bytes:
    """Return an array file whose header promises something else."""
    shapes = (
        (2**40, 8),
        (-1, 8),
        (8,),
        (),
        (0, 3),
        (10**18, 10**18),
        (2, 2, 2, 2, 2),
        (40, 8.5),
        "x",
        (True, 8),
    )
    types = (
        "'|O'",
        "'<c16'",
        "'<f2'",
        "'>f8'",
        "'<U9'",
        "[('a', '<f8')]",
        "'<M8[s]'",
        "'|b1'",
        "'<f16'",
        "'<i8'",
        "9",
    )
    header = (
        f"{{'descr': {types[int(random.integers(len(types)))] if random.random() < 0.6 else repr('<f4')}, "
        f"'fortran_order': {random.random() < 0.5}, "
        f"'shape': {shapes[int(random.integers(len(shapes)))] if random.random() < 0.6 else (40, 8)}, }}"
    ).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data[128:]


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _strange_npz(data: bytes, _: list[bytes], random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = archive.read(archive.namelist()[0])
    inner = _strange_npy(content, [], random) if random.random() < 0.5 else content
    names = ("X.npy", "../../X.npy", "/X.npy", "X", "X.npy.npy", "", "C:\\X.npy", "y.npy")
    buffer = io.BytesIO()
    with (
        _quietly(),
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
    ):  # of names that are there twice
        archive.writestr(names[int(random.integers(len(names)))] or "X.npy", inner)
        if random.random() < 0.3:
            archive.writestr("X.npy", b"\0" * 10_000_000 if random.random() < 0.5 else b"pickle?")
    found = buffer.getvalue()
    return mutated(found, [found], random) if random.random() < 0.3 else found


def _strange_parquet(_: bytes, __: list[bytes], random: Random) -> bytes:
    import datetime
    import decimal

    import pyarrow
    import pyarrow.parquet

    columns: tuple[list[Any], ...] = (
        [1, None, 3], [[1], [2], [3]], ["a", "b", "c"], [{"a": 1}] * 3, [True, False, None], [2**63 - 1] * 3,
        [decimal.Decimal("1.5")] * 3, [datetime.date(2020, 1, 1)] * 3, [b"x"] * 3, [float("nan")] * 3, [1e308] * 3,
        [None] * 3,
    )  # fmt: skip
    chosen = [columns[int(place)] for place in random.integers(len(columns), size=int(random.integers(1, 4)))]
    buffer = io.BytesIO()
    names = ["a", "a", "<b>"] if random.random() < 0.3 else ["a", "b", "c"]
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(column) for column in chosen], names=names[: len(chosen)]
    )
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


STRUCTURED: dict[str, tuple[Damage, ...]] = {
    ".csv": (_strange_csv,),
    ".npy": (_strange_npy,),
    ".npz": (_strange_npz,),
    ".parquet": (_strange_parquet,),
}

#: Every kind of file; a new one is one more line.
KINDS: dict[str, Callable[[], Kind]] = {
    "compressed": compressed,
    "model": models,
    "checkpoint": checkpoints,
    "csv": tables(".csv"),
    "npy": tables(".npy"),
    "npz": tables(".npz"),
    "parquet": tables(".parquet"),
}


def _rows() -> NDArray[np.float32]:
    return (load_digits().images / 16).astype(np.float32).reshape(-1, 64)[:300]


def _model() -> Autoencoder:
    return Autoencoder(8, hidden_layers=(32,), epochs=5, random_state=0).fit(_rows())


def _other_models() -> list[Any]:
    from isthmus import ConvolutionalAutoencoder, RestrictedBoltzmannMachine, VectorQuantizedAutoencoder

    rows = _rows()
    quick = {"epochs": 1, "random_state": 0}
    return [
        ConvolutionalAutoencoder(4, **quick).fit(rows.reshape(-1, 8, 8)),
        VectorQuantizedAutoencoder(4, **quick).fit(rows),
        RestrictedBoltzmannMachine(4, **quick).fit(rows),
        Autoencoder(4, network="transformer", **quick).fit(rows),
    ]
