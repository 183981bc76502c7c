"""The command that shows it all: the notebook's three autoencoders on MNIST, five variants, and a report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from isthmus import comparison
from isthmus.cli.console import note, print_json, print_lines, print_table, readable
from isthmus.data import Split, load_mnist
from isthmus.errors import MissingDependencyError, OutputExistsError
from isthmus.estimators import (
    Autoencoder,
    BaseAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    RestrictedBoltzmannMachine,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from isthmus.report import settings_of, summarise, write_report
from isthmus.training import ProgressBar

N_COMPONENTS = 32
COMPRESSED = ("single", "sparse", "deep")
COMPRESSED_IMAGES = 1000  # of which AVIF takes seconds
NOTES = (
    "The test images are also the validation data, as in the notebook. They choose nothing here: every "
    "model is trained to its last epoch and keeps its last weights.",
    "BCE is the binary cross-entropy per pixel in nats. A perfect reconstruction of grey pixels has .0581, not 0.",
    "The L1 penalty of the sparse model costs some reconstruction error.",
    "The denoising model is trained on corrupted images and judged by what it restores. The variational model has a "
    "latent code of two numbers, so that it can be drawn.",
    "The pretrained model is the deep one with its layers trained one by one first. The RBM is a restricted Boltzmann "
    "machine with 256 hidden units. It is a model of density and is judged by its likelihood.",
    "The denoising and the variational model are trained for a fifth of the epochs, the convolutional model, the RBM "
    "and each layer of the pretrained model for a tenth.",
)


def demo(
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])] = "demo",
    epochs: int = 50,
    batch_size: int = 256,
    device: str = "auto",
    random_state: int = 0,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train the notebook's autoencoders and five variants on MNIST, and write a report.

    Parameters
    ----------
    output
        Folder for the report (index.html), its pictures and the models.
    epochs
        Passes over the 60,000 training images; a fifth or a tenth of them for the variants.
    batch_size
        Images a step.
    device
        Where to compute: auto, cpu, cuda.
    random_state
        Seed.
    force
        Replace an earlier report.
    json
        Print one JSON object.
    """
    folder = Path(output)
    if not force and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExistsError(f"{folder} exists. To replace the report in it, use --force.")
    train, test = load_mnist()
    models = _models(epochs=epochs, batch_size=batch_size, device=device, random_state=random_state)
    seconds = {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(train.images, validation_data=test.images)
        seconds[name] = time.perf_counter() - start
        note(f"{name}: {model.n_epochs_} epochs in {seconds[name]:.1f} s")

    summary = summarise(
        models,
        train.images,
        test.images,
        image_shape=train.image_shape,
        seconds=seconds,
        settings={name: settings_of(model) for name, model in models.items()},
        labels=test.labels,
        title="Autoencoders and PCA on MNIST",
        rates=_rates(models, train, test),
        notes=NOTES,
    )
    page = write_report(summary, folder, overwrite=force)
    (folder / "models").mkdir(exist_ok=True)
    for name, model in models.items():
        model.save(folder / "models" / name, overwrite=True)
    if json:
        shown = ("rows", "verdicts", "versions")
        print_json({"report": str(page), **{name: summary[name] for name in shown}})
        return
    _print_summary(summary)
    print_lines("", f"Open {page.resolve()}")


def _models(*, epochs: int, **shared: Any) -> dict[str, BaseAutoencoder]:
    """Return the notebook's three autoencoders and the variants, unfitted.

    The last weights count: nothing is chosen by the test images.
    """
    fifth, tenth = max(1, epochs // 5), max(1, epochs // 10)
    models: dict[str, BaseAutoencoder] = {
        "single": Autoencoder(N_COMPONENTS, epochs=epochs),
        "sparse": SparseAutoencoder(N_COMPONENTS, epochs=epochs),
        "deep": Autoencoder(N_COMPONENTS, hidden_layers=(128, 64), epochs=epochs),
        "denoising": DenoisingAutoencoder(N_COMPONENTS, hidden_layers=(256,), epochs=fifth),
        "variational": VariationalAutoencoder(2, hidden_layers=(256, 64), epochs=fifth),
        # As many numbers as the others: so short a training of the usual 128 would say nothing beside PCA-128.
        "convolutional": ConvolutionalAutoencoder(N_COMPONENTS, epochs=tenth),
        "pretrained": Autoencoder(
            N_COMPONENTS, hidden_layers=(128, 64), initialization=f"stacked:epochs={tenth}", epochs=epochs
        ),
        "RBM": RestrictedBoltzmannMachine(256, sampler="pcd", epochs=tenth),
    }
    return {
        name: model.set_params(patience=None, callbacks=[ProgressBar(name)], **shared)
        for name, model in models.items()
    }


def _rates(models: Mapping[str, BaseAutoencoder], train: Split, test: Split) -> list[dict[str, Any]] | None:
    """Return bytes and errors of the models of one width, of PCA and of image codecs."""
    some = test.images[:COMPRESSED_IMAGES]
    shown: dict[str, Any] = {name: models[name] for name in COMPRESSED}
    shown[f"PCA-{N_COMPONENTS}"] = comparison.fit_pca(train.images, N_COMPONENTS)
    try:
        return comparison.all_rates(shown, some, test.image_shape)
    except MissingDependencyError as error:
        note(f"Without bytes: {error}")
        return None


def _print_summary(summary: Mapping[str, Any]) -> None:
    header = ("MNIST test images", "BCE per pixel", "SSE per image", "seconds")
    print_table(
        header,
        [
            (row["name"], readable(row["bce"]), readable(row["sse"]), readable(row["seconds"], 3))
            for row in summary["rows"]
        ],
    )
    print_lines("", *summary["verdicts"])
