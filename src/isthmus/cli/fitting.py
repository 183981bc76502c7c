"""The command that trains; its options are the estimator's own parameters."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Group, Parameter
from docstring_parser import parse

from isthmus import comparison
from isthmus._checks import check_choice
from isthmus.cli.console import INTERRUPTED, Terminated, note, percent, print_json, print_lines, readable
from isthmus.cli.inputs import aligned, read_rows, takes_gaps
from isthmus.errors import InvalidParameterError, TrainingInterruptedWarning
from isthmus.estimators import (
    ESTIMATORS,
    Autoencoder,
    BaseAutoencoder,
    KSparseAutoencoder,
    RestrictedBoltzmannMachine,
)
from isthmus.persistence import check_target
from isthmus.training import Checkpoint, ProgressBar

#: Parameters that are no options: they hold objects, or the command has its own way.
NOT_OPTIONS = ("callbacks", "verbose")


def _plain_name(estimator: str) -> str:
    """Return what an estimator is called on the command line: VectorQuantizedAutoencoder, vector-quantized."""
    kind = estimator.removesuffix("Autoencoder")
    return re.sub(r"(?<=.)([A-Z][a-z])", r"-\1", kind).lower() or "autoencoder"


MODELS: Mapping[str, type[BaseAutoencoder]] = {_plain_name(name): model for name, model in ESTIMATORS.items()}


def _with_estimator_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give ``command`` an option for each of the estimators' parameters, with its documentation."""
    own = [
        parameter
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    options: dict[str, inspect.Parameter] = {}
    for estimator, group in (
        (Autoencoder, Group("Model", sort_key=1)),
        (RestrictedBoltzmannMachine, Group("Model, of Boltzmann machines alone", sort_key=2)),
        (KSparseAutoencoder, Group("Model, of k-sparse autoencoders alone", sort_key=3)),
    ):
        # PYTHONOPTIMIZE=2 strips docstrings: the help then names the options and their defaults alone.
        entries = parse(inspect.getdoc(estimator) or "").params
        documented = {entry.arg_name: entry.description or "" for entry in entries}
        for name, parameter in inspect.signature(estimator).parameters.items():
            if name not in NOT_OPTIONS and name not in options:
                options[name] = inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=None,
                    annotation=_option(parameter.default, documented.get(name, ""), group),
                )
    command.__signature__ = inspect.Signature([*own, *options.values()])  # type: ignore[attr-defined]
    return command


def _option(default: object, description: str, group: Group) -> Any:
    plain = re.sub(r":\w+:`~?([^`]*)`", r"\1", description).replace("``", "")
    help_text = f"{' '.join(plain.split())} \\[default: {default}]".lstrip()
    if isinstance(default, bool):
        return Annotated[bool | None, Parameter(help=help_text, group=group)]
    return Annotated[str | None, Parameter(help=help_text, group=group)]


