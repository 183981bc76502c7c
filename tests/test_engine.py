"""What makes training fast changes nothing but the time: every path is held against a plain one."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import stat
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers import ACTIVATIONS, CONFIGURATIONS, LOSSES, VALUE_PENALTIES, assert_same_weights, by_name
from isthmus import Autoencoder, _device, _kernels
from isthmus._kernels import Kernels, load_kernels
from isthmus.bottlenecks import PlainBottleneck
from isthmus.errors import DeviceMemoryWarning
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._closed_form import ClosedForm
from isthmus.estimators._objectives import ReconstructionObjective
from isthmus.networks import DenseNetwork, activation, backpropagation
from isthmus.objectives import BinaryCrossEntropy, ClosedFormLoss, Workspace
from isthmus.training import (
    Adam,
    AdamW,
    Autograd,
    Batch,
    Callback,
    CapturedStep,
    Constant,
    FlatParameters,
    ResidentBatches,
    StoredRows,
    fit,
)

# Small nets with a ReLU code lose units in some seeds; that is not the subject here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning"),
    pytest.mark.filterwarnings("ignore::isthmus.errors.CollapseWarning"),
]

CLOSED_FORM_LOSSES = [loss for loss in LOSSES if isinstance(loss, ClosedFormLoss)]


@pytest.fixture(scope="module")
def kernels():
    found = load_kernels()
    if found is None:
        pytest.skip("this machine has no C compiler")
    return found


# The closed form is the gradient


def assembled(*, hidden=(), inner="relu", code="identity", tied=False, dtype=torch.float64):
    bottleneck = PlainBottleneck(4, activation(code))
    generator = torch.Generator().manual_seed(3)
    network = DenseNetwork((9,), 4, 4, hidden_layers=hidden, activation=inner, tied=tied, generator=generator)
    return Assembly(network, bottleneck, {}).to(dtype)


def both_gradients(assembly, loss, penalty, n_rows=12, dtype=torch.float64):
    rows = torch.rand(n_rows, 9, generator=torch.Generator().manual_seed(4), dtype=dtype)
    objective = ReconstructionObjective(loss, penalty)
    with FlatParameters(assembly, precision=dtype) as memory:
        batch = Batch(rows, torch.arange(n_rows))
        reference = Autograd(assembly, objective, memory)(batch)
        wanted = memory.flat.grad.clone()
        memory.flat.grad.fill_(torch.nan)  # every value has to be written
        closed = ClosedForm.of(assembly, objective, memory, Workspace())
        terms = closed(batch)
        return (terms, memory.flat.grad.clone()), (reference, wanted)


def assert_closed_form_is_the_gradient(assembly, loss, penalty=None, n_rows=12):
    (terms, ours), (reference, wanted) = both_gradients(assembly, loss, penalty, n_rows)
    assert terms.keys() == reference.keys()
    for name, value in terms.items():
        torch.testing.assert_close(value, reference[name], rtol=1e-12, atol=0)
    torch.testing.assert_close(ours, wanted, rtol=1e-11, atol=1e-13)
    assert wanted.abs().max() > 1e-3


@pytest.mark.parametrize("hidden", [(), (7,), (8, 5)], ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_closed_form_of_every_activation(name, hidden):
    assembly = assembled(hidden=hidden, inner=name, code=name)
    assert_closed_form_is_the_gradient(assembly, BinaryCrossEntropy())


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("penalty", [None, *VALUE_PENALTIES], ids=by_name)
@pytest.mark.parametrize("loss", CLOSED_FORM_LOSSES, ids=by_name)
def test_closed_form_of_every_loss_and_penalty(loss, penalty, tied):
    assembly = assembled(hidden=(6,), inner="tanh", code="relu", tied=tied)
    assert_closed_form_is_the_gradient(assembly, loss, penalty)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_closed_form_with_rows_dealt_to_threads(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assembly = assembled(hidden=(6,), dtype=torch.float32)
    (_, ours), (_, wanted) = both_gradients(assembly, BinaryCrossEntropy(), None, 12, torch.float32)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(backpropagation._onednn_linear is None, reason="a torch without oneDNN")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_product_is_the_product(dtype, monkeypatch):
    # Single precision by oneDNN too where MKL is the choice; half where the processor can.
    monkeypatch.setattr(backpropagation, "_ONEDNN_TYPES", backpropagation._ONEDNN_TYPES | {torch.float32})
    generator = torch.Generator().manual_seed(0)
    inputs, weight = (torch.randn(shape, generator=generator) for shape in ((300, 200), (150, 200)))
    bias = torch.randn(150, generator=generator)
    wanted = inputs.double() @ weight.double().t() + bias
    for chosen in (slice(None), slice(0, 6)):  # by oneDNN, and too small for it
        product = backpropagation.product(
            inputs[chosen].to(dtype), weight.to(dtype), bias.to(dtype), backpropagation._Room()
        )
        precision = 1e-5 if dtype == torch.float32 else 0.03
        torch.testing.assert_close(product.double(), wanted[chosen], rtol=precision, atol=15 * precision)


@pytest.mark.slow  # a process of its own, which oneDNN's instructions are chosen for when it starts
def test_half_precision_works_without_instructions_for_it():
    program = """
