"""The claims of the notebook, measured: docs/claims.md.

    python benchmarks/claims.py [--only pca lda rbm sparse deep bytes lossless speed maps] [--seeds 0 1 2]

Writes benchmarks/claims.json and from it docs/claims.md; with ``--only`` the other experiments keep their
numbers, with ``--write`` the page alone is written anew. What is said about pretraining comes from
benchmarks/pretraining.json. The test images choose nothing: models train to their last epoch.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from claims_page import write_page
from isthmus import Autoencoder, Compressor, KSparseAutoencoder, Map, SparseAutoencoder, metrics
from isthmus.bottlenecks import Entropy
from isthmus.codec import Writer
from isthmus.codec.residuals import send_bytes
from isthmus.comparison import codec_rates, model_rates, rate_point, savings
from isthmus.data import load_mnist
from isthmus.estimators import Baseline, ByteCodec, model_size
from recording import HERE, machine

Row = dict[str, Any]
FILES = 1000  # of one image each
DEEP = {"hidden_layers": (512, 256), "epochs": 25}
#: Training images of the experiments that train many models.
FEW_ROWS = 10_000
L1_EPOCHS, SHORT_EPOCHS, LONG_EPOCHS = 15, 10, 100


def deep(train: Any, seed: int, **options: Any) -> Autoencoder:
    return Autoencoder(32, **{**DEEP, **options}, random_state=seed).fit(train.images)


def copies_error(model: Any, images: np.ndarray) -> float:
    return metrics.squared_error(images, model.inverse_transform(model.transform(images)))


def pca(train: Any, test: Any, seed: int) -> list[Row]:
    """A single layer beside PCA: linear, where theory says it is the same, and as the notebook has it."""
    linear = Autoencoder(
        30, loss="mse", code_activation="identity", scale="none", epochs=20, random_state=seed
    ).fit(train.images)
    components = PCA(30).fit(train.images)
    # What the decoder spans, found by what it makes of single units.
    columns = linear.inverse_transform(np.eye(30)) - linear.inverse_transform(np.zeros((1, 30)))
    angles = np.degrees(subspace_angles(columns.T, components.components_.T))
    rows = [
        {"model": "PCA-30", "sse": copies_error(components, test.images)},
        {
            "model": "linear, 30",
            "sse": copies_error(linear, test.images),
            "largest angle": float(angles.max()),
        },
        {"model": "PCA-32", "sse": copies_error(PCA(32).fit(train.images), test.images)},
    ]
    single = Autoencoder(32, epochs=10, random_state=seed).fit(train.images)
    rows.append({"model": "single layer, 32", "sse": copies_error(single, test.images)})
    return rows


def activity(model: Any, images: np.ndarray) -> Row:
    codes = model.transform(images)
    active = (codes != 0).sum(axis=1)
    return {
        "zeros": float((codes == 0).mean()),
        "active": float(active.mean()),
        "dead": int((codes == 0).all(axis=0).sum()),
        "sse": copies_error(model, images),
    }


def sparse(train: Any, test: Any, seed: int) -> list[Row]:
    """L1 penalties of three weights at three widths, beside k-sparse codes with as many active units."""
    images, rows = train.images[:FEW_ROWS], []
    settings = {"epochs": L1_EPOCHS, "random_state": seed}
    for width in (32, 128, 512):
        free = Autoencoder(width, code_activation="relu", **settings).fit(images)
        rows.append({"model": f"{width}, no penalty", **activity(free, test.images)})
        for weight in ("1e-4", "3e-4", "1e-3"):
            model = SparseAutoencoder(width, penalty=f"l1:weight={weight}", **settings).fit(images)
            found = activity(model, test.images)
            rows.append({"model": f"{width}, L1 {weight}", **found})
            k = max(1, round(found["active"]))
            rival = KSparseAutoencoder(width, bottleneck=f"topk:k={k},per=row", **settings).fit(images)
            rows.append({"model": f"{width}, k-sparse as L1 {weight}", **activity(rival, test.images)})
    return rows


def readability(model: Any, images: np.ndarray, labels: np.ndarray) -> Row:
    """Three measures of how much a single code unit means by itself, each averaged over the units."""
    codes = model.transform(images).astype(np.float64)
    codes = codes[:, codes.std(axis=0) > 1e-6]
    classes = [codes[labels == label] for label in np.unique(labels)]
    between = sum(len(part) * (part.mean(axis=0) - codes.mean(axis=0)) ** 2 for part in classes)
    correlations = np.abs(np.corrcoef(codes.T))
    return {
        "class share": float((between / ((codes - codes.mean(axis=0)) ** 2).sum(axis=0)).mean()),
        "correlation": float(correlations[~np.eye(len(correlations), dtype=bool)].mean()),
        "locality": locality(model, images),
    }


def locality(model: Any, images: np.ndarray) -> float:
    """Return how much of what a unit changes in the picture lies in a tenth of the pixels."""
    codes = model.transform(images).astype(np.float64)
    mean, deviation = codes.mean(axis=0), codes.std(axis=0)
    moved = mean + np.diag(deviation)[deviation > 1e-6]
    effects = (model.inverse_transform(moved) - model.inverse_transform(mean[None])) ** 2
    ordered = np.sort(effects, axis=1)[:, ::-1]
    return float((ordered[:, : effects.shape[1] // 10].sum(axis=1) / ordered.sum(axis=1)).mean())


def depth(train: Any, test: Any, seed: int) -> list[Row]:
    """One layer and several, after few epochs and after many; the learning rate falls to zero in each training."""
    images, rows = train.images[:FEW_ROWS], []
    for name, layers in {"single": (), "128-64": (128, 64), "512-256": (512, 256)}.items():
        for epochs in (SHORT_EPOCHS, LONG_EPOCHS):
            model = Autoencoder(32, hidden_layers=layers, epochs=epochs, random_state=seed)
            started = time.perf_counter()
            model.fit(images)
            rows.append(
                {
                    "model": f"{name}, {epochs} epochs",
                    "seconds": time.perf_counter() - started,
                    "sse": copies_error(model, test.images),
                    **readability(model, test.images, test.labels),
                }
            )
    return rows


def told(codes: np.ndarray, labels: np.ndarray, test_codes: np.ndarray, test_labels: np.ndarray) -> Row:
    learnt = slice(0, 10_000)
    arguments = (codes[learnt], labels[learnt], test_codes, test_labels)
    return {
        "1-NN": metrics.neighbors_accuracy(*arguments),
        "probe": metrics.linear_probe(*arguments),
        "separability": metrics.class_separability(test_codes, test_labels),
    }


def lda(train: Any, test: Any, seed: int) -> list[Row]:
    """Nine numbers by LDA, PCA and autoencoders: what they tell about the digits, and how they copy."""
    models = {
        "LDA-9": Baseline("lda", 9).fit(train.images, train.labels),
        "PCA-9": Baseline("pca", 9).fit(train.images),
        "single layer, 9": Autoencoder(9, code_activation="identity", epochs=10, random_state=seed),
        "deep, 9": Autoencoder(9, hidden_layers=(256, 128), epochs=15, random_state=seed),
    }
    rows = []
    for name, model in models.items():
        fitted = model if isinstance(model, Baseline) else model.fit(train.images)
        codes, test_codes = fitted.transform(train.images[:10_000]), fitted.transform(test.images)
        rows.append(
            {
                "model": name,
                "sse": metrics.squared_error(test.images, fitted.inverse_transform(test_codes)),
                **told(codes, train.labels, test_codes, test.labels),
            }
        )
    return rows


def rbm(train: Any, test: Any, seed: int) -> list[Row]:
    """A Boltzmann machine, read as an autoencoder, beside one."""
    rows = []
    for name, model in (
        ("RBM-32", Baseline("rbm", 32, random_state=seed)),
        ("single layer, 32", Autoencoder(32, epochs=10, random_state=seed)),
    ):
        started = time.perf_counter()
        model.fit(train.images)
        rows.append(
            {"model": name, "sse": copies_error(model, test.images), "seconds": time.perf_counter() - started}
        )
    return rows


def bytes_(train: Any, test: Any, seed: int) -> list[Row]:
    """The 10,000 test digits as real bytes, by models and by the codecs that everybody has."""
    models = {
        "single layer, 32": Autoencoder(32, epochs=10, random_state=seed).fit(train.images),
        "deep, 32": deep(train, seed),
        "PCA-32": PCA(32).fit(train.images),
    }
    rows = model_rates(models, test.images)
    for weight in (1.0, 0.2, 0.05):
        trained = deep(train, seed, bottleneck=Entropy(weight))
        compressor = Compressor(trained).fit(test.images)
        content = compressor.compress(test.images)
        copies = compressor.decompress(content)
        name, own = "deep, 32, trained for its bytes", model_size(trained)
        rows.append(rate_point(name, test.images, copies, len(content), model_bytes=own))
    rows.append(single_files(models["deep, 32"], test.images))
    rows += codec_rates(test.images, (28, 28))
    rows += codec_rates(test.images[:FILES], (28, 28), mosaic=False)
    return [*rows, *({"bd": True, **saving} for saving in savings(rows))]


def single_files(model: Any, images: np.ndarray) -> Row:
    """Each of some images in a file of its own, headers and all."""
    compressor = Compressor(model).fit(images)
    some = images[:FILES]
    files = [compressor.compress(image[None]) for image in some]
    copies = np.concatenate([compressor.decompress(file) for file in files])
    size = sum(map(len, files))
    return rate_point("deep, 32, single files", some, copies, size, model_bytes=model_size(model))


def lossless(train: Any, test: Any, seed: int) -> list[Row]:
    """The same digits bit for bit."""
    images = np.rint(test.images * 255).astype(np.uint8).reshape(-1, 28, 28)
    rows = []
    for name in ("gzip", "bz2", "lzma", "zstd"):
        codec = ByteCodec(name).fit(images)
        files = codec.compress(images)
        assert codec.decompress(files).tobytes() == images.tobytes()
        rows.append({"model": name, "bits": metrics.bits_per_value(len(files[0]), images.size)})
    alone = Writer()
    flat = images.reshape(len(images), -1).astype(np.int64)
    send_bytes(alone, flat, np.zeros_like(flat), (28, 28))
    bits = metrics.bits_per_value(len(alone.content()), images.size)
    rows.append({"model": "no model", "bits": bits})
    train_images = np.rint(train.images * 255).astype(np.uint8).reshape(-1, 28, 28)
    for name, options in (("single layer, 32", {"epochs": 10}), ("deep, 32", DEEP)):
        model = Autoencoder(32, **options, random_state=seed).fit(train_images)
        compressor = Compressor(model, lossless=True).fit(images)
        content = compressor.compress(images)
        assert compressor.decompress(content).tobytes() == images.tobytes()
        size = model_size(model)
        rows.append(
            {
                "model": name,
                "bits": metrics.bits_per_value(len(content), images.size),
                "bits with the model": metrics.bits_per_value(len(content) + size, images.size),
                "model bytes": size,
            }
        )
    return rows


def speed(train: Any, test: Any, seed: int) -> list[Row]:
    """How fast the notebook's net compresses: median of seven, in MB of pixels (a byte each) a second."""
    images = np.rint(test.images * 255).astype(np.uint8)
    model = Autoencoder(32, epochs=2, random_state=seed).fit(np.rint(train.images * 255).astype(np.uint8))
    compressor = Compressor(model).fit(images)
    times: dict[str, list[float]] = {"compress": [], "decompress": []}
    content = compressor.compress(images)
    for _ in range(7):
        started = time.perf_counter()
        content = compressor.compress(images)
        middle = time.perf_counter()
        compressor.decompress(content)
        times["compress"].append(middle - started)
        times["decompress"].append(time.perf_counter() - middle)
    rows = [{"model": name, "MB/s": images.nbytes / 1e6 / float(np.median(t))} for name, t in times.items()]
    codes = np.rint(model.transform(images) / compressor.steps_).astype(np.int64)
    shares = [np.unique(column, return_counts=True)[1] / len(codes) for column in codes.T]
    ideal = len(codes) * sum(float(-(share * np.log2(share)).sum()) for share in shares) / 8
    return [*rows, {"model": "bytes over the entropy of the codes", "overhead": len(content) / ideal - 1}]


