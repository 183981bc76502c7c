"""Commands that use a saved model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from isthmus.cli.console import note, percent, print_json, print_lines, print_table, readable, say_shape
from isthmus.cli.inputs import check_output, codes_for, load_model, names_of, read_rows, rows_for, takes_gaps
from isthmus.errors import InvalidParameterError

#: Columns of a table whose errors are printed.
SHOWN_COLUMNS = 20

Output = Annotated[str, Parameter(name=["--output", "-o"])]
Flag = Annotated[bool, Parameter(negative="")]


def transform(
    model: str, data: str, /, *, output: Output, force: Flag = False, device: str = "auto", json: Flag = False
) -> None:
    """Write the codes of the rows of DATA.

    Parameters
    ----------
    model
        A saved model.
    data
        Rows to encode.
    output
        File to write: .npy, .npz, .csv or .parquet.
    force
        Replace the file if it exists.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object.
    """
    from isthmus.data import write_data

    check_output(output, force=force)
    fitted = load_model(model, device)
    source = read_rows(data, missing=takes_gaps(fitted))
    codes = fitted.transform(rows_for(fitted, source))
    source.check_unchanged()
    names = [str(name) for name in fitted.get_feature_names_out()]
    write_data(codes, output, columns=names, overwrite=force)
    say_shape(output, codes.shape, json)


def inverse_transform(
    model: str,
    codes: str,
    /,
    *,
    output: Output,
    force: Flag = False,
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Write the rows that codes stand for.

    Parameters
    ----------
    model
        A saved model.
    codes
        Codes, as 'isthmus transform' writes them.
    output
        File to write: .npy, .npz, .csv or .parquet.
    force
        Replace the file if it exists.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object.
    """
    check_output(output, force=force)
    fitted = load_model(model, device)
    source = read_rows(codes)
    rows = fitted.inverse_transform(codes_for(fitted, source))
    source.check_unchanged()
    _write_rows(fitted, rows, output, force, json)


def reconstruct(
    model: str, data: str, /, *, output: Output, force: Flag = False, device: str = "auto", json: Flag = False
) -> None:
    """Write what is left of the rows of DATA after encoding and decoding.

    Parameters
    ----------
    model
        A saved model.
    data
        Rows to send through the model.
    output
        File to write: .npy, .npz, .csv or .parquet.
    force
        Replace the file if it exists.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object.
    """
    check_output(output, force=force)
    fitted = load_model(model, device)
    source = read_rows(data, missing=takes_gaps(fitted))
    copies = fitted.reconstruct(rows_for(fitted, source))
    source.check_unchanged()
    _write_rows(fitted, copies, output, force, json)


def evaluate(
    model: str,
    data: str,
    /,
    *,
    reference: str | None = None,
    space: str = "auto",
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Evaluate how well a model reconstructs DATA, compared with PCA.

    Parameters
    ----------
    model
        A saved model.
    data
        Rows to evaluate on, preferably ones that the model was not trained on.
    reference
        The data that the model was trained on, on which PCA is fitted.
    space
        Where errors are counted: auto (the scaling that the model was trained in), raw (the units of the data),
        standard (standardized columns), minmax (columns scaled to [0, 1]). Needs --reference.
    device
        Where to compute: auto, cpu, cuda.
    json
        Print one JSON object: bce (per value), sse (per row), mse, codes, pca, verdict.
    """
    from isthmus import comparison

    fitted = load_model(model, device)
    source = read_rows(data)
    rows = rows_for(fitted, source)
    training_rows = None if reference is None else rows_for(fitted, read_rows(reference))
    name, pca = Path(model).name, None
    if training_rows is None:
        if space != "auto":
            raise InvalidParameterError("--space needs --reference TRAINING_DATA, from which it is learnt.")
        numbers = comparison.evaluate(fitted, rows) | {"verdict": None}
    else:
        numbers, pca = comparison.evaluate_with_pca(
            name, fitted, training_rows, rows, space=space, image_shape=source.image_shape
        )
    if json:
        print_json({"model": type(fitted).__name__, "data": source.name, **numbers, "pca": pca})
        return
    _print_evaluation(name, source.name, numbers, pca)
    columns = source.columns if names_of(fitted) is None else names_of(fitted)
    print_columns(columns, rows, {name: numbers} | ({} if pca is None else {pca["name"]: pca}))


def print_columns(
    names: Sequence[str] | None, rows: Any, contenders: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print the error of each column in its own unit, where columns have units of their own.

    Of many columns those are shown that the first contender explains least of.
    """
    import numpy as np

    errors = {name: row["column_rmse"] for name, row in contenders.items() if row["column_rmse"] is not None}
    if not errors:
        return
    spreads = rows.reshape(len(rows), -1).std(axis=0, dtype=np.float64)
    first = np.asarray(next(iter(errors.values())))
    shown = np.argsort(-first / np.where(spreads > 0, spreads, np.inf), kind="stable")[:SHOWN_COLUMNS]
    chosen = sorted(shown.tolist())
    some = "" if len(chosen) == len(first) else f", the {len(chosen)} of {len(first)} columns explained least"
    print_lines("")
    print_table(
        [f"RMSE in the unit of each column{some}", "std", *errors],
        [
            [
                str(column) if names is None else str(names[column]),
                readable(float(spreads[column])),
                *(readable(own[column]) for own in errors.values()),
            ]
            for column in chosen
        ],
    )


def _print_evaluation(name: str, source: str, numbers: dict[str, Any], pca: dict[str, Any] | None) -> None:
    header = (f"{source}, {numbers['rows']} rows", "BCE per value", "SSE per row", "MSE", "explained")
    contenders = {name: numbers} | ({} if pca is None else {pca["name"]: pca})
    print_table(
        header,
        [
            (
                label,
                readable(row["bce"]),
                readable(row["sse"]),
                readable(row["mse"]),
                percent(row["explained_variance"]),
            )
            for label, row in contenders.items()
        ],
    )
    codes = numbers["codes"]
    dead = ", ".join(map(str, codes["dead"])) or "none"
    print_lines(f"codes: mean {codes['mean']:.3g}, {100 * codes['zeros']:.0f}% zeros, dead units: {dead}")
    if numbers["verdict"] is None:
        note("Give --reference TRAINING_DATA to compare the model with PCA.")
    else:
        print_lines(numbers["verdict"])


def _write_rows(fitted: Any, rows: Any, output: str, force: bool, json: bool) -> None:
    from isthmus.data import write_data

    # Tables have two dimensions; only NumPy's own formats hold images as images.
    stacked = rows if Path(output).suffix.lower() in {".npy", ".npz"} else rows.reshape(len(rows), -1)
    write_data(stacked, output, columns=names_of(fitted), overwrite=force)
    say_shape(output, stacked.shape, json)