import numpy as np
from isthmus import Autoencoder, SequenceAutoencoder
X = np.random.default_rng(0).random((260, 400), dtype=np.float32)
model = Autoencoder(16, hidden_layers=(300,), precision="bfloat16", epochs=1, batch_size=130).fit(X)
assert model.engine_["gradient"] == "closed form"
assert np.isfinite(model.reconstruct(X)).all()
for network in ("recurrent:cell=lstm", "recurrent:cell=gru"):
    model = SequenceAutoencoder(4, network=network, precision="bfloat16", epochs=1).fit(X.reshape(260, 40, 10))
    assert np.isfinite(model.reconstruct(X.reshape(260, 40, 10))).all()
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True, timeout=100)


def test_parts_without_a_closed_form_are_left_to_autograd(digits):
    model = Autoencoder(4, loss="gaussian", epochs=1, random_state=0).fit(digits[0])
    assert model.engine_["gradient"] == "autograd"
    assert Autoencoder(4, epochs=1, random_state=0).fit(digits[0]).engine_["gradient"] == "closed form"


# Parameters in one vector


def test_parameters_are_one_vector_inside_and_their_own_outside():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    before = copy.deepcopy(net.state_dict())
    memory = FlatParameters(net)
    for _ in range(2):  # the vector takes up what happened outside
        with memory:
            assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
            memory.flat.data += 1
            for name, value in net.state_dict().items():
                torch.testing.assert_close(value, before[name] + 1)
        storages = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
        assert len(storages) == 4
        memory.flat.data += 5
        net.load_state_dict(before)


def test_a_parameter_without_a_gradient_stays():
    net = nn.ModuleDict({"used": nn.Linear(2, 1), "unused": nn.Linear(2, 1)})
    with FlatParameters(net) as memory:
        Autograd(net, lambda net, batch: {"loss": net["used"](batch.rows).sum()}, memory)(
            Batch(torch.ones(3, 2), torch.arange(3))
        )
        assert memory.flat.grad.tolist() == [3, 3, 3, 0, 0, 0]


# Compiled functions


WIDTHS = [1, 15, 16, 17, 64, 784, 1024, 1025, 2100]


