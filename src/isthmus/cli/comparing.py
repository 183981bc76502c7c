"""The command that says whether an autoencoder is worth it on one's own data."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from isthmus import comparison
from isthmus._checks import check_choice, check_number
from isthmus.cli.console import note, percent, print_json, print_lines, print_table, readable
from isthmus.cli.inputs import aligned, load_model, read_rows, rows_for
from isthmus.cli.models import Flag, print_columns
from isthmus.data import Data, check_target, replacing
from isthmus.errors import (
    DataError,
    DataRangeWarning,
    InvalidParameterError,
    MissingDependencyError,
    NotComparedWarning,
)
from isthmus.estimators import Autoencoder, ConvolutionalAutoencoder, SparseAutoencoder
from isthmus.estimators._settings import auto_batch_size, auto_epochs
from isthmus.estimators.baselines import KINDS
from isthmus.report import settings_of, summarise, write_report
from isthmus.report.page import check_free
from isthmus.training import ProgressBar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.estimators import BaseAutoencoder

USUAL_WIDTH = 32
HELD_OUT = 0.2
#: Share of the training rows that says when to stop, and epochs without a smaller loss on it before that: the
#: larger of a number, and of a share of all epochs. The learning rate is high in the middle of a training, where the
#: loss hardly falls, and most is gained while it falls to 0 at the end.
VALIDATION = 0.1
LEAST_PATIENCE, PATIENCE_SHARE = 10, 0.5
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
    epochs: int | None = None,
    seconds: float = 300.0,
    space: str = "auto",
    baseline: Annotated[list[str] | None, Parameter(negative="")] = None,
    rates: Annotated[bool, Parameter(negative="--no-rates")] = True,
    output: Annotated[str | None, Parameter(name=["--output", "-o"])] = None,
    report: str | None = None,
    force: Flag = False,
    device: str = "auto",
    random_state: int = 0,
    json: Flag = False,
) -> None:
    """Compare autoencoders with PCA and other baselines on DATA.

    Parameters
    ----------
    data
        Training rows: a data set's name, or a file.
    test
        Rows to evaluate on; by default the data set's own, or a fifth of the rows of a file.
    model
        What to train: single, deep, sparse, convolutional. May be given several times; single and deep by
        default, unless there are saved models.
    saved
        A saved model that was trained on DATA. May be given several times, also together with --model.
    n_components
        Width of the latent code; by default 32, or half the number of columns where that is less.
    epochs
        Passes over the training rows; by default as many as make 12,000 steps. Training stops earlier when the
        loss on a tenth of the rows no longer falls.
    seconds
        Time limit for the training of each model. The verdict says so when it is reached.
    space
        Where errors are counted: auto (the scaling that the models are trained in), raw (the units of the data),
        standard (standardized columns), minmax (columns scaled to [0, 1]).
    baseline
        Beside PCA: incremental-pca, kernel-pca, nmf, lda, random-projection, dct, kmeans, rbm, untrained.
        May be given several times; by default random-projection, dct, kmeans, untrained, and lda where
        there are labels.
    rates
        Compress test rows at several rates; images beside JPEG, JPEG 2000, WebP and AVIF. Needs the extra "codec".
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
    check_choice(space, comparison.SPACES, parameter="--space", owner="isthmus compare")
    check_number(seconds, parameter="--seconds", owner="isthmus compare", minimum=0, open_minimum=True)
    train, judged_on = _parts(data, test, random_state)
    names = list(model or ([] if saved else ["single", "deep"]))
    for name in names:
        check_choice(name, CANDIDATES, parameter="model", owner="compare")
    for name in baseline or ():
        check_choice(name, [*KINDS, "untrained"], parameter="baseline", owner="compare")
    if baseline is not None:
        _check_baselines(baseline, train, saved or [], space, device)
    width = _usual_width(train) if n_components is None else n_components
    models, took = _trained(
        names, train, width, seconds, epochs=epochs, device=device, random_state=random_state
    )
    for path in saved or []:
        models[Path(path).name] = _loaded(path, train, judged_on, device)
    chosen = comparison.choose_space(models, train.rows, space, image_shape=train.image_shape)
    notes: list[str] = []
    with _gathered(notes):
        rows = comparison.compare(
            models,
            train.rows,
            judged_on.rows,
            y_train=train.labels,
            y_test=judged_on.labels,
            baselines=_usual_baselines(train, chosen, notes) if baseline is None else baseline,
            space=space,
            image_shape=train.image_shape,
            seconds=took,
            random_state=random_state,
        )
    curves = _rates(models, rows, judged_on, train, chosen, notes) if rates else []
    saved_bytes = comparison.savings(curves)
    for line in notes:
        note(line)
    if output is not None:
        with replacing(Path(output)) as file:
            file.write(_csv(rows).encode())
    if report is not None:
        _write_report(report, models, train, judged_on, took, curves, space=space, force=force)
    if json:
        print_json(
            {"data": train.name, "rows": rows, "rates": curves, "savings": saved_bytes, "notes": notes}
        )
        return
    _print(judged_on, rows, saved_bytes, chosen)


