"""The command that says whether an autoencoder is worth it on one's own data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from isthmus import comparison
from isthmus._checks import check_choice
from isthmus.cli.console import note, print_json, print_lines, print_table, readable
from isthmus.cli.inputs import aligned, load_model, read_rows, rows_for
from isthmus.cli.models import Flag
from isthmus.data import Data, check_target, replacing
from isthmus.errors import DataError, InvalidParameterError
from isthmus.estimators import Autoencoder, ConvolutionalAutoencoder, SparseAutoencoder
from isthmus.estimators.baselines import KINDS
from isthmus.report import settings_of, summarise, write_report
from isthmus.report.page import check_free

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.estimators import BaseAutoencoder

USUAL_WIDTH = 32
HELD_OUT = 0.2
#: Test rows that are compressed: AVIF takes seconds for more.
COMPRESSED_ROWS = 2000

CANDIDATES: Mapping[str, Any] = {
    "single": Autoencoder,
    "deep": partial(Autoencoder, hidden_layers=(256, 128)),
    "sparse": SparseAutoencoder,
    "convolutional": ConvolutionalAutoencoder,
}
USUAL_BASELINES = ("random-projection", "dct", "kmeans", "untrained")


def compare(
    data: str,
    /,
    *,
    test: str | None = None,
    model: Annotated[list[str] | None, Parameter(negative="")] = None,
    saved: Annotated[list[str] | None, Parameter(negative="")] = None,
    n_components: int | None = None,
    seconds: float = 20.0,
    baseline: Annotated[list[str] | None, Parameter(negative="")] = None,
    rates: Annotated[bool, Parameter(negative="--no-rates")] = True,
    output: Annotated[str | None, Parameter(name=["--output", "-o"])] = None,
    report: str | None = None,
    force: Flag = False,
    device: str = "auto",
    random_state: int = 0,
    json: Flag = False,
) -> None:
    """Hold autoencoders against PCA and others on DATA: at equal width, time and bytes.

    Parameters
    ----------
    data
        Training rows: a data set's name, or a file.
    test
        Rows to judge by; by default the data set's own, or a fifth of the rows of a file.
    model
        What to train: single, deep, sparse, convolutional. May be given several times; single and deep by
        default, unless there are saved models.
    saved
        A saved model that was trained on DATA, in its place or beside. May be given several times.
    n_components
        Width of the codes; by default 32, or half the number of columns where that is less.
    seconds
        How long each model is trained.
    baseline
        Beside PCA: incremental-pca, kernel-pca, nmf, lda, random-projection, dct, kmeans, rbm, untrained.
        May be given several times; by default random-projection, dct, kmeans, untrained, and lda where
        there are labels.
    rates
        Compress test rows at several rates; images beside JPEG, JPEG 2000, WebP and AVIF.
    output
        File to write the numbers to: .csv.
    report
        Folder for a report on the models: index.html and its pictures.
    force
        Replace the file, and an earlier report, if they exist.
    device
        Where to compute: auto, cpu, cuda.
    random_state
        Seed.
    json
        Print one JSON object.
    """
    if output is not None:
        check_target(Path(output), [".csv"], overwrite=force)
    if report is not None:
        check_free(Path(report), overwrite=force)
    train, judged_on = _parts(data, test, random_state)
    names = list(model or ([] if saved else ["single", "deep"]))
    for name in names:
        check_choice(name, CANDIDATES, parameter="model", owner="compare")
    usual = [*USUAL_BASELINES, *(["lda"] if train.labels is not None else [])]
    baselines = list(baseline) if baseline is not None else usual
    for name in baselines:
        check_choice(name, [*KINDS, "untrained"], parameter="baseline", owner="compare")
    width = _usual_width(train) if n_components is None else n_components
    models, took = _trained(names, train, width, seconds, device, random_state)
    for path in saved or []:
        models[Path(path).name] = _loaded(path, train, judged_on, device)
    rows = comparison.compare(
        models,
        train.rows,
        judged_on.rows,
        y_train=train.labels,
        y_test=judged_on.labels,
        baselines=baselines,
        image_shape=train.image_shape,
        seconds=took,
        random_state=random_state,
    )
    curves = _rates(models, judged_on, width, train) if rates else []
    saved_bytes = comparison.savings(curves)
    if output is not None:
        with replacing(Path(output)) as file:
            file.write(_csv(rows).encode())
    if report is not None:
        _write_report(report, models, train, judged_on, took, curves, force=force)
    if json:
        print_json({"data": train.name, "rows": rows, "rates": curves, "savings": saved_bytes})
        return
    _print(judged_on, rows, saved_bytes)


def _parts(data: str, test: str | None, seed: int) -> tuple[Data, Data]:
    """Return training and test rows."""
    train = read_rows(data)
    if test is not None:
        return train, aligned(train, read_rows(test))
    if ":" not in data and train.name.endswith(":train"):
        return train, read_rows(f"{data}:test")
    if len(train.rows) < 10:
        raise DataError(f"{train.name} has {len(train.rows)} rows; at least 10 are needed to hold some out.")
    order = np.random.default_rng(seed).permutation(len(train.rows))
    held = int(HELD_OUT * len(order))

    def part(rows: NDArray[Any]) -> Data:
        chosen = np.sort(rows)
        labels = None if train.labels is None else train.labels[chosen]
        return Data(
            np.asarray(train.rows[chosen]),
            columns=train.columns,
            labels=labels,
            image_shape=train.image_shape,
            name=train.name,
        )

    return part(order[held:]), part(order[:held])


def _usual_width(data: Data) -> int:
    features = int(np.prod(data.rows.shape[1:]))
    return max(1, min(USUAL_WIDTH, features // 2))


def _trained(
    names: Sequence[str], train: Data, width: int, seconds: float, device: str, seed: int
) -> tuple[dict[str, BaseAutoencoder], dict[str, float]]:
    models, took = {}, {}
    for name in names:
        started = time.perf_counter()
        rows = _pictures(train) if name == "convolutional" else train.rows
        fresh = CANDIDATES[name](width, device=device, random_state=seed, patience=None)
        models[name] = comparison.fit_within(fresh, rows, seconds)
        took[name] = time.perf_counter() - started
        note(f"{name}: {models[name].n_epochs_} epochs in {took[name]:.1f} s")
    return models, took


def _loaded(path: str, train: Data, test: Data, device: str) -> BaseAutoencoder:
    """Return a saved model, if all models can be given the same rows."""
    model = load_model(path, device)
    for data in (train, test):
        if rows_for(model, data) is not data.rows:
            raise DataError(f"{data.name} has its columns in another order than {path} was fitted on.")
    return model


def _pictures(data: Data) -> NDArray[Any]:
    if data.image_shape is None:
        raise InvalidParameterError(f"The convolutional model needs images, and {data.name} holds none.")
    return data.rows.reshape(len(data.rows), *data.image_shape)


def _rates(
    models: Mapping[str, BaseAutoencoder], test: Data, width: int, train: Data
) -> list[dict[str, Any]]:
    rows = np.asarray(test.rows[:COMPRESSED_ROWS])
    shown: dict[str, Any] = dict(models)
    shown[f"PCA-{width}"] = comparison.fit_pca(train.rows, width)
    return comparison.all_rates(shown, rows, test.image_shape)


def _write_report(
    folder: str,
    models: Mapping[str, BaseAutoencoder],
    train: Data,
    test: Data,
    took: Mapping[str, float],
    curves: Sequence[Mapping[str, Any]],
    *,
    force: bool,
) -> None:
    summary = summarise(
        models,
        np.asarray(train.rows),
        np.asarray(test.rows),
        image_shape=train.image_shape,
        seconds=took,
        settings={name: settings_of(model) for name, model in models.items()},
        title=f"Autoencoders and PCA on {train.name.partition(':')[0]}",
        labels=test.labels,
        feature_names=train.columns,
        rates=curves or None,
    )
    page = write_report(summary, folder, overwrite=force)
    note(f"Open {page.resolve()}")


def _print(test: Data, rows: Sequence[Mapping[str, Any]], savings: Sequence[Mapping[str, Any]]) -> None:
    labelled = rows[0]["labels"] is not None
    header = [f"{test.name}, {len(test.rows)} rows", "code", "SSE per row", "explained", "trust"]
    header += ["1-NN", "probe"] if labelled else []
    lines = []
    for row in rows:
        line = [
            row["name"],
            str(row["n_components"]),
            readable(row["sse"]),
            f"{100 * row['explained_variance']:.1f}%",
        ]
        line.append(readable(row["trustworthiness"], 3))
        if labelled:
            line += [f"{100 * row['labels'][key]:.1f}%" for key in ("neighbors", "probe")]
        lines.append([*line, readable(row["seconds"], 3)])
    print_table([*header, "seconds"], lines)
    print_lines("", *[row["verdict"] for row in rows if row["verdict"]])
    for saving in savings:
        if saving["bd_rate"] is not None:
            share = saving["bd_rate"]
            word = "fewer" if share < 0 else "more"
            percent = comparison.readable_percent(abs(share))
            print_lines(f"{saving['name']}: {percent} {word} bytes than {saving['against']} at equal error.")


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    import csv
    import io

    flat = [
        {key: value for key, value in row.items() if key not in ("codes", "labels", "interval")}
        | {f"codes_{key}": row["codes"][key] for key in ("mean", "zeros")}
        | {"codes_dead": len(row["codes"]["dead"])}
        | dict(zip(("relative_low", "relative_high"), row["interval"] or (None, None), strict=True))
        | (row["labels"] or {})
        for row in rows
    ]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()