@pytest.mark.parametrize("width", WIDTHS)
def test_compiled_cross_entropy(kernels, width):
    generator = torch.Generator().manual_seed(width)
    pre_activations = 6 * torch.randn(5, width, generator=generator)
    rows, bias = torch.rand(5, width, generator=generator), torch.randn(width, generator=generator)
    exact = (pre_activations + bias).double().requires_grad_()
    wanted = functional.binary_cross_entropy_with_logits(exact, rows.double(), reduction="sum") / 5
    (slope,) = torch.autograd.grad(wanted, exact)
    mean = kernels.cross_entropy(pre_activations, rows, bias)
    assert mean.item() == pytest.approx(wanted.item(), rel=1e-6)
    torch.testing.assert_close(pre_activations.double(), slope, rtol=1e-5, atol=1e-7)


def test_compiled_cross_entropy_at_the_ends(kernels):
    values = torch.tensor([[-1e30, -200.0, -90.0, -40.0, 0.0, 17.0, 40.0, 90.0, 200.0, 1e30]])
    for target in (0.0, 0.25, 1.0):
        rows = torch.full_like(values, target)
        exact = values.double().requires_grad_()
        wanted = functional.binary_cross_entropy_with_logits(exact, rows.double(), reduction="sum")
        (slope,) = torch.autograd.grad(wanted, exact)
        gradient = values.clone()
        mean = kernels.cross_entropy(gradient, rows, None)
        assert mean.item() == pytest.approx(wanted.item(), rel=1e-6)
        torch.testing.assert_close(gradient.double(), slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_compiled_cross_entropy_hides_no_nan(kernels, bad):
    values = torch.zeros(2, 20)
    values[1, 7] = bad
    assert not torch.isfinite(kernels.cross_entropy(values, torch.zeros(2, 20), None))


@pytest.mark.parametrize("width", WIDTHS)
def test_compiled_cross_entropy_in_half_the_precision(kernels, width):
    generator = torch.Generator().manual_seed(width)
    low = [(4 * torch.randn(6, width, generator=generator)).bfloat16(), torch.rand(6, width).bfloat16()]
    bias = torch.randn(width, generator=generator).bfloat16()
    wide = low[0].float()
    wanted = kernels.cross_entropy(wide, low[1].float(), bias.float())
    mean = kernels.cross_entropy(low[0], low[1], bias)
    assert mean.item() == wanted.item()
    assert torch.equal(low[0], wide.bfloat16())  # rounded to nearest, as torch does


def test_results_do_not_depend_on_the_number_of_threads(kernels):
    values, rows = torch.randn(37, 100), torch.rand(37, 100)
    results = []
    for threads in (1, 2, 5):
        kernels_with = Kernels(kernels._library, threaded=True)
        kernels_with._threads = lambda threads=threads: threads
        gradient = values.clone()
        results.append((kernels_with.cross_entropy(gradient, rows, None).item(), gradient.tolist()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("unit", [255.0, 1.0, 7.0])
def test_compiled_gather(kernels, unit):
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(0, 256, (50, 33), generator=generator, dtype=torch.uint8)
    source[:8] = torch.arange(256).view(8, 32).repeat(1, 2)[:, :33].to(torch.uint8)
    chosen = torch.randperm(50, generator=generator)
    out = torch.empty(50, 33)
    kernels.gather(source, chosen, unit, out)
    assert torch.equal(out, source[chosen] / unit)
    for dtype in (torch.float32, torch.bfloat16):
        floats = source.to(dtype)
        kernels.gather(floats, chosen, 1.0, narrow := torch.empty(50, 33, dtype=dtype))
        assert torch.equal(narrow, floats[chosen])


@pytest.mark.parametrize("description", [Adam(), AdamW(beta1=0.5, beta2=0.9, epsilon=1e-4)], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_compiled_adam_is_torch_s(kernels, description, decay):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1003, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    steppers = [
        description.build([ours], 0.01, decay, kernels=kernels),
        description.build([theirs], 0.01, decay),
    ]
    assert isinstance(steppers[1], torch.optim.Adam)
    assert not isinstance(steppers[0], torch.optim.Adam)
    for step in range(60):
        gradient = torch.randn(1003, generator=generator) * 10.0 ** -(step % 4)
        for parameter, stepper in zip((ours, theirs), steppers, strict=True):
            parameter.grad = gradient.clone()
            stepper.param_groups[0]["lr"] = 0.01 / (1 + step)
            stepper.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)


def test_tiny_numbers_are_zero_for_compiled_adam_alone(kernels):
    parameter = nn.Parameter(torch.ones(4))
    adam = Adam().build([parameter], 1e-3, 0.0, kernels=kernels)
    parameter.grad = torch.full((4,), 1e-21)  # its square is below the smallest normal float
    adam.step()
    assert adam.squares[0].tolist() == [0] * 4
    assert (torch.tensor(1e-30) * 1e-10).item() > 0


# What is used where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_compiled_and_plain_training_agree(name, digits):
    plain, compiled = (
        copy.deepcopy(CONFIGURATIONS[name])
        .set_params(epochs=3, random_state=0, compile=choice)
        .fit(digits[0].astype(np.float32))
        for choice in (False, "auto")
    )
    assert plain.engine_["compiled"] is None
    for one, other in zip(plain.history_, compiled.history_, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=2e-3)
    # Rounding decides which entry a code near the border of two takes, and what is learnt from there on.
    close = np.isclose(plain.transform(digits[1]), compiled.transform(digits[1]), rtol=0.1, atol=0.1)
    assert close.mean() > 0.95


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("hidden", [(), (24,)], ids=["single", "deep"])
def test_same_seed_same_bits(precision, hidden, digits):
    one, other = (
        Autoencoder(6, hidden_layers=hidden, epochs=2, precision=precision, random_state=5).fit(digits[0])
        for _ in range(2)
    )
    assert_same_weights(one, other)


#: A closed form, autograd, a chosen few, levels: the others are as these, and take longer.
QUICK_IN_HALF = {"plain", "deep", "parts", "k-sparse", "finite"}


@pytest.mark.parametrize("compile", ["auto", False])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK_IN_HALF else pytest.mark.slow)
        for name, model in CONFIGURATIONS.items()
        if "precision" in model.get_params()
    ],
)
def test_half_the_precision_is_as_good(name, compile, digits, device):
    full, half = (
        copy.deepcopy(CONFIGURATIONS[name])
        .set_params(epochs=30, random_state=0, precision=precision, compile=compile, device=device)
        .fit(digits[0])
        for precision in ("float32", "bfloat16")
    )
    assert half.engine_["precision"] == "bfloat16"
    # What is learnt with noise on the code differs more from run to run than precision accounts for.
    noisy = full.settings_.bottleneck.needs_likelihood
    assert half.score(digits[1]) > full.score(digits[1]) - (0.1 if noisy else 0.02)
    assert next(half.encoder_.parameters()).dtype == torch.float32


