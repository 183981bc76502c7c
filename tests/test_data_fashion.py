"""Fashion-MNIST: from a folder, from the cache, and from a server that does not always behave."""

import gzip
import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from isthmus.data import fashion, load_fashion_mnist, read_data
from isthmus.data.download import RemoteFile, fetch
from isthmus.errors import DataError, DownloadError, InvalidParameterError

NAMES = [file.name for file in fashion.FILES]


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def small_arrays():
    random = np.random.default_rng(0)
    shapes = [(5, 4, 3), (5,), (2, 4, 3), (2,)]
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]


ARRAYS = small_arrays()
PACKED = {name: gzip.compress(idx_bytes(array), mtime=0) for name, array in zip(NAMES, ARRAYS, strict=True)}
TABLE = tuple(RemoteFile(name, hashlib.sha256(body).hexdigest(), len(body)) for name, body in PACKED.items())


class Server:
    """A server on this machine that answers with PACKED, and otherwise as ``script`` says, in turn."""

    def __init__(self):
        self.requests = []
        self.script = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                name = Path(self.path).name
                status, body, length = server.answer(name)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/data/"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, name):
        body = PACKED[name]
        kind = self.script.pop(0) if self.script else "good"
        return {
            "good": (200, body, len(body)),
            "cut": (200, body[:10], len(body)),
            "other": (200, bytes(len(body)), len(body)),
            "longer": (200, body + b"more", len(body) + 4),
            "busy": (503, b"", 0),
            "gone": (404, b"", 0),
        }[kind]

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.stop()


def get(server, folder, **options):
    return fetch(TABLE[0], base_url=server.url, folder=folder, pause=0, **options)


# --- one file ------------------------------------------------------------------------------------


def test_a_good_download_is_kept_and_reported(server, tmp_path):
    reports = []
    path = get(server, tmp_path / "new" / "cache", progress=lambda *report: reports.append(report))
    assert path.read_bytes() == PACKED[NAMES[0]]
    assert reports[-1] == (NAMES[0], TABLE[0].size, TABLE[0].size)
    assert server.requests == [f"/data/{NAMES[0]}"]


def test_what_is_in_the_cache_is_not_asked_for(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.requests) == 1


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    (tmp_path / NAMES[0]).write_bytes(bytes(TABLE[0].size))
    assert get(server, tmp_path).read_bytes() == PACKED[NAMES[0]]


@pytest.mark.parametrize("script", [["busy", "busy"], ["cut"], ["busy", "cut"]])
def test_passing_failures_are_tried_again(server, tmp_path, script):
    server.script = list(script)
    assert get(server, tmp_path).read_bytes() == PACKED[NAMES[0]]
    assert len(server.requests) == len(script) + 1


@pytest.mark.parametrize(
    ("script", "n_requests", "message"),
    [
        (["busy"] * 3, 3, r"answered with 503 Service Unavailable\. \(3 attempts\)"),
        (["cut"] * 3, 3, r"(ended after 10 of \d+ bytes|broke off).* \(3 attempts\)"),
        (["gone"], 1, r"/data/train-images-idx3-ubyte\.gz was answered with 404 Not Found"),
        (["other"], 1, "is not the expected file: its SHA-256 is .* and should be"),
        (["longer"], 1, r"is not the expected file: it is larger than \d+ bytes"),
    ],
)
def test_lasting_failures_leave_nothing_behind(server, tmp_path, script, n_requests, message):
    server.script = list(script)
    with pytest.raises(DownloadError, match=message):
        get(server, tmp_path)
    assert len(server.requests) == n_requests
    assert list(tmp_path.iterdir()) == []


