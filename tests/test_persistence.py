"""Models on disk: what comes back, what is refused, and what is never lost."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from helpers import CONFIGURATIONS, assert_same_weights
from isthmus import Autoencoder, SparseAutoencoder, load, persistence
from isthmus.errors import DataError, ModelFileError, OutputExistsError
from isthmus.objectives import L1
from isthmus.training import ReduceOnPlateau, Schedule

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


@pytest.fixture(scope="module")
def model(digits):
    """Return a small fitted model; tests must not change it."""
    return Autoencoder(4, hidden_layers=(12,), epochs=2, random_state=0, scale="standard").fit(
        digits[0][:200]
    )


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What comes back


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_loaded_model_is_the_saved_one(name, digits, tmp_path):
    train, test = digits
    model = (
        clone(CONFIGURATIONS[name]).set_params(epochs=2, random_state=0, validation_fraction=0.1).fit(train)
    )
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model)
    assert_same_weights(again, model)
    codes = model.transform(test)
    np.testing.assert_array_equal(again.transform(test), codes)
    np.testing.assert_array_equal(again.inverse_transform(codes), model.inverse_transform(codes))
    np.testing.assert_array_equal(again.score_samples(test), model.score_samples(test))
    assert again.settings_ == model.settings_
    assert again.history_ == model.history_
    assert (again.n_epochs_, again.loss_, again.input_shape_) == (
        model.n_epochs_,
        model.loss_,
        model.input_shape_,
    )
    np.testing.assert_array_equal(again.code_usage_, model.code_usage_)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_parameters_come_back(name, digits, tmp_path):
    model = clone(CONFIGURATIONS[name]).set_params(epochs=1, random_state=0).fit(digits[0][:100])
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").get_params() == model.get_params()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_loaded_model_learns_on(name, digits, tmp_path):
    model = clone(CONFIGURATIONS[name]).set_params(epochs=1, random_state=0).fit(digits[0])
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    before = again.score_samples(digits[0]).mean()
    for _ in range(5):
        again.partial_fit(digits[0])
    assert again.score_samples(digits[0]).mean() > before


def test_images_bytes_and_names_come_back(digits, tmp_path):
    pixels = np.rint(digits[0][:200].reshape(-1, 8, 8) * 255).astype(np.uint8)
    model = Autoencoder(4, epochs=2, random_state=0).fit(pixels)
    model.save(tmp_path / "images")
    np.testing.assert_array_equal(load(tmp_path / "images").reconstruct(pixels), model.reconstruct(pixels))

    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(digits[0][:200, :9], columns=list("abcdefghi"))
    model = Autoencoder(4, epochs=2, random_state=0).fit(frame)
    model.save(tmp_path / "named")
    again = load(tmp_path / "named")
    assert list(again.feature_names_in_) == list("abcdefghi")
    pd.testing.assert_frame_equal(
        again.set_output(transform="pandas").transform(frame),
        model.set_output(transform="pandas").transform(frame),
    )
    with pytest.raises(ValueError, match="feature names should match"):
        again.transform(frame[list("bacdefghi")])


def test_the_scaling_keeps_all_its_digits(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3)) * [1e-6, 1, 1e9] + [1 / 3, 1e15 / 7, 0]
    model = Autoencoder(2, epochs=2, random_state=0).fit(X)
    model.save(tmp_path / "model")
    assert torch.equal(load(tmp_path / "model").encoder_.scaling.offset, model.encoder_.scaling.offset)


def test_parts_with_numbers_of_numpy_can_be_saved(digits, tmp_path):
    model = SparseAutoencoder(
        np.int64(4),
        penalty=L1(weight=np.float32(0.001)),
        schedule=ReduceOnPlateau(patience=np.int64(3)),
        hidden_layers=[np.int64(9)],
        epochs=1,
        random_state=np.random.default_rng(0),
    ).fit(digits[0][:100])
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.settings_ == model.settings_
    assert again.random_state is None


def test_the_files_are_json_and_safetensors_and_nothing_else(saved, model):
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((saved / "config.json").read_text())
    assert (config["format"], config["format_version"], config["class"]) == (
        "isthmus-model",
        1,
        "Autoencoder",
    )
    tensors = load_file(saved / "model.safetensors")
    assert set(tensors) == {*dict(model._assembly.named_parameters()), "scaling.offset", "scaling.unit"}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o777 & ~mask


def test_what_could_not_be_loaded_is_not_saved(digits, tmp_path):
    @dataclass(frozen=True)
    class Own(Schedule):
        name = "own"

        def factor(self, progress, losses):
            return 1.0

    fitted = Autoencoder(3, epochs=1, random_state=0).fit(digits[0][:50])
    with pytest.raises(DataError, match=r"not saved, since .*: its parameters 'patience' must be an integer"):
        fitted.set_params(patience=2.5).save(tmp_path / "model")
    fitted.set_params(patience=10).settings_ = replace(fitted.settings_, schedule=Own())
    with pytest.raises(DataError, match=r"not saved, since .*: its settings 'schedule' part must be one of"):
        fitted.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_unfitted_model_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        Autoencoder().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


STORED = Path(__file__).parent / "stored_models"


@pytest.mark.parametrize("name", sorted(path.name for path in STORED.iterdir()))
def test_models_of_earlier_versions_are_loaded(name):
    """They were written before models had a reason why training ended, or the range of their training data."""
    model = load(STORED / name)
    known = json.loads((STORED / name / "codes.json").read_text())
    rows = np.array(known["rows"]).reshape(-1, *model.input_shape_)
    vars(model).pop("feature_names_in_", None)
    np.testing.assert_allclose(model.transform(rows), known["codes"], rtol=1e-4, atol=1e-5)
    assert np.isfinite(model.inverse_transform(model.transform(rows))).all()


def test_numbers_and_sequences_of_any_type_come_back_as_such(digits, tmp_path):
    model = Autoencoder(
        4, hidden_layers=range(9, 11), learning_rate=Fraction(1, 128), epochs=1, random_state=0
    )
    model.fit(digits[0][:60]).save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.hidden_layers, again.learning_rate) == ((9, 10), 1 / 128)


# What is never lost


def test_an_existing_model_is_replaced_only_when_asked(saved, digits):
    before = files(saved)
    other = Autoencoder(3, epochs=1, random_state=1).fit(digits[0][:50])
    with pytest.raises(OutputExistsError, match=r"exists. To replace it, use overwrite=True \(--force\)"):
        other.save(saved)
    assert files(saved) == before
    other.save(saved, overwrite=True)
    assert_same_weights(load(saved), other)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


def foreign_file(path):
    path.write_text("years of work")


def foreign_model(path):
    """Write what other libraries call a model: the same two names."""
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert"}')
    (path / "model.safetensors").write_bytes(b"weights")


@pytest.mark.parametrize("make", [foreign_folder, foreign_file, foreign_model])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_never_replaced(make, overwrite, model, tmp_path):
    make(tmp_path / "model")
    before = files(tmp_path)
    with pytest.raises(OutputExistsError, match="exists and is not a model; choose another name"):
        model.save(tmp_path / "model", overwrite=overwrite)
    assert files(tmp_path) == before


def test_what_lies_beside_the_model_stays(saved, model):
    (saved / "notes").mkdir()
    (saved / "notes" / "first.txt").write_text("good one")
    model.save(saved, overwrite=True)
    assert (saved / "notes" / "first.txt").read_text() == "good one"
    assert_same_weights(load(saved), model)


def test_a_link_to_a_model_is_followed(saved, digits, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(saved)
    other = Autoencoder(3, epochs=1, random_state=1).fit(digits[0][:50])
    other.save(link, overwrite=True)
    assert link.is_symlink()
    assert_same_weights(load(saved), other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "model"]


def test_an_empty_folder_is_a_place_for_a_model(model, tmp_path):
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    assert_same_weights(load(tmp_path / "model"), model)


@pytest.mark.parametrize("moment", ["write config", "write weights", "put in place"])
def test_a_failing_write_leaves_the_old_model(moment, saved, digits, monkeypatch):
    before = files(saved)
    other = Autoencoder(3, epochs=1, random_state=1).fit(digits[0][:50])
    write, rename = persistence._write_synced, type(saved).rename

    def failing_write(path, content):
        if moment.split()[1] in {"weights" if path.name.endswith("tensors") else "config"}:
            path.write_bytes(content[:10])
            raise OSError(28, "No space left on device")
        write(path, content)

    def failing_rename(path, target):
        if moment == "put in place" and target == saved and not path.name.endswith("-old"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(persistence, "exchange", lambda *_: False)  # as where the system cannot
    monkeypatch.setattr(persistence, "_write_synced", failing_write)
    monkeypatch.setattr(type(saved), "rename", failing_rename)
    with pytest.raises(
        DataError, match=r"Cannot write .*model: (No space left on device|Input/output error)"
    ):
        other.save(saved, overwrite=True)
    assert files(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_written_is_named(model, tmp_path):
    with pytest.raises(DataError, match=r"folder .*nowhere does not exist. Create it first"):
        model.save(tmp_path / "nowhere" / "model")
    with pytest.raises(DataError, match="Cannot write"):
        model.save(tmp_path / ("x" * 300))
    assert list(tmp_path.iterdir()) == []


# What is refused


def edit_config(**changes):
    def damage(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def edit_settings(**changes):
    def damage(folder):
        settings = json.loads((folder / "config.json").read_text())["settings"]
        edit_config(settings={**settings, **changes})(folder)

    return damage


def edit_weights(change):
    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def truncate(name, keep):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


FIRST = "network.encoder.0.weight"
DAMAGES = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "half the weights": (truncate("model.safetensors", 0.5), "damaged or truncated"),
    "no byte of the weights": (truncate("model.safetensors", 0), "damaged or truncated"),
    "weights are text": (write("model.safetensors", b"hello " * 99), "damaged or truncated"),
    "a header without end": (write("model.safetensors", b"\xff" * 64), "damaged or truncated"),
    "half the config": (truncate("config.json", 0.5), "cannot be read as JSON"),
    "config is binary": (write("config.json", b"\xff\xfe\x00"), "cannot be read as JSON"),
    "config nested without end": (write("config.json", b"[" * 100_000), "cannot be read as JSON"),
    "config is a list": (write("config.json", b"[1, 2]"), "not the configuration of an Isthmus model"),
    "another format": (edit_config(format="bert"), "not the configuration of an Isthmus model"),
    "a newer version": (edit_config(format_version=2), "format version 2; .* Update Isthmus"),
    "a version in words": (edit_config(format_version="new"), "format version 'new'"),
    "an unknown class": (
        edit_config(**{"class": "os.system"}),
        "class 'os.system' is not one of Autoencoder",
    ),
    "a class that is a list": (edit_config(**{"class": ["Autoencoder"]}), "cannot be loaded"),
    "an unknown parameter": (edit_config(parameters={"beta": 4}), r"parameters \['beta'\] are not known"),
    "an unknown part": (edit_settings(loss={"part": "l7"}), "'l7'"),
    "a part with an unknown setting": (
        edit_settings(loss={"part": "huber", "gamma": 1}),
        "no setting 'gamma'",
    ),
    "a part out of its range": (
        edit_settings(loss={"part": "huber", "delta": -1}),
        "'delta' parameter of Huber",
    ),
    "an unknown activation": (edit_settings(activation="explode"), "cannot be loaded"),
    "a missing setting": (edit_config(settings={}), "configuration is damaged"),
    "settings that are text": (edit_config(settings="all"), "cannot be loaded"),
    "a missing entry": (edit_config(history=None), "configuration is damaged"),
    "an empty history": (edit_config(history=[]), "configuration is damaged"),
    "an infinite width": (edit_config(input_shape=[float("inf")]), "configuration is damaged"),
    "a negative width": (edit_config(input_shape=[-64]), "cannot be loaded"),
    "another width": (edit_config(input_shape=[63]), "do not fit"),
    "an enormous width": (edit_config(input_shape=[10**30]), "cannot be loaded"),
    "another depth": (edit_settings(hidden_layers=[12, 12]), "do not fit its configuration"),
    "an enormous layer": (edit_settings(hidden_layers=[10**9]), "do not fit its configuration"),
    "a weight too few": (
        edit_weights(lambda tensors: tensors.pop(FIRST)),
        f"'{FIRST}' should be .* but is None",
    ),
    "a weight too many": (edit_weights(lambda t: t.update(extra=torch.ones(2))), "'extra' should be None"),
    "a weight of another shape": (
        edit_weights(lambda t: t.update({FIRST: torch.ones(5, 64)})),
        r"is \(5, 64\)",
    ),
    "a weight that is NaN": (
        edit_weights(lambda t: t[FIRST][0].fill_(float("nan"))),
        "not finite, in '" + FIRST,
    ),
    "an infinite scaling": (edit_weights(lambda t: t["scaling.unit"].fill_(float("inf"))), "not finite"),
    "a scaling by zero": (edit_weights(lambda t: t["scaling.unit"].zero_()), "unit that is not positive"),
    "no scaling": (edit_weights(lambda t: t.pop("scaling.unit")), "configuration is damaged"),
    "half a scaling": (
        edit_weights(lambda t: t.update({"scaling.unit": torch.ones(32)})),
        "scaling do not fit",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_in_one_line(damage, saved):
    break_it, message = DAMAGES[damage]
    break_it(saved)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="nothing does not exist; a model is a folder with"):
        load(tmp_path / "nothing")
    (tmp_path / "file").write_text("hello")
    with pytest.raises(ModelFileError, match="file is not a model"):
        load(tmp_path / "file")


def test_a_damaged_model_can_be_replaced(saved, model):
    truncate("config.json", 0.5)(saved)
    model.save(saved, overwrite=True)
    assert_same_weights(load(saved), model)