def test_without_a_compiler_nothing_is_compiled(monkeypatch, digits):
    monkeypatch.setattr(_kernels.shutil, "which", lambda name: None)
    load_kernels.cache_clear()
    try:
        model = Autoencoder(6, epochs=3, random_state=0).fit(digits[0])
        with pytest.raises(ValueError, match="'compile' parameter of Autoencoder must be 'auto' or False"):
            Autoencoder(6, compile=True).fit(digits[0])
    finally:
        load_kernels.cache_clear()
    assert model.engine_["compiled"] is None
    assert model.score(digits[1]) > 0


@pytest.mark.skipif(os.name != "posix", reason="needs a program that fails")
def test_a_compiler_that_fails_is_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_kernels.cache_clear()
    try:
        assert load_kernels() is None
    finally:
        load_kernels.cache_clear()
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_what_others_could_have_written_is_not_run(kernels, monkeypatch, tmp_path):
    monkeypatch.setattr(_kernels.platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    folder = tmp_path / "kernels"
    load_kernels.cache_clear()
    try:
        assert load_kernels() is not None
        assert [path.suffix for path in folder.iterdir()] == [".so"]
        folder.chmod(folder.stat().st_mode | stat.S_IWOTH)
        for path in folder.iterdir():
            path.unlink()  # as a file of its own: the other is loaded, and truncating it would end the process
            path.write_bytes(b"something else")
        load_kernels.cache_clear()
        assert load_kernels() is not None
    finally:
        load_kernels.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_private_folder_is_in_nobody_elses_hands(monkeypatch, tmp_path):
    """Who can write to a folder above it can put another one in its place."""
    cache = tmp_path / "above" / "isthmus"
    monkeypatch.setattr(_kernels.platformdirs, "user_cache_dir", lambda name: str(cache))
    found = _kernels._private_folder()
    assert found == (cache / "kernels").resolve()
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (found, cache, cache.parent)} == {0o700}

    def is_used():
        return _kernels._private_folder() == found

    for folder in (found, cache, cache.parent):
        for mode in (0o770, 0o702):
            folder.chmod(mode)
            assert not is_used()
        folder.chmod(0o755)
        assert is_used()
    cache.parent.chmod(0o777 | stat.S_ISVTX)  # like /tmp, where others cannot rename what is not theirs
    assert is_used()
    found.chmod(0o777 | stat.S_ISVTX)
    assert not is_used()
    found.chmod(0o700)
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: found.stat().st_uid + 1)
        assert not _kernels._is_private(found)
    other_place = tmp_path / "elsewhere"
    other_place.mkdir(mode=0o700)
    found.rmdir()
    found.symlink_to(other_place)  # followed, and then looked at like any other
    assert _kernels._private_folder() == other_place.resolve()
    other_place.chmod(0o777)
    assert _kernels._private_folder() != other_place.resolve()


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_files_that_others_could_have_written_are_built_anew(kernels, monkeypatch, tmp_path):
    monkeypatch.setattr(_kernels.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "isthmus"))
    built = []

    def compiled(compiler, flags, output):
        built.append(flags)
        with open(output, "wb") as file:  # noqa: PTH123
            file.write(b"compiled")

    monkeypatch.setattr(_kernels, "_compile", compiled)
    path = _kernels._compiled("cc", ("-O3",))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert _kernels._compiled("cc", ("-O3",)) == path
    assert len(built) == 1
    for damage in (
        lambda: path.chmod(0o777),
        lambda: (path.unlink(), path.symlink_to(tmp_path / "other")),
        path.unlink,
    ):
        damage()
        (tmp_path / "other").write_bytes(b"somebody's")
        assert _kernels._compiled("cc", ("-O3",)).read_bytes() == b"compiled"
        assert not path.is_symlink()
        assert (tmp_path / "other").read_bytes() == b"somebody's"
    assert len(built) == 4


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_without_a_private_folder_nothing_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(_kernels, "_is_private", lambda folder: False)
    load_kernels.cache_clear()
    try:
        assert load_kernels() is None
    finally:
        load_kernels.cache_clear()