def maps(train: Any, test: Any, seed: int) -> list[Row]:
    """t-SNE of the 10,000 test digits after an autoencoder, after PCA, and of the pixels themselves."""
    started = time.perf_counter()
    autoencoder = deep(train, seed)
    models: dict[str, tuple[Any, float]] = {"AE-32": (autoencoder, time.perf_counter() - started)}
    for width in (32, 50):
        started = time.perf_counter()
        fitted = PCA(width, random_state=seed).fit(train.images)
        models[f"PCA-{width}"] = (fitted, time.perf_counter() - started)
    models["pixels"] = (None, 0.0)
    rows = []
    for name, (model, fitting) in models.items():
        started = time.perf_counter()
        places = Map("tsne", model=model, n_jobs=2, random_state=seed).fit_transform(test.images)
        seconds = time.perf_counter() - started
        rows.append(
            {
                "model": name,
                "1-NN": metrics.neighbors_accuracy(places, test.labels),
                "trustworthiness": metrics.trustworthiness(test.images, places),
                "silhouette": metrics.silhouette(places, test.labels),
                "fitting seconds": fitting,
                "map seconds": seconds,
            }
        )
    return rows


EXPERIMENTS: dict[str, Callable[[Any, Any, int], list[Row]]] = {
    "rbm": rbm,
    "pca": pca,
    "lda": lda,
    "sparse": sparse,
    "deep": depth,
    "bytes": bytes_,
    "lossless": lossless,
    "speed": speed,
    "maps": maps,
}
#: Experiments of which one seed is enough: what they compare is far apart, or takes no seed.
ONE_SEED = ("sparse", "deep", "bytes", "lossless", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS))
    parser.add_argument("--write", action="store_true", help="write the page from the numbers that are there")
    arguments = parser.parse_args()
    path = HERE / "claims.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not arguments.write:
        train, test = load_mnist()
        for name in arguments.only:
            seeds = arguments.seeds[:1] if name in ONE_SEED else arguments.seeds
            started = time.perf_counter()
            runs = {str(seed): EXPERIMENTS[name](train, test, seed) for seed in seeds}
            kept[name] = {
                "made": date.today().isoformat(),
                "machine": machine(),
                "minutes": round((time.perf_counter() - started) / 60, 1),
                "runs": runs,
            }
            path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(name, json.dumps(kept[name]), flush=True)
    write_page(kept, json.loads((HERE / "pretraining.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
