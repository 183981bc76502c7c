"""The package as a whole: what it costs to import, what it shows, and what it documents."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import isthmus
import lowest_versions
from isthmus.data import load_mnist

SOURCE = Path(isthmus.__file__).parent
ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "sklearn", "scipy", "numpy", "matplotlib", "pandas", "rich", "jinja2", "PIL", "safetensors"}
MODULES = ["isthmus", "isthmus.bottlenecks", "isthmus.data", "isthmus.errors", "isthmus.estimators"]
MODULES += ["isthmus.metrics", "isthmus.networks", "isthmus.objectives", "isthmus.plots", "isthmus.training"]


def modules_after(code):
    """Return the top-level modules in memory after running ``code`` in a fresh interpreter."""
    program = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stderr == ""
    return set(finished.stdout.split())


def test_the_import_is_light():
    assert not modules_after("import isthmus, isthmus.errors; isthmus.__version__; dir(isthmus)") & HEAVY


@pytest.mark.parametrize("module", ["data", "metrics", "plots", "persistence"])
def test_parts_that_start_without_torch(module):
    loaded = modules_after(f"import isthmus.{module}")
    assert not loaded & {"torch", "sklearn", "matplotlib"}


def test_a_name_is_loaded_on_first_use():
    assert "torch" in modules_after("import isthmus; isthmus.Autoencoder")
    with pytest.raises(AttributeError, match="module 'isthmus' has no attribute 'Autoencodr'"):
        isthmus.Autoencodr  # noqa: B018


def test_all_is_sorted_complete_and_what_dir_shows():
    assert isthmus.__all__ == sorted(isthmus.__all__)
    assert set(isthmus.__all__) == {*isthmus._HOMES, "__version__"}
    assert set(isthmus.__all__) <= set(dir(isthmus))
    # What type checkers see is what there is.
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set(isthmus._HOMES)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there_and_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, public


def test_star_import_works():
    namespace = {}
    exec("from isthmus import *", namespace)  # noqa: S102
    assert set(isthmus.__all__) <= set(namespace)


#: Compiles the package as PYTHONOPTIMIZE=2 does; with that, all of torch would be compiled for the test.
STRIPPED = """
from importlib.machinery import SourceFileLoader
usual = SourceFileLoader.get_code
def stripped(self, name):
    if name.split(".")[0] != "isthmus":
        return usual(self, name)
    with open(self.path, encoding="utf-8") as file:
        return compile(file.read(), self.path, "exec", dont_inherit=True, optimize=2)