@pytest.mark.parametrize(("value", "off"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_a_variable_turns_the_compiler_off(value, off, kernels, monkeypatch, digits):
    monkeypatch.setenv("ISTHMUS_NO_COMPILE", value)
    if off:
        monkeypatch.setattr(_kernels, "_compile", None)
        monkeypatch.setattr(_kernels.ctypes, "CDLL", None)
    load_kernels.cache_clear()
    try:
        assert Autoencoder(6, epochs=1).fit(digits[0]).engine_["compiled"] == (None if off else "kernels")
    finally:
        load_kernels.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() in {"x86_64", "AMD64"} and torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="what torch's compiler writes for processors without vector instructions does not compile",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from its compiler
def test_torch_compile_trains_the_same(kernels, digits):
    plain, compiled = (
        Autoencoder(4, epochs=2, batch_size=100, random_state=0, compile=choice).fit(digits[0])
        for choice in (False, True)
    )
    assert compiled.engine_["compiled"] == "torch.compile"
    assert compiled.history_[-1]["loss"] == pytest.approx(plain.history_[-1]["loss"], rel=1e-4)


# Bytes


@pytest.mark.parametrize("compile", ["auto", False])
def test_bytes_train_like_their_fractions(compile, digits):
    levels = np.round(digits[0] * 255).astype(np.uint8)
    settings = {"epochs": 2, "random_state": 0, "compile": compile}
    of_bytes = Autoencoder(6, **settings).fit(levels)
    of_floats = Autoencoder(6, **settings).fit(levels.astype(np.float32) / 255)
    assert_same_weights(of_bytes, of_floats)
    np.testing.assert_array_equal(
        of_bytes.transform(levels), of_floats.transform(levels.astype(np.float32) / 255)
    )
    assert of_bytes.score(levels) == pytest.approx(of_floats.score(levels / 255), abs=1e-6)


def test_bytes_stay_bytes_until_they_are_used():
    rows = StoredRows(torch.tensor([[0, 51], [255, 102]], dtype=torch.uint8), 255.0)
    assert rows.range() == (0.0, 1.0)
    batches = ResidentBatches(rows, 2, seed=0, kernels=load_kernels())
    (batch,) = batches.epoch(0)
    assert sorted(batch.rows.tolist()) == [[0.0, pytest.approx(0.2)], [1.0, pytest.approx(0.4)]]
    assert batches.rows.values.dtype == torch.uint8


@pytest.mark.parametrize("scale", ["none", "standard", "minmax"])
def test_bytes_with_another_scaling(scale, digits):
    levels = np.round(digits[0] * 16).astype(np.uint8)
    settings = {"epochs": 2, "random_state": 0, "scale": scale, "loss": "mse"}
    of_bytes, of_floats = (Autoencoder(6, **settings).fit(X) for X in (levels, levels.astype(np.float32)))
    assert_same_weights(of_bytes, of_floats)
    np.testing.assert_allclose(of_bytes.reconstruct(levels), of_floats.reconstruct(levels.astype(np.float32)))


# Devices


class Tape:
    """A recorder for the CPU: what is played back is the work itself, in the recorded memory."""

    def __init__(self):
        self.warm_ups = self.recordings = self.playbacks = 0

    def warm_up(self, work):
        self.warm_ups += 1
        return work()

    def record(self, work):
        self.recordings += 1
        memory = {}

        def replay():
            self.playbacks += 1
            for name, value in work().items():
                memory.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, memory


def train_line(recorder=None, n_rows=50):
    line = nn.Linear(3, 1)
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    rows = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0))

    def objective(net, batch):
        return {"loss": (net(batch.rows).squeeze(1) - batch.rows.sum(1)).square().mean()}

    optimizer = Adam().build(line.parameters(), 0.05, 0.0)
    history = fit(
        line, objective, ResidentBatches(rows, 8, seed=1), optimizer=optimizer, schedule=Constant(),
        epochs=4, recorder=recorder,
    )  # fmt: skip
    return line, [row["loss"] for row in history.rows]