@_with_estimator_options
def fit(
    data: Annotated[str, Parameter(help="Training data: mnist, or a .npy, .npz, .csv or .parquet file.")],
    /,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"], help="Folder for the model.")],
    model: Annotated[str, Parameter(help=f"Which autoencoder: {', '.join(MODELS)}.")] = "autoencoder",
    validation: Annotated[
        str | None, Parameter(help="Data to compute the loss on after each epoch, such as mnist:test.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        Parameter(help="Folder to save the training in as it goes, so that it survives being stopped."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="Go on from the checkpoint, if there is one yet.")
    ] = False,
    force: Annotated[bool, Parameter(negative="", help="Replace an existing model.")] = False,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
    **options: Any,
) -> int:
    """Train an autoencoder on DATA and save it."""
    kind = MODELS[check_choice(model.lower(), MODELS, parameter="--model", owner="isthmus fit")]
    target = Path(output)
    # Asked before the work, so that nothing is trained in vain.
    check_target(target, overwrite=force)
    given = {name: _parsed(name, text) for name, text in options.items() if text is not None}
    for name in given:
        if name not in inspect.signature(kind).parameters:
            raise InvalidParameterError(
                f"--{name.replace('_', '-')} is no option of --model {model}. Leave it out, or choose another model."
            )
    if resume and checkpoint is None:
        raise InvalidParameterError(
            "--resume goes on from a checkpoint. Name its folder: --checkpoint FOLDER."
        )
    saving = None if checkpoint is None else Checkpoint(checkpoint, resume=resume)
    estimator = kind(**given, callbacks=[ProgressBar(model)])
    gaps = takes_gaps(estimator)
    source = read_rows(data, missing=gaps)
    held_out = None if validation is None else aligned(source, read_rows(validation, missing=gaps))

    start = time.perf_counter()
    interruption = _fit_until_interrupted(
        estimator, source.rows, None if held_out is None else held_out.rows, saving
    )
    seconds = time.perf_counter() - start
    if interruption and saving is not None:
        note(f"Interrupted; no model was written. {_how_to_go_on(saving)}")
        return INTERRUPTED

    for read in (source, held_out):
        if read is not None:
            read.check_unchanged()
    if source.columns is not None:
        estimator.feature_names_in_ = np.asarray(source.columns, dtype=object)
    estimator.save(target, overwrite=force)
    if interruption:
        note(f"Interrupted: {interruption}")
    result = _describe(estimator, output, seconds, source.rows, None if held_out is None else held_out.rows)
    if json:
        print_json(result)
    else:
        print_lines(*_lines(result))
    return INTERRUPTED if interruption else 0


def _fit_until_interrupted(
    estimator: BaseAutoencoder, rows: Any, validation: Any, checkpoint: Checkpoint | None
) -> str:
    """Fit, and return what is to be said of an interruption, if there was one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(rows, validation_data=validation, checkpoint=checkpoint)
        except (KeyboardInterrupt, Terminated):
            if checkpoint is not None and checkpoint.exists():
                note(_how_to_go_on(checkpoint))
            raise
    interruption = ""
    for warning in caught:
        if issubclass(warning.category, TrainingInterruptedWarning):
            interruption = str(warning.message)
        elif issubclass(warning.category, UserWarning):
            note(f"Warning: {warning.message}")
    return interruption


def _how_to_go_on(checkpoint: Checkpoint) -> str:
    return f"The training so far is saved in {checkpoint.folder}; the same command with --resume goes on from there."


def _parsed(name: str, text: str | bool) -> Any:
    """Return an option's text as the value it stands for: a number, a tuple of widths, or a name."""
    if not isinstance(text, str):
        return text
    if text.lower() == "none":
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if name == "hidden_layers":
        return tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return value if isinstance(value, (int, float)) else text


def _describe(
    estimator: BaseAutoencoder, output: str, seconds: float, rows: Any, validation: Any
) -> dict[str, Any]:
    last = estimator.history_[-1]
    later = [row["seconds"] for row in estimator.history_[1:]] or [last["seconds"]]
    return {
        "model": type(estimator).__name__,
        "output": output,
        "parameters": estimator.settings_.to_dict() | {"scale": estimator.scale, "device": estimator.device},
        "epochs": estimator.n_epochs_,
        "seconds": seconds,
        "seconds_per_epoch": statistics.median(later),
        "train": {"loss": last["loss"], **_numbers(estimator, rows)},
        "validation": None
        if validation is None
        else {"loss": last["validation_loss"], **_numbers(estimator, validation)},
        "dead": np.flatnonzero(estimator.code_usage_ == 0).tolist(),
    }


def _numbers(estimator: BaseAutoencoder, rows: Any) -> dict[str, Any]:
    if np.isnan(rows).any():  # a squared error per row needs all values of it
        space = comparison.space_of(estimator).name
        known = {"rows": len(rows), "space": space, "explained_variance": estimator.score(rows)}
        return {"bce": None, "sse": None, "mse": None} | known
    numbers = comparison.evaluate(estimator, rows)
    return {name: numbers[name] for name in ("rows", "space", "bce", "sse", "mse", "explained_variance")}


def _lines(result: Mapping[str, Any]) -> list[str]:
    settings = result["parameters"]
    widths = " - ".join(map(str, [*settings["hidden_layers"], settings["n_components"]]))
    words = comparison.Space(result["train"]["space"]).words
    lines = [
        f"{result['model']} {widths}: {result['epochs']} epochs in {result['seconds']:.1f} s "
        f"({result['seconds_per_epoch']:.3f} s per epoch), saved in {result['output']}"
    ]
    for part in ("train", "validation"):
        numbers = result[part]
        if numbers is not None:
            bce = "" if numbers["bce"] is None else f"BCE {readable(numbers['bce'])} per value, "
            lines.append(
                f"{part}: {bce}SSE {readable(numbers['sse'])} per row, "
                f"{percent(numbers['explained_variance'])} of the variance explained, {words}"
            )
    return lines