SourceFileLoader.get_code = stripped
"""


def test_the_command_line_works_without_asserts_and_docstrings(tmp_path):
    rows, model = str(tmp_path / "rows.csv"), str(tmp_path / "model")
    Path(rows).write_text("\n".join(f"{n % 7},{n % 5},{n % 3}" for n in range(40)))
    program = STRIPPED + (
        "import sys, isthmus; from isthmus.cli import main\n"
        f"codes = [main(['fit', {rows!r}, '-o', {model!r}, '--epochs', '2']), main(['fit', '--help'])]\n"
        "print(isthmus.Autoencoder.__doc__); sys.exit(max(codes))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--n-components" in run.stdout
    assert run.stdout.endswith("None\n")
    assert (tmp_path / "model" / "config.json").exists()


def test_asserts_do_no_work_that_would_be_missed():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert):
                called = {call.func.id for call in ast.walk(node.test) if isinstance(call, ast.Call)}
                assert called <= {"isinstance", "len"}, f"{path}:{node.lineno}"
                assert not any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test))


def test_the_types_are_shipped():
    assert (SOURCE / "py.typed").is_file()


# Documentation


def documented_parameters(documented):
    """Return the names in the Parameters section of a numpydoc docstring."""
    text = inspect.cleandoc(documented.__doc__ or "")
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", text, re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^(\S[^:\n]*?)(?: : .*)?$", section[1], re.MULTILINE) if section else []
    return [name.strip() for line in lines for name in line.split(",")]


def public_classes():
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            # Errors are raised and protocols fulfilled; neither is constructed with parameters.
            if inspect.isclass(value) and not (
                issubclass(value, Exception) or getattr(value, "_is_protocol", False)
            ):
                yield pytest.param(value, id=f"{module_name}.{name}")


@pytest.mark.parametrize("public", list(public_classes()))
def test_the_parameters_of_a_class_are_documented(public):
    signature = list(inspect.signature(public).parameters)
    if "args" in signature and "kwargs" in signature:
        pytest.skip("has no constructor of its own")
    # A part inherits settings, and their documentation, from its base.
    inherited = {name for base in public.__mro__[1:] for name in documented_parameters(base)}
    inherited |= {field for base in public.__mro__ for field in documented_attributes(base)}
    documented = documented_parameters(public)
    if "**parameters" in documented:
        inherited |= set(documented_parameters(isthmus.Autoencoder))
        documented.remove("**parameters")
    if public.__name__ == "BaseAutoencoder":
        inherited |= set(documented_parameters(isthmus.Autoencoder))
    assert set(documented) <= set(signature), "documented, but not there"
    assert set(signature) <= {*documented, *inherited}, "there, but not documented"


def documented_attributes(documented):
    """Return the names in the Attributes section, where plain records document their fields."""
    text = inspect.cleandoc(documented.__doc__ or "").replace("\nAttributes\n", "\nParameters\n")
    return documented_parameters(type("Record", (), {"__doc__": text}))


def test_the_autoencoder_documents_its_parameters_in_order():
    assert documented_parameters(isthmus.Autoencoder) == list(
        inspect.signature(isthmus.Autoencoder).parameters
    )


def test_documented_attributes_exist_after_fit():
    import numpy as np

    model = isthmus.Autoencoder(2, epochs=1, random_state=0).fit(
        np.random.default_rng(0).normal(size=(20, 4))
    )
    text = inspect.cleandoc(isthmus.Autoencoder.__doc__)
    section = re.search(r"^Attributes\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$)", text, re.DOTALL | re.MULTILINE)[1]
    names = {n.strip() for line in re.findall(r"^(\S.*?) : ", section, re.MULTILINE) for n in line.split(",")}
    public = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert names == public | {"feature_names_in_"}


@pytest.mark.parametrize(
    "name", ["fit", "partial_fit", "transform", "inverse_transform", "reconstruct", "score"]
)
def test_the_arguments_of_a_method_are_documented(name):
    method = getattr(isthmus.Autoencoder, name)
    assert documented_parameters(method) == [p for p in inspect.signature(method).parameters if p != "self"]


def test_the_source_distribution_has_all_that_the_tests_open(tmp_path):
    """Distributions build from it and run its tests there."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("src", "tests", "benchmarks", "docs", "examples")
    wanted = {file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()}
    wanted |= {
        ROOT / name for name in ("conftest.py", "Makefile", "constraints.txt", "pyproject.toml", "LICENSE")
    }
    wanted |= set(ROOT.glob("*.md"))
    caches = {"__pycache__", ".hypothesis", ".ruff_cache", ".mypy_cache", ".pytest_cache"}
    names = {str(file.relative_to(ROOT)) for file in wanted if not caches & set(file.parts)}
    assert not {name for name in names if ".egg-info" not in name} - held


def test_the_lowest_versions_are_read_from_the_declared_ones():
    found = lowest_versions.lowest()
    assert {"torch", "numpy", "pandas", "cyclopts", "polars"} <= found.keys()
    assert not {"ruff", "mypy"} & found.keys()
    newest = [
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")
    ]
    assert newest[0] in lowest_versions.constraints()
    assert f"numpy=={found['numpy']}" in lowest_versions.constraints()


def readme_blocks():
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


#: What the README shows and only an extra installs.
EXTRAS = {"Compressor": "constriction", 'Map("tsne"': "openTSNE"}


def first(split, n_rows):
    """Return the first images of a split, as a split."""
    return dataclasses.replace(
        split,
        n_images=n_rows,
        decode_images=lambda: split.decode_images()[:n_rows],
        decode_labels=lambda: split.decode_labels()[:n_rows],
    )


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")  # its models have no seed
@pytest.mark.parametrize("n_rows", [700, pytest.param(60_000, marks=pytest.mark.slow)])
def test_the_readme_runs(n_rows, tmp_path, monkeypatch):
    parts = tuple(first(split, min(n_rows, len(split))) for split in load_mnist())
    monkeypatch.setattr("isthmus.data.load_mnist", lambda: parts)
    blocks = readme_blocks()
    assert blocks
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        if any(name in block and find_spec(package) is None for name, package in EXTRAS.items()):
            continue
        exec(compile(block, f"README.md, block {number}", "exec"), namespace)  # noqa: S102