def test_recorded_steps_train_like_others():
    tape = Tape()
    recorded, losses = train_line(tape)
    plain, wanted = train_line()
    torch.testing.assert_close(recorded.weight, plain.weight)
    assert losses == pytest.approx(wanted, rel=1e-6)
    # Seven batches an epoch, the last of two rows, which is never recorded.
    assert (tape.warm_ups, tape.recordings, tape.playbacks) == (CapturedStep.WARM_UP, 1, 4 * 6 - 3)


def test_what_cannot_be_recorded_runs_as_it_is():
    class Broken(Tape):
        def record(self, work):
            raise RuntimeError("operation not permitted when stream is capturing")

    recorded, losses = train_line(Broken())
    plain, wanted = train_line()
    assert losses == wanted
    assert torch.equal(recorded.weight, plain.weight)


def test_rows_that_do_not_fit_are_streamed(monkeypatch, digits):
    resident = Autoencoder(6, epochs=2, random_state=0, compile=False).fit(digits[0])

    def full(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StoredRows, "to", full)
    with pytest.warns(DeviceMemoryWarning, match="GiB of training rows do not fit into the memory of cpu"):
        streamed = Autoencoder(6, epochs=2, random_state=0, compile=False).fit(digits[0])
    assert_same_weights(resident, streamed)