@contextmanager
def _gathered(notes: list[str]) -> Iterator[None]:
    """Take what a comparison leaves out as notes, and show other warnings as always."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, (NotComparedWarning, DataRangeWarning)):
            notes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _parts(data: str, test: str | None, seed: int) -> tuple[Data, Data]:
    """Return training and test rows."""
    train = read_rows(data)
    if test is not None:
        other = aligned(train, read_rows(test))
        if (train.labels is None) != (other.labels is None):
            unlabelled = train if train.labels is None else other
            note(f"{unlabelled.name} has no labels, so that nothing is judged by labels.")
            train, other = replace(train, labels=None), replace(other, labels=None)
        return train, other
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


def _usual_baselines(train: Data, space: comparison.Space, notes: list[str]) -> list[str]:
    """Return the baselines that are there unless others are asked for, as far as they can be fitted."""
    usual = [*USUAL_BASELINES, *(["lda"] if train.labels is not None else [])]
    unfit = comparison.unsuitable(usual, train.rows, train.labels, space)
    notes += [
        f"The baseline {kind} is left out: it needs {'labels of at least two classes' if needs == 'labels' else needs}."
        for kind, needs in unfit.items()
    ]
    return [kind for kind in usual if kind not in unfit]


def _check_baselines(
    names: Sequence[str], train: Data, saved: Sequence[str], space: str, device: str
) -> None:
    """Refuse baselines that were asked for and cannot be fitted, before anything is trained."""
    models = {path: load_model(path, device) for path in saved}
    chosen = comparison.choose_space(models, train.rows, space, image_shape=train.image_shape)
    for name, needs in comparison.unsuitable(names, train.rows, train.labels, chosen).items():
        advice = "" if needs == "labels" else " Choose another --space, or leave it out."
        raise InvalidParameterError(
            f"The baseline {name} needs {needs}, which {train.name} {chosen.words} does not offer.{advice}"
        )


def _trained(
    names: Sequence[str], train: Data, width: int, seconds: float, *, epochs: int | None, **shared: Any
) -> tuple[dict[str, BaseAutoencoder], dict[str, float]]:
    models, took = {}, {}
    n_rows = len(train.rows) - round(VALIDATION * len(train.rows))
    planned = auto_epochs(n_rows, auto_batch_size(n_rows)) if epochs is None else epochs
    patience = max(LEAST_PATIENCE, round(PATIENCE_SHARE * planned))
    for name in names:
        started = time.perf_counter()
        rows = _pictures(train) if name == "convolutional" else train.rows
        fresh = CANDIDATES[name](
            width,
            epochs=planned,
            validation_fraction=VALIDATION,
            patience=patience,
            callbacks=[ProgressBar(name)],
            **shared,
        )
        models[name] = comparison.fit_within(fresh, rows, seconds)
        if train.columns is not None and rows is train.rows:
            models[name].feature_names_in_ = np.asarray(train.columns, dtype=object)
        took[name] = time.perf_counter() - started
        note(f"{name}: {models[name].n_epochs_} of {planned} epochs in {took[name]:.1f} s")
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
    models: Mapping[str, BaseAutoencoder],
    rows: Sequence[Mapping[str, Any]],
    test: Data,
    train: Data,
    space: comparison.Space,
    notes: list[str],
) -> list[dict[str, Any]]:
    """Return bytes and errors of the models, of the PCA that they are compared with, and of image codecs."""
    some = np.asarray(test.rows[:COMPRESSED_ROWS])
    shown: dict[str, Any] = dict(models)
    for width in sorted({row["compared_width"] for row in rows[: len(models)]}):
        shown[f"PCA-{width}"] = comparison.fit_pca(train.rows, width, space)
    try:
        return comparison.all_rates(shown, some, test.image_shape, space)
    except MissingDependencyError as error:
        notes.append(f"Compressed sizes are left out: {error}")
        return []


def _write_report(
    folder: str,
    models: Mapping[str, BaseAutoencoder],
    train: Data,
    test: Data,
    took: Mapping[str, float],
    curves: Sequence[Mapping[str, Any]],
    *,
    space: str,
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
        space=space,
    )
    page = write_report(summary, folder, overwrite=force)
    note(f"Open {page.resolve()}")


def _print(
    test: Data,
    rows: Sequence[Mapping[str, Any]],
    savings: Sequence[Mapping[str, Any]],
    space: comparison.Space,
) -> None:
    labelled = rows[0]["labels"] is not None
    header = [
        f"{test.name}, {len(test.rows)} rows, {space.words}",
        "code",
        "SSE per row",
        "explained",
        "trust",
    ]
    header += ["1-NN", "probe"] if labelled else []
    lines = []
    for row in rows:
        line = [
            row["name"],
            str(row["n_components"]),
            readable(row["sse"]),
            percent(row["explained_variance"]),
        ]
        line.append(readable(row["trustworthiness"], 3))
        if labelled:
            line += [percent(row["labels"][key]) for key in ("neighbors", "probe")]
        lines.append([*line, readable(row["seconds"], 3)])
    print_table([*header, "seconds"], lines)
    beside = {f"PCA-{row['compared_width']}" for row in rows if row["kind"] == "model"}
    shown = {row["name"]: row for row in rows if row["kind"] == "model" or row["name"] in beside}
    print_columns(test.columns, test.rows, shown)
    print_lines("", *[row["verdict"] for row in rows if row["verdict"]])
    for saving in savings:
        if saving["bd_rate"] is not None:
            share = saving["bd_rate"]
            word = "fewer" if share < 0 else "more"
            amount = comparison.readable_percent(abs(share))
            print_lines(f"{saving['name']}: {amount} {word} bytes than {saving['against']} at equal error.")


#: What of a row has no place in a table of numbers.
NESTED = ("codes", "labels", "interval", "column_rmse", "task", "space_words", "width_reason", "training")


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    import csv
    import io

    flat = [
        {key: value for key, value in row.items() if key not in NESTED}
        | {f"codes_{key}": row["codes"][key] for key in ("mean", "zeros", "active")}
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
