"""Commands that use a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from isthmus.cli.console import note, print_json, print_lines, print_table, readable, say_shape
from isthmus.cli.inputs import check_output, codes_for, load_model, names_of, read_rows, rows_for, takes_gaps

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
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Say how well a model copies DATA, beside PCA of equal width.

    Parameters
    ----------
    model
        A saved model.
    data
        Rows to judge by; best ones that the model was not trained on.
    reference
        The data that the model was trained on, for PCA to be fitted on too.
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
    numbers = comparison.evaluate(fitted, rows)
    pca = verdict = None
    if training_rows is not None:
        pca = comparison.evaluate_pca(training_rows, rows, numbers["n_components"])
        verdict = comparison.verdict(Path(model).name, numbers, pca)
    if json:
        print_json(
            {"model": type(fitted).__name__, "data": source.name, **numbers, "pca": pca, "verdict": verdict}
        )
        return
    _print_evaluation(Path(model).name, source.name, numbers, pca, verdict)


def _print_evaluation(
    name: str, source: str, numbers: dict[str, Any], pca: dict[str, Any] | None, verdict: str | None
) -> None:
    header = (f"{source}, {numbers['rows']} rows", "BCE per value", "SSE per row", "MSE", "explained")
    contenders = {name: numbers} | ({} if pca is None else {f"PCA-{pca['n_components']}": pca})
    print_table(
        header,
        [
            (
                label,
                readable(row["bce"]),
                readable(row["sse"]),
                readable(row["mse"]),
                f"{100 * row['explained_variance']:.1f}%",
            )
            for label, row in contenders.items()
        ],
    )
    codes = numbers["codes"]
    dead = ", ".join(map(str, codes["dead"])) or "none"
    print_lines(f"codes: mean {codes['mean']:.3g}, {100 * codes['zeros']:.0f}% zeros, dead units: {dead}")
    if verdict is None:
        note("Give --reference TRAINING_DATA to see PCA of equal width beside it.")
    else:
        print_lines(verdict)


def _write_rows(fitted: Any, rows: Any, output: str, force: bool, json: bool) -> None:
    from isthmus.data import write_data

    # Tables have two dimensions; only NumPy's own formats hold images as images.
    stacked = rows if Path(output).suffix.lower() in {".npy", ".npz"} else rows.reshape(len(rows), -1)
    write_data(stacked, output, columns=names_of(fitted), overwrite=force)
    say_shape(output, stacked.shape, json)