# Threads


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cores_that_a_container_gets(files, cores, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert _device._cores_of_container(tmp_path) == cores


def test_threads_come_back(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(_device, "_cores_of_container", lambda: 1)
    torch.set_num_threads(3)
    try:
        with _device.fair_threads():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_forked_child_works_on_one_thread_and_restores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(_device, "_IMPORTED_IN", os.getpid() + 1)
    torch.set_num_threads(3)
    entered, leave = threading.Event(), threading.Event()

    def work():
        with _device.own_work():
            entered.set()
            leave.wait(30)

    other = threading.Thread(target=work)
    try:
        with _device.own_work():
            other.start()
            assert entered.wait(30)
            with _device.own_work():
                assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1  # the other one still works
        leave.set()
        other.join()
        with _device.own_work():
            pass
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), _device.own_work():
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
    finally:
        leave.set()
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("within", [False, True])
def test_a_fork_forgets_the_threads_of_the_parent(within):
    """Where another thread computes, or the one that forks, as in a callback."""
    before = torch.get_num_threads()
    entered, leave = threading.Event(), threading.Event()

    def work():
        with _device.own_work():
            entered.set()
            leave.wait(30)

    other = threading.Thread(target=work)
    torch.set_num_threads(2)
    try:
        other.start()
        assert entered.wait(30)
        with _device.own_work() if within else contextlib.nullcontext():
            child = os.fork()
            if child == 0:
                inside = torch.get_num_threads()
                if within:
                    _device._own_work.end()
                outside = torch.get_num_threads()
                os._exit(10 * inside + outside + 100 * _device._own_work.running)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (12 if within else 22)
        assert torch.get_num_threads() == 2
    finally:
        leave.set()
        other.join()
        torch.set_num_threads(before)


@pytest.fixture
def switches(monkeypatch):
    """Pretend that torch was built for CUDA, and put its settings back."""
    backends = torch.backends
    holders = [backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.matmul]
    before = [holder.fp32_precision for holder in holders]
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    yield holders
    torch.set_float32_matmul_precision("highest")
    for holder, value in zip(holders, before, strict=True):
        holder.fp32_precision = value


def seen_within(work):
    """Return the values of the switches while something runs that computes nothing of its own."""
    seen = []
    backends = torch.backends

    class Spy(Callback):
        def on_step_end(self, state):
            seen.append((backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision))

    work(Spy())
    return set(seen)


def test_float32_is_float32_while_isthmus_computes(switches, digits):
    """On GPUs convolutions round float32 to TF32 unless told otherwise."""

    def state():
        return [holder.fp32_precision for holder in switches]

    def fit(spy):
        Autoencoder(6, epochs=1, callbacks=[spy], random_state=0).fit(digits[0][:200])

    lowered = {"tf32", "bf16"}
    assert state()[0] == "tf32"  # torch's default, and the reason for all this
    settings = [
        lambda: None,
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: [setattr(holder, "fp32_precision", "tf32") for holder in switches[:3]],
    ]
    for change in settings:
        change()
        before = state()
        for convolution, product in seen_within(fit):
            assert not {convolution, product} & lowered
        assert state() == before


def test_fit_warns_of_nothing_and_leaves_torch_as_it_was(digits):
    before = (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Autoencoder(6, epochs=1, precision="bfloat16", code_activation="tanh", random_state=0).fit(digits[0])
    assert before == (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