def test_the_pause_doubles(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("isthmus.data.download.time.sleep", pauses.append)
    server.script = ["busy"] * 3
    with pytest.raises(DownloadError):
        fetch(TABLE[0], base_url=server.url, folder=tmp_path)
    assert pauses == [1, 2]


def test_an_interrupted_download_leaves_nothing_behind(server, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there(server, tmp_path):
    server.stop()
    with pytest.raises(DownloadError, match=r"cannot be reached: Connection refused\. \(3 attempts\)"):
        get(server, tmp_path)


def test_a_server_that_says_nothing_times_out(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(TABLE[0], base_url=url, folder=tmp_path, pause=0, timeout=0.05)


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be kept: Not a directory"):
        get(server, tmp_path / "file" / "cache")


@pytest.mark.parametrize("url", ["file:///etc/", "ftp://example.org/", "example.org"])
def test_only_http_is_spoken(url, tmp_path):
    with pytest.raises(
        InvalidParameterError, match=r"'base_url' parameter must be an http or https address\. Got"
    ):
        load_fashion_mnist(cache=tmp_path, base_url=url)


# --- the data set --------------------------------------------------------------------------------


@pytest.fixture
def small_table(monkeypatch):
    monkeypatch.setattr(fashion, "FILES", TABLE)


def check_arrays(splits):
    for split, images, labels in zip(splits, ARRAYS[::2], ARRAYS[1::2], strict=True):
        assert len(split) == len(images)
        assert split.image_shape == (4, 3)
        np.testing.assert_array_equal(split.pixels, images.reshape(len(images), -1))
        np.testing.assert_array_equal(split.labels, labels)


@pytest.mark.usefixtures("small_table")
def test_the_first_call_downloads_and_the_second_does_not(server, tmp_path):
    check_arrays(load_fashion_mnist(cache=tmp_path, base_url=server.url))
    check_arrays(load_fashion_mnist(cache=tmp_path, base_url=server.url))
    assert server.requests == [f"/data/{name}" for name in NAMES]
    assert sorted(path.name for path in (tmp_path / "fashion-mnist").iterdir()) == sorted(NAMES)


@pytest.mark.usefixtures("small_table")
def test_it_can_be_read_by_name(tmp_path, monkeypatch):
    cache = tmp_path / "fashion-mnist"
    cache.mkdir()
    for name, body in PACKED.items():
        (cache / name).write_bytes(body)
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path))
    data = read_data("fashion-mnist:test")
    assert (data.name, data.rows.shape, data.image_shape) == ("fashion-mnist:test", (2, 12), (4, 3))
    assert read_data("fashion-mnist").rows.shape == (5, 12)


def test_without_a_network_the_error_says_what_to_do(server, tmp_path):
    server.script = ["gone"]
    with pytest.raises(DownloadError) as caught:
        load_fashion_mnist(cache=tmp_path, base_url=server.url)
    message = str(caught.value)
    for part in (str(tmp_path), server.url, "404", *NAMES, "folder=", "ISTHMUS_CACHE"):
        assert part in message


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "set"))
    assert fashion.cache_folder(tmp_path / "given") == tmp_path / "given" / "fashion-mnist"
    assert fashion.cache_folder() == tmp_path / "set" / "fashion-mnist"
    monkeypatch.delenv("ISTHMUS_CACHE")
    assert fashion.cache_folder().parts[-2:] == ("isthmus", "fashion-mnist")


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_with_the_four_files(tmp_path, packed):
    for name, array in zip(NAMES, ARRAYS, strict=True):
        path = tmp_path / (name if packed else name.removesuffix(".gz"))
        path.write_bytes(PACKED[name] if packed else idx_bytes(array))
    train, test = load_fashion_mnist(tmp_path)
    assert repr(train) == "<Split fashion-mnist:train: 5 images of 4 × 3>"
    check_arrays((train, test))


def test_a_folder_that_lacks_files_says_which(tmp_path):
    (tmp_path / NAMES[0]).write_bytes(PACKED[NAMES[0]])
    (tmp_path / NAMES[3]).write_bytes(PACKED[NAMES[3]])
    with pytest.raises(DataError, match=rf"lacks {NAMES[1]}, {NAMES[2]} \(with or without \.gz\)"):
        load_fashion_mnist(tmp_path)
    with pytest.raises(DataError, match=r"folder .*elsewhere does not exist"):
        load_fashion_mnist(tmp_path / "elsewhere")


def test_a_folder_with_the_wrong_content(tmp_path):
    for name, body in PACKED.items():
        (tmp_path / name).write_bytes(body)
    (tmp_path / NAMES[1]).write_bytes(PACKED[NAMES[3]])
    with pytest.raises(DataError, match=r"should hold 5 labels, and has the shape \(2,\)"):
        load_fashion_mnist(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(PACKED[NAMES[1]])
    with pytest.raises(DataError, match="should hold images, in 3 dimensions, and has 1"):
        load_fashion_mnist(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(b"no gzip")
    with pytest.raises(DataError, match=f"{NAMES[0]} is damaged or cut short"):
        load_fashion_mnist(tmp_path)


def test_the_table_of_the_official_files_is_well_formed():
    assert [file.name.split("-")[0] for file in fashion.FILES] == ["train", "train", "t10k", "t10k"]
    for file in fashion.FILES:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.name.endswith("-ubyte.gz")
