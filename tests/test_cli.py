"""The command line, as a stranger meets it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus.cli import compressing, inputs, main, models
from isthmus.data import read_data, write_data
from isthmus.training import ProgressBar

FIT = ["--n-components", "8", "--epochs", "5", "--random-state", "0"]


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture
def files(tmp_path, digits, monkeypatch):
    """A folder to work in, with training rows, test rows, and a table with names."""
    monkeypatch.chdir(tmp_path)
    np.save("train.npy", digits[:1200])
    np.save("test.npy", digits[1200:])
    rng = np.random.default_rng(0)
    lines = [",".join(map(str, row)) for row in rng.normal(size=(60, 3)) * [1, 1000, 1e-3]]
    (tmp_path / "table.csv").write_text("\n".join(["age,income,share", *lines]))
    return tmp_path


@pytest.fixture
def model(files, capsys):
    assert main(["fit", "train.npy", "-o", "model", *FIT]) == 0
    capsys.readouterr()
    return files / "model"


def run_json(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["--version"]])
def test_starts_without_torch(arguments):
    code = (
        "import sys; from isthmus.cli import main; main(sys.argv[1:]); "
        "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_python_m_isthmus_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == isthmus.__version__


def test_fit_reports_what_the_library_finds(files, capsys, digits):
    told = run_json(capsys, "fit", "train.npy", "-o", "model", "--validation", "test.npy", *FIT)
    assert {"model", "parameters", "epochs", "seconds", "seconds_per_epoch", "train", "validation"} <= set(
        told
    )
    twin = isthmus.Autoencoder(8, epochs=5, random_state=0).fit(digits[:1200], validation_data=digits[1200:])
    assert told["train"]["loss"] == twin.history_[-1]["loss"]
    assert told["validation"]["loss"] == twin.history_[-1]["validation_loss"]
    np.testing.assert_array_equal(isthmus.load("model").transform(digits), twin.transform(digits))
    assert told["parameters"]["n_components"] == 8
    assert told["epochs"] == 5


def test_evaluate_puts_pca_of_equal_width_beside_the_model(model, capsys, digits):
    told = run_json(capsys, "evaluate", "model", "test.npy", "--reference", "train.npy")
    pca = PCA(8).fit(digits[:1200])
    test = digits[1200:].astype(np.float64)
    error = ((pca.inverse_transform(pca.transform(test)) - test) ** 2).sum(1).mean()
    assert told["pca"]["sse"] == pytest.approx(error, rel=1e-5)
    assert told["mse"] == pytest.approx(told["sse"] / 64)
    assert 0 < told["bce"] < np.log(2)
    assert set(told["codes"]) == {"mean", "zeros", "active", "dead"}
    assert "PCA with 8 components" in told["verdict"]
    assert run_json(capsys, "evaluate", "model", "test.npy")["pca"] is None


def test_evaluate_for_people(model, capsys):
    assert main(["evaluate", "model", "test.npy", "--reference", "train.npy"]) == 0
    out = capsys.readouterr().out
    assert "PCA-8" in out
    assert "dead units" in out


def test_codes_and_copies_are_the_library_s(model, capsys, digits):
    fitted, test = isthmus.load("model"), digits[1200:]
    assert main(["transform", "model", "test.npy", "-o", "codes.npy"]) == 0
    np.testing.assert_array_equal(np.load("codes.npy"), fitted.transform(test))
    assert main(["inverse-transform", "model", "codes.npy", "-o", "copies.npz"]) == 0
    assert main(["reconstruct", "model", "test.npy", "-o", "direct.npz"]) == 0
    np.testing.assert_array_equal(read_data("copies.npz").rows, fitted.reconstruct(test))
    np.testing.assert_array_equal(read_data("direct.npz").rows, fitted.reconstruct(test))


def test_columns_are_matched_by_name(files, capsys):
    assert main(["fit", "table.csv", "-o", "table", "--epochs", "5", "--random-state", "0"]) == 0
    rows = read_data("table.csv").rows
    moved = "\n".join(["share,age,income", *(",".join(map(str, row)) for row in rows[:, [2, 0, 1]])])
    (files / "moved.csv").write_text(moved)
    (files / "less.csv").write_text("age,share\n1,2\n3,4\n")
    assert main(["reconstruct", "table", "table.csv", "-o", "a.csv"]) == 0
    assert main(["reconstruct", "table", "moved.csv", "-o", "b.csv"]) == 0
    assert (files / "a.csv").read_text() == (files / "b.csv").read_text()
    assert read_data("a.csv").columns == ("age", "income", "share")
    assert main(["transform", "table", "less.csv", "-o", "c.csv"]) == 2
    assert "'income'" in capsys.readouterr().err


@pytest.fixture(params=[".csv", ".parquet"])
def moved(request, files):
    """The table, its columns in another order, and with one of other names, all in one format."""
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    rows, names = read_data("table.csv").rows, ["age", "income", "share"]
    tables = {
        "table": (rows, names),
        "moved": (rows[:, [2, 0, 1]], ["share", "age", "income"]),
        "wider": (rows[:, [2, 0, 2, 1]], ["share", "age", "id", "income"]),
        "other": (rows, ["age", "income", "weight"]),
        "twice": (rows[:, [0, 1, 1, 2]], ["age", "income", "income", "share"]),
    }
    for name, (table, columns) in tables.items():
        write_data(table, f"{name}{request.param}", columns=columns, overwrite=True)
    return lambda name: f"{name}{request.param}"


SMALL = ["--n-components", "1", "--epochs", "3", "--random-state", "0", "-o"]


def test_validation_rows_are_aligned_by_name(moved, capsys):
    told = {}
    for name in ("table", "moved", "wider"):
        told[name] = run_json(capsys, "fit", moved("table"), "--validation", moved(name), *SMALL, name)
    assert told["moved"]["validation"] == told["wider"]["validation"] == told["table"]["validation"]
    assert told["table"]["validation"]["loss"] == pytest.approx(told["table"]["train"]["loss"], rel=0.5)


@pytest.mark.parametrize(("name", "words"), [("other", "'share'"), ("twice", "two columns called 'income'")])
def test_validation_rows_of_other_columns_are_refused_before_the_training(
    name, words, moved, files, capsys, monkeypatch
):
    monkeypatch.setattr(isthmus.Autoencoder, "fit", lambda *_, **__: pytest.fail("it was trained"))
    assert main(["fit", moved("table"), "--validation", moved(name), *SMALL, "model"]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (files / "model").exists()


def test_columns_that_are_left_out_are_named(moved, capsys):
    assert main(["fit", moved("table"), "--validation", moved("wider"), *SMALL, "model"]) == 0
    told = capsys.readouterr().err
    assert f"{moved('wider')} has a column beside the 3 of {moved('table')}, left out here: 'id'." in told


def test_validation_rows_of_another_width_are_refused_before_the_training(files, capsys):
    np.save("narrow.npy", np.zeros((5, 2)))
    assert main(["fit", "table.csv", "--validation", "narrow.npy", *SMALL, "model"]) == 2
    assert "rows of shape (2,), but those of table.csv have the shape (3,)" in capsys.readouterr().err
    assert not (files / "model").exists()


def test_rows_without_names_are_taken_by_position_and_that_is_said(files, capsys):
    np.save("plain.npy", read_data("table.csv").rows)
    told = [
        run_json(capsys, "fit", "table.csv", "--validation", name, *SMALL, f"m{name}")["validation"]
        for name in ("table.csv", "plain.npy")
    ]
    assert told[0] == told[1]
    assert main(["transform", "mtable.csv", "plain.npy", "-o", "codes.npy"]) == 0
    assert "plain.npy has no names of columns" in capsys.readouterr().err


def test_every_command_takes_columns_by_name(moved, files, capsys):
    assert main(["fit", moved("table"), *SMALL, "model"]) == 0
    capsys.readouterr()
    for name in ("table", "moved"):
        for command in ("transform", "reconstruct", "compress"):
            if command == "compress":
                pytest.importorskip("constriction")
            assert main([command, "model", moved(name), "-o", f"{command}-{name}.npy"]) == 0
    assert main(["decompress", "model", "compress-moved.npy", "-o", "back.csv"]) == 0
    assert read_data("back.csv").columns == ("age", "income", "share")
    for command in ("transform", "reconstruct", "compress"):
        first, second = ((files / f"{command}-{name}.npy").read_bytes() for name in ("table", "moved"))
        assert first == second
    capsys.readouterr()
    told = [
        run_json(capsys, "evaluate", "model", moved(name), "--reference", moved(other))
        for name, other in (("table", "table"), ("moved", "moved"), ("table", "moved"))
    ]
    for other in told[1:]:
        assert {**other, "data": ""} == {**told[0], "data": ""}
    assert main(["evaluate", "model", moved("table"), "--reference", moved("other")]) == 2


def test_codes_are_taken_by_name(moved, files, capsys):
    assert main(["fit", moved("table"), "--n-components", "2", "--epochs", "3", "-o", "model"]) == 0
    assert main(["transform", "model", moved("table"), "-o", moved("codes")]) == 0
    codes = read_data(moved("codes"))
    write_data(codes.rows[:, ::-1], moved("turned"), columns=codes.columns[::-1])
    write_data(codes.rows, moved("renamed"), columns=["a", "b"])
    for name in ("codes", "turned"):
        assert main(["inverse-transform", "model", moved(name), "-o", f"{name}.npy"]) == 0
    np.testing.assert_array_equal(np.load("codes.npy"), np.load("turned.npy"))
    assert main(["inverse-transform", "model", moved("renamed"), "-o", "renamed.npy"]) == 2
    assert "'autoencoder0'" in capsys.readouterr().err


def test_test_rows_of_compare_are_aligned_by_name(moved, capsys):
    arguments = ["--model", "single", "--seconds", "0.1", "--baseline", "dct", "--no-rates"]
    told = [
        run_json(capsys, "compare", moved("table"), "--test", moved(name), *arguments)["rows"]
        for name in ("table", "moved")
    ]
    errors = [{row["name"]: row["sse"] for row in rows if row["name"] != "single"} for rows in told]
    assert errors[0] == errors[1]
    assert len(errors[0]) > 1
    assert main(["compare", moved("table"), "--test", moved("other"), *arguments]) == 2
    assert "'share'" in capsys.readouterr().err


def test_parts_and_widths_are_written_as_text(files, capsys):
    told = run_json(
        capsys, "fit", "train.npy", "-o", "deep", *FIT, "--hidden-layers", "32,16", "--penalty",
        "l2:weight=0.5,on=weights", "--patience", "none", "--tied",
    )  # fmt: skip
    parameters = told["parameters"]
    assert parameters["hidden_layers"] == [32, 16]
    assert parameters["penalty"] == {"part": "l2", "weight": 0.5, "on": "weights", "per": "feature"}
    assert parameters["patience"] is None
    assert parameters["tied"] is True


def test_sparse_model_by_name(files, capsys):
    told = run_json(capsys, "fit", "train.npy", "-o", "sparse", "--model", "sparse", *FIT)
    assert told["model"] == "SparseAutoencoder"
    assert told["parameters"]["penalty"]["part"] == "l1"


def test_k_is_an_option_of_k_sparse_models(files, capsys):
    told = run_json(capsys, "fit", "train.npy", "-o", "k", "--model", "k-sparse", "--k", "3", *FIT)
    assert told["parameters"]["bottleneck"]["k"] == 3
    main(["transform", "k", "test.npy", "-o", "codes.npy"])
    assert ((np.load("codes.npy") != 0).sum(axis=1) <= 3).all()
    assert main(["fit", "train.npy", "-o", "other", "--k", "3"]) == 2
    assert "--k is no option of --model autoencoder" in capsys.readouterr().err


def test_a_machine_has_options_of_its_own(files, capsys):
    machine = ["--model", "restricted-boltzmann-machine", "--n-components", "8", "--epochs", "2"]
    told = run_json(capsys, "fit", "train.npy", "-o", "machine", *machine, "--sampler", "pcd:n_chains=20")
    assert told["model"] == "RestrictedBoltzmannMachine"
    assert told["parameters"]["sampler"] == {"part": "pcd", "n_steps": 1, "n_chains": 20}
    assert main(["fit", "train.npy", "-o", "other", *machine, "--hidden-layers", "9"]) == 2
    assert "--hidden-layers is no option of --model restricted-boltzmann-machine" in capsys.readouterr().err
    assert main(["fit", "train.npy", "-o", "other", "--sampler", "pcd"]) == 2
    assert "--sampler is no option of --model autoencoder" in capsys.readouterr().err


def test_info_describes_a_model(model, capsys):
    told = run_json(capsys, "info", "model")
    assert told["model"] == "Autoencoder"
    assert told["n_components"] == 8
    assert told["input_shape"] == [64]


MISTAKES = {
    "no such command": (["fitt"], "Did you mean"),
    "no such option": (["fit", "train.npy", "-o", "m", "--n-component", "3"], "--n-component"),
    "no such data": (["fit", "nothing.npy", "-o", "m"], "nothing.npy does not exist"),
    "misspelt data set": (["fit", "mnsit", "-o", "m"], "Did you mean 'mnist'"),
    "no such model name": (["fit", "train.npy", "-o", "m", "--model", "sparce"], "Did you mean 'sparse'"),
    "no such loss": (["fit", "train.npy", "-o", "m", "--loss", "msee"], "Did you mean 'mse'"),
    "no such setting": (["fit", "train.npy", "-o", "m", "--penalty", "l1:wieght=1"], "Did you mean 'weight'"),
    "no components": (["fit", "train.npy", "-o", "m", "--n-components", "0"], "at least 1"),
    "too many components": (["fit", "train.npy", "-o", "m", "--n-components", "65"], "SparseAutoencoder"),
    "text for a number": (["fit", "train.npy", "-o", "m", "--epochs", "many"], "'epochs'"),
    "not a number in the data": (["fit", "nan.npy", "-o", "m"], "NaN in row 3, column 2"),
    "infinity in the data": (["fit", "inf.npy", "-o", "m"], "row 0, column 1"),
    "text in a table": (["fit", "text.csv", "-o", "m"], "line 3"),
    "one row": (["fit", "one.npy", "-o", "m"], "1 sample"),
    "a truncated file": (["fit", "cut.npy", "-o", "m"], "cut.npy"),
    "an empty file": (["fit", "empty.csv", "-o", "m"], "empty"),
    "nowhere to write": (["fit", "train.npy", "-o", "no/such/folder/m"], "does not exist"),
    "an existing model": (["fit", "train.npy", "-o", "model"], "--force"),
    "a folder that is no model": (["fit", "train.npy", "-o", "precious", "--force"], "not a model"),
    "model and data swapped": (["evaluate", "test.npy", "model"], "not a model"),
    "no such model": (["evaluate", "nothing", "test.npy"], "isthmus fit"),
    "wrong width": (["transform", "model", "narrow.npy", "-o", "c.npy"], "expecting 64 features"),
    "wrong width of codes": (["inverse-transform", "model", "narrow.npy", "-o", "c.npy"], "expecting 8"),
    "unknown ending": (["transform", "model", "test.npy", "-o", "codes.txt"], ".npy"),
    "an existing file": (["transform", "model", "test.npy", "-o", "test.npy"], "--force"),
    "no such device": (["transform", "model", "test.npy", "-o", "c.npy", "--device", "abacus"], "'device'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_loses_nothing(mistake, model, files, capsys, digits):
    spoilt = digits[:20].copy()
    spoilt[3, 2] = np.nan
    np.save("nan.npy", spoilt)
    spoilt[0, 1] = np.inf
    np.save("inf.npy", spoilt)
    np.save("one.npy", digits[:1])
    np.save("narrow.npy", digits[:20, :5])
    (files / "cut.npy").write_bytes((files / "train.npy").read_bytes()[:5000])
    (files / "empty.csv").write_text("")
    (files / "text.csv").write_text("a,b\n1,2\n3,four\n")
    (files / "precious").mkdir()
    (files / "precious" / "diary.txt").write_text("dear")
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}

    arguments, words = MISTAKES[mistake]
    assert main(arguments) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert words in told.err
    assert "Traceback" not in told.err
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_the_coder_is_asked_for_before_the_work(command, model, files, capsys, monkeypatch):
    monkeypatch.setattr(compressing, "load_model", lambda *_: pytest.fail("it began"))
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert main([command, "model", "test.npy", "-o", "out.npy"]) == 2
    assert "pip install isthmus[codec]" in capsys.readouterr().err
    assert not (files / "out.npy").exists()


@pytest.mark.parametrize("command", ["transform", "reconstruct", "inverse-transform", "decompress"])
def test_where_to_write_is_asked_before_the_work(command, model, capsys, monkeypatch):
    monkeypatch.setattr(inputs, "load_model", lambda *_: pytest.fail("it began"))
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("it began"))
    monkeypatch.setattr(compressing, "load_model", lambda *_: pytest.fail("it began"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for output, words in {
        "test.npy": "--force",
        "no/folder.npy": "does not exist",
        "x.txt": ".npz",
        "x.parquet": "isthmus[tables]",
    }.items():
        assert main([command, "model", "test.npy", "-o", output]) == 2
        assert words in capsys.readouterr().err


def test_force_replaces_a_model(model, capsys):
    told = run_json(
        capsys, "fit", "train.npy", "-o", "model", "--force", "--n-components", "4", "--epochs", "2"
    )
    assert told["parameters"]["n_components"] == 4
    assert isthmus.load("model").settings_.n_components == 4


def test_ctrl_c_keeps_the_best_weights_and_says_so(files, capsys, monkeypatch):
    def interrupt(self, state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "on_epoch_end", interrupt)
    code = main(["fit", "train.npy", "-o", "model", "--validation", "test.npy", *FIT])
    told = capsys.readouterr()
    assert code == 130
    assert "Interrupted" in told.err
    assert "the weights of epoch 3 were kept" in told.err
    assert len(isthmus.load("model").history_) == 3


def test_ctrl_c_before_the_first_epoch_writes_nothing(files, capsys, monkeypatch):
    def interrupt(self, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "on_step_end", interrupt)
    assert main(["fit", "train.npy", "-o", "model", *FIT]) == 130
    assert "Interrupted before the work was done" in capsys.readouterr().err
    assert not (files / "model").exists()


def test_dead_codes_are_told(files, capsys):
    assert (
        main(["fit", "train.npy", "-o", "m", *FIT, "--penalty", "l1:weight=100", "--code-activation", "relu"])
        == 0
    )
    assert "Warning: 8 of 8 code units" in capsys.readouterr().err


# On 1,500 images and in 5 epochs a ReLU unit may die; the demo itself has 60,000 and 50.
@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)
def test_demo_leaves_a_report_and_its_models(tmp_path, capsys, monkeypatch, digits):
    monkeypatch.setattr("isthmus.cli.demo.load_mnist", small_mnist)
    monkeypatch.setattr("isthmus.cli.demo.N_COMPONENTS", 16)
    folder = tmp_path / "demo"
    kinds = ["single", "sparse", "deep", "denoising", "variational", "convolutional"]
    kinds += ["pretrained", "RBM"]
    told = run_json(capsys, "demo", "-o", str(folder), "--epochs", "5", "--batch-size", "32")
    page = (folder / "index.html").read_text()
    assert [row["name"] for row in told["rows"]] == [*kinds, "PCA-2", "PCA-16", "PCA-256"]
    assert all(sentence in page for sentence in told["verdicts"])
    for picture in (
        "denoising-denoising",
        "variational-manifold",
        "variational-latent-map",
        "variational-samples",
        "pretrained-layers",
        "rbm-weights",
        "rbm-chains",
        "rbm-steps",
        "rbm-samples",
    ):
        assert (folder / "pictures" / f"{picture}.png").exists(), picture
    assert {path.name for path in (folder / "models").iterdir()} == set(kinds)
    assert isthmus.load(folder / "models" / "deep").settings_.hidden_layers == (128, 64)
    assert main(["demo", "-o", str(folder)]) == 2
    assert "--force" in capsys.readouterr().err


def small_mnist():
    from types import SimpleNamespace

    from isthmus.data import load_mnist

    test = load_mnist()[1]
    return tuple(
        SimpleNamespace(images=test.images[part], labels=test.labels[part], image_shape=(28, 28))
        for part in (slice(1500), slice(1500, 1700))
    )
