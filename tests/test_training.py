"""The loop and what is passed to it: batches, schedules, optimisers, callbacks."""

from __future__ import annotations

import math
import random
import warnings

import numpy as np
import pytest
import scipy.special
import torch
from torch import nn

from helpers import OPTIMIZERS, SCHEDULES, assert_same_weights, by_name, state_of
from isthmus import Autoencoder, load
from isthmus.errors import DivergenceError, InvalidParameterError, TrainingInterruptedWarning
from isthmus.training import (
    SGD,
    Adadelta,
    Adam,
    Callback,
    Constant,
    Cosine,
    EarlyStopping,
    OneCycle,
    ProgressBar,
    ReduceOnPlateau,
    ResidentBatches,
    TimeLimit,
    fit,
)

# Batches


def indices(batches, epoch):
    return torch.cat([batch.rows.clone() for batch in batches.epoch(epoch)])[:, 0].tolist()


@pytest.fixture(scope="module")
def numbered():
    return torch.arange(23.0)[:, None]


def test_an_epoch_has_every_row_once(numbered):
    batches = ResidentBatches(numbered, 5, seed=3)
    sizes = [len(batch) for batch in batches.epoch(0)]
    assert sizes == [5, 5, 5, 5, 3]
    assert len(sizes) == batches.n_steps
    for epoch in range(4):
        assert sorted(indices(batches, epoch)) == list(range(23))


def test_the_order_is_a_pure_function_of_seed_and_epoch(numbered):
    one, other = ResidentBatches(numbered, 5, seed=3), ResidentBatches(numbered, 5, seed=3)
    last = indices(one, 2)
    assert [indices(other, epoch) for epoch in (2, 0, 2)][::2] == [last, last]
    orders = {
        tuple(indices(ResidentBatches(numbered, 23, seed), epoch)) for seed in range(5) for epoch in range(5)
    }
    assert len(orders) == 25


def test_the_order_does_not_depend_on_the_batch_size(numbered):
    assert indices(ResidentBatches(numbered, 4, seed=1), 7) == indices(
        ResidentBatches(numbered, 100, seed=1), 7
    )


def test_without_a_seed_the_order_is_that_of_the_rows(numbered):
    assert indices(ResidentBatches(numbered, 5, seed=None), 9) == list(range(23))


# Schedules


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Constant(), {0.0: 1, 0.7: 1}),
        (Cosine(final=0.1), {0.0: 1, 0.5: 0.55, 1.0: 0.1}),
        (OneCycle(warmup=0.25, start=0.1, final=0.0), {0.0: 0.1, 0.125: 0.55, 0.25: 1, 0.625: 0.5, 1.0: 0}),
        (OneCycle(warmup=0.0), {0.0: 1, 1.0: 0.0001}),
        (OneCycle(warmup=1.0, start=0.0), {0.0: 0, 0.5: 0.5}),
    ],
    ids=str,
)
def test_schedule_at_known_points(schedule, points):
    for progress, factor in points.items():
        assert schedule.factor(progress, []) == pytest.approx(factor, abs=1e-12)


def test_plateau_by_hand():
    schedule = ReduceOnPlateau(reduction=0.5, patience=2, tolerance=0.01)
    losses = [10.0, 9.0, 8.95, 8.96, 8.0, 9.0, 9.0, 9.0, 9.0]
    factors = [schedule.factor(0.5, losses[:n]) for n in range(len(losses) + 1)]
    # 8.95 is no improvement beyond one percent on 9.
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_counts_improvements_of_negative_losses():
    schedule = ReduceOnPlateau(patience=2, tolerance=0.01)
    assert schedule.factor(0.5, [-1.0, -2.0, -3.0, -4.0]) == 1
    assert schedule.factor(0.5, [-4.0, -4.001, -4.002]) == 0.5


@pytest.mark.parametrize("schedule", SCHEDULES, ids=by_name)
def test_schedule_remembers_nothing(schedule):
    """A replay, in any order, gives the same rates, all of them between 0 and 1."""
    losses = [5.0, 4.0, 4.0, 4.1, 4.0, 3.0]
    calls = [(step / 60, losses[: step // 10]) for step in range(60)]
    factors = [schedule.factor(*call) for call in calls]
    assert [schedule.factor(*call) for call in reversed(calls)] == factors[::-1]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0.95


@pytest.mark.parametrize("schedule", SCHEDULES, ids=by_name)
def test_every_schedule_learns(schedule, digits, device):
    model = Autoencoder(
        8, schedule=schedule, epochs=15, random_state=0, code_activation="identity", device=device
    )
    assert model.fit(digits[0]).score(digits[1]) > 0.5


# Optimisers


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=by_name)
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_every_optimiser_learns_with_its_own_rate(optimizer, loss, digits, device):
    model = Autoencoder(
        8,
        optimizer=optimizer,
        loss=loss,
        epochs=30,
        random_state=0,
        code_activation="identity",
        device=device,
    )
    # Plain gradient descent is slow: its own rate is that of descent with momentum.
    wanted = 0.15 if getattr(optimizer, "momentum", None) == 0 and optimizer.name == "sgd" else 0.5
    assert model.fit(digits[0]).score(digits[1]) > wanted


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=by_name)
def test_settings_arrive_in_torch(optimizer):
    weight = nn.Parameter(torch.ones(3))
    built = optimizer.build([weight], 0.125, 0.25)
    group = built.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.125, 0.25)
    names = {"beta1": ("betas", 0), "beta2": ("betas", 1), "epsilon": ("eps", None)}
    names["decay"] = ("alpha" if "alpha" in group else "rho", None)
    for setting, value in optimizer.get_params().items():
        name, place = names.get(setting, (setting, None))
        wanted = False if setting == "nesterov" and optimizer.momentum == 0 else value  # torch refuses both
        assert (group[name] if place is None else group[name][place]) == wanted, setting


def test_adadelta_means_one_by_one():
    optimizer = Adadelta()
    assert (
        optimizer.learning_rate(784, 1, bounded=True) == optimizer.learning_rate(3, 5, bounded=False) == 1.0
    )
    weight = nn.Parameter(torch.ones(1))
    assert (
        optimizer.build([weight], optimizer.learning_rate(784, 1, bounded=True), 0.0).param_groups[0]["lr"]
        == 1.0
    )
    X = np.random.default_rng(0).normal(size=(40, 4))
    model = Autoencoder(2, optimizer="adadelta", schedule="constant", epochs=1, random_state=0).fit(X)
    assert model.history_[0]["learning_rate"] == 1.0


def test_weight_decay_shrinks_the_weights(digits):
    plain, decayed = (
        Autoencoder(4, epochs=10, optimizer="adamw", weight_decay=decay, random_state=0, loss="mse").fit(
            digits[0]
        )
        for decay in (0.0, 1.0)
    )
    sizes = [sum(np.square(value).sum() for value in state_of(model).values()) for model in (plain, decayed)]
    assert sizes[1] < 0.9 * sizes[0]


# The loop


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, rows):
        return rows @ self.weight


def pull_to_one(network, batch):
    return {"loss": (network(batch.rows) - batch.rows.sum(1)).square().mean()}


def fit_line(**options):
    line = Line()
    rows = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    optimizer = SGD(momentum=0).build(line.parameters(), options.pop("learning_rate", 0.1), 0.0)
    options = {"schedule": Constant(), "epochs": 10, **options}
    history = fit(line, pull_to_one, ResidentBatches(rows, 16, 0), optimizer=optimizer, **options)
    return line, history, optimizer


def test_the_loop_finds_the_solution():
    line, history, _ = fit_line(epochs=30)
    torch.testing.assert_close(line.weight.detach(), torch.ones(2), atol=1e-3, rtol=0)
    assert not line.training
    assert [row["epoch"] for row in history.rows] == list(range(1, 31))


def test_losses_are_means_over_rows_not_over_batches():
    line = Line()
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [4.0, 0.0]])  # a last batch of one
    optimizer = SGD(momentum=0).build(line.parameters(), 1e-30, 0.0)
    history = fit(
        line, pull_to_one, ResidentBatches(rows, 2, None), optimizer=optimizer, schedule=Constant(), epochs=1,
        validation=ResidentBatches(rows, 2, None),
    )  # fmt: skip
    assert history.rows[0]["loss"] == history.rows[0]["validation_loss"] == pytest.approx(18 / 3)


def test_validation_sees_the_network_in_evaluation_mode_and_without_gradients():
    seen = []

    def objective(network, batch):
        seen.append((network.training, torch.is_grad_enabled()))
        return pull_to_one(network, batch)

    line, rows = Line(), torch.ones(4, 2)
    optimizer = SGD(momentum=0).build(line.parameters(), 0.1, 0.0)
    batches = ResidentBatches(rows, 4, 0)
    fit(line, objective, batches, optimizer=optimizer, schedule=Constant(), epochs=2, validation=batches)
    assert seen == [(True, True), (False, False)] * 2


def test_the_schedule_moves_the_rate_and_the_peak_comes_back():
    rates = []

    class Recorder(Callback):
        def on_step_end(self, state):
            rates.append(optimizer.param_groups[0]["lr"])

    line = Line()
    optimizer = SGD(momentum=0).build(line.parameters(), 0.1, 0.0)
    rows = torch.ones(8, 2)
    fit(
        line, pull_to_one, ResidentBatches(rows, 2, 0), optimizer=optimizer, schedule=Cosine(), epochs=2,
        callbacks=[Recorder()],
    )  # fmt: skip
    assert rates == pytest.approx([0.1 * Cosine().factor(step / 8, []) for step in range(8)])
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_clipping_bounds_the_step():
    line, _, _ = fit_line(epochs=1, learning_rate=1.0, gradient_clipping=1e-3)
    assert 0 < line.weight.norm().item() <= 4 * 1e-3 * 1.001  # four steps


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_divergence_is_an_error_with_advice():
    with pytest.raises(
        DivergenceError,
        match=r"diverged: 'loss' is .* learning_rate of 1e\+17. In step \d of epoch 1, .*not finite. Try a smaller",
    ):
        fit_line(learning_rate=1e20)


# Callbacks


class Journal(Callback):
    def __init__(self):
        self.entries = []

    def on_training_start(self, state):
        self.entries.append("start")

    def on_step_end(self, state):
        self.entries.append(state.step)

    def on_epoch_end(self, state):
        self.entries.append(f"epoch {state.epoch}")
        assert state.history.rows[-1]["epoch"] == state.epoch

    def on_training_end(self, state):
        self.entries.append("end")


def test_callbacks_are_called_in_order():
    journal = Journal()
    fit_line(epochs=2, callbacks=[journal])
    assert journal.entries == ["start", 1, 2, 3, 4, "epoch 1", 5, 6, 7, 8, "epoch 2", "end"]


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_the_end_comes_after_an_error_too():
    journal = Journal()
    with pytest.raises(DivergenceError):
        fit_line(learning_rate=1e20, callbacks=[journal])
    assert journal.entries[-1] == "end"


def test_a_callback_can_stop_the_training():
    class StopAtThree(Callback):
        def on_epoch_end(self, state):
            state.stop = state.epoch == 3

    _, history, _ = fit_line(epochs=10, callbacks=[StopAtThree()])
    assert len(history.rows) == 3


def overfitting(digits, **parameters):
    """Return a model that soon does worse on the validation rows, and these rows."""
    train, validation = digits[0][:40], digits[1][:100]
    model = Autoencoder(32, hidden_layers=(64,), epochs=60, random_state=0, schedule="constant", **parameters)
    return model.set_params(learning_rate=0.01).fit(train, validation_data=validation), validation


def cross_entropy(model, rows):
    """Return the mean loss as the history has it: the scores leave out the entropy of the rows themselves."""
    entropy = -(scipy.special.xlogy(rows, rows) + scipy.special.xlog1py(1 - rows, -rows)).sum(axis=1)
    return (entropy - model.score_samples(rows)).mean()


def test_early_stopping_keeps_the_best_weights(digits):
    model, validation = overfitting(digits, patience=4)
    losses = [row["validation_loss"] for row in model.history_]
    best = int(np.argmin(losses))
    assert best < len(losses) - 1  # it did get worse
    assert len(losses) == best + 1 + 4 < 60
    assert cross_entropy(model, validation) == pytest.approx(losses[best], rel=1e-5)


def test_without_patience_the_last_weights_stay(digits):
    model, validation = overfitting(digits, patience=None)
    assert model.n_epochs_ == 60
    last = model.history_[-1]["validation_loss"]
    assert last > min(row["validation_loss"] for row in model.history_)
    assert cross_entropy(model, validation) == pytest.approx(last, rel=1e-5)


def test_early_stopping_starts_afresh_with_every_training():
    stopping = EarlyStopping(patience=3)
    _, first, _ = fit_line(epochs=12, callbacks=[stopping])
    _, second, _ = fit_line(epochs=12, callbacks=[stopping])
    assert second.best_epoch == first.best_epoch
    assert [row["loss"] for row in second.rows] == [row["loss"] for row in first.rows]


class Announced(Callback):
    """Gives the epochs losses that were decided beforehand."""

    def __init__(self, losses, name):
        self.losses, self.name = losses, name

    def on_epoch_end(self, state):
        state.history.rows[-1][self.name] = self.losses[state.epoch - 1]


@pytest.mark.parametrize(
    ("name", "losses", "best", "ended"),
    [
        # Rising while a penalty is faded in: the training loss of that time is left out.
        ("loss", [1.0, 2.0, 3.0, 4.0, 5.0, 4.5, 4.6, 4.7, 4.0, 4.0], 6, 8),
        # Validation rows are judged by the final objective, but training does not end before it is reached.
        ("validation_loss", [1.0, 2.0, 3.0, 4.0, 5.0, 4.5, 0.6, 4.7, 4.0, 4.0], 7, 9),
        ("validation_loss", [1.0, 2.0, 3.0, 4.0, 5.0, 4.5, 4.6, 4.7, 4.0, 4.0], 1, 7),
    ],
)
def test_patience_begins_when_nothing_is_annealed_any_more(name, losses, best, ended):
    callbacks = [Announced(losses, name), EarlyStopping(2)]
    _, history, _ = fit_line(epochs=10, callbacks=callbacks, annealed=0.45)
    assert (history.best_epoch, len(history.rows)) == (best, ended)


def test_the_rate_is_not_reduced_while_the_objective_changes():
    rising = [float(epoch) for epoch in range(10)]
    schedule = ReduceOnPlateau(patience=2)
    for annealed, rates in ((0.0, [1, 1, 1, 0.5, 0.5, 0.25]), (0.5, [1] * 5 + [1, 1, 1, 0.5, 0.5])):
        seen = fit_line(
            epochs=10,
            schedule=schedule,
            callbacks=[Announced(rising, "loss")],
            annealed=annealed,
            learning_rate=1e-3,
        )[1].rows
        assert [row["learning_rate"] / 1e-3 for row in seen[: len(rates)]] == pytest.approx(rates)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_a_fraction_is_held_out(fraction, digits):
    seen = []

    class Seen(Callback):
        def on_training_start(self, state):
            seen.append(state.n_steps)

    model = Autoencoder(
        4,
        validation_fraction=fraction,
        batch_size=1,
        epochs=1,
        random_state=0,
        callbacks=[Seen()],
        loss="mse",
    )
    model.fit(digits[0][:200])
    assert seen == [round(200 * (1 - fraction))]
    assert math.isfinite(model.history_[0]["validation_loss"])


class CtrlC(Callback):
    """Ctrl-C at the end of an epoch or in its middle."""

    def __init__(self, epoch, step=None):
        self.epoch, self.step = epoch, step

    def on_step_end(self, state):
        if self.step is not None and (state.epoch + 1, state.step % state.n_steps) == (self.epoch, self.step):
            raise KeyboardInterrupt

    def on_epoch_end(self, state):
        if self.step is None and state.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "epochs"), [(None, 3), (1, 2)], ids=["after the epoch", "within the epoch"])
def test_ctrl_c_keeps_the_best_weights_and_says_so(step, epochs, digits):
    train, validation = digits
    model = Autoencoder(8, hidden_layers=(16,), epochs=9, random_state=0, callbacks=[CtrlC(3, step)])
    with pytest.warns(
        TrainingInterruptedWarning, match=r"interrupted in epoch \d of 9; the weights of epoch \d were"
    ):
        model.fit(train, validation_data=validation)
    assert model.n_epochs_ == len(model.history_) == epochs
    best = min(row["validation_loss"] for row in model.history_)
    assert cross_entropy(model, validation) == pytest.approx(best, rel=1e-5)


def test_ctrl_c_without_validation_keeps_the_weights_so_far(digits):
    model = Autoencoder(8, hidden_layers=(16,), epochs=9, random_state=0, callbacks=[CtrlC(3)])
    with pytest.warns(TrainingInterruptedWarning, match="the weights so far were kept"):
        model.fit(digits[0])
    untrained = Autoencoder(8, hidden_layers=(16,), epochs=1, learning_rate=1e-12, random_state=0).fit(
        digits[0]
    )
    assert model.score(digits[1]) > untrained.score(digits[1])


def test_ctrl_c_in_the_first_epoch_is_passed_on(digits):
    with pytest.raises(KeyboardInterrupt):
        Autoencoder(8, callbacks=[CtrlC(1, step=2)], epochs=5).fit(digits[0])


def test_the_progress_bar_is_silent_in_a_pipe(capsys, digits):
    Autoencoder(4, epochs=2, verbose=True, random_state=0, code_activation="identity").fit(digits[0][:100])
    assert capsys.readouterr() == ("", "")


def test_the_progress_bar_shows_epochs_and_losses(monkeypatch):
    import io

    from rich import console

    shown = io.StringIO()
    terminal = console.Console(file=shown, force_terminal=True, width=120)
    monkeypatch.setattr(console, "Console", lambda **_: terminal)
    fit_line(epochs=2, callbacks=[ProgressBar("learning")])
    assert "learning" in shown.getvalue()
    assert "epoch 2/2" in shown.getvalue()
    assert "loss" in shown.getvalue()


# Determinism


def global_state():
    return (
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        list(warnings.filters),
        np.geterr(),
    )


@pytest.mark.parametrize(
    "random_state", [None, 7, np.random.default_rng(0)], ids=["none", "int", "generator"]
)
def test_fit_leaves_the_program_as_it_found_it(random_state, digits):
    before = global_state()
    model = Autoencoder(4, hidden_layers=(16,), epochs=2, random_state=random_state, validation_fraction=0.2)
    model.fit(digits[0]).partial_fit(digits[0])
    model.score(model.reconstruct(digits[1]))
    assert global_state() == before


@pytest.mark.parametrize(
    "make", [lambda: 7, lambda: np.random.RandomState(7), lambda: np.random.default_rng(7)]
)
def test_the_same_seed_gives_the_same_bits(make, digits):
    models = [
        Autoencoder(4, hidden_layers=(16,), epochs=3, validation_fraction=0.1, random_state=make()).fit(
            digits[0]
        )
        for _ in range(2)
    ]
    torch.manual_seed(99)  # has nothing to do with it
    assert_same_weights(*models)
    losses = [[row["loss"] for row in model.history_] for model in models]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("seeds", [(0, 1), (None, None)])
def test_other_seeds_give_other_weights(seeds, digits):
    one, other = (Autoencoder(4, epochs=1, random_state=s, loss="mse").fit(digits[0][:50]) for s in seeds)
    assert not np.array_equal(
        state_of(one)["network.encoder.0.weight"], state_of(other)["network.encoder.0.weight"]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(beta1=1.0), r"'beta1' parameter of Adam must be a number in \[0, 1\)"),
        (lambda: Adam(epsilon=0), "'epsilon' parameter of Adam"),
        (lambda: SGD(momentum=-0.1), "'momentum' parameter of SGD"),
        (lambda: SGD(nesterov=1), "'nesterov' parameter of SGD must be True or False"),
        (lambda: Cosine(final=2), "'final' parameter of Cosine"),
        (lambda: OneCycle(warmup=-1), "'warmup' parameter of OneCycle"),
        (lambda: ReduceOnPlateau(patience=0), "'patience' parameter of ReduceOnPlateau"),
        (lambda: ReduceOnPlateau(reduction=0), "'reduction' parameter of ReduceOnPlateau"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidParameterError, match=message):
        make()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"epochs": 3}, "epochs"),
        ({"epochs": 500, "validation_fraction": 0.2, "patience": 2}, "early stopping"),
        ({"epochs": 500, "callbacks": [TimeLimit(0.01)]}, "time limit"),
    ],
)
def test_a_fit_says_why_it_ended(parameters, reason, tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 6))
    model = Autoencoder(2, random_state=0, **parameters).fit(X)
    assert model.stop_reason_ == reason
    assert (model.n_epochs_ < model.settings_.epochs) == (reason != "epochs")
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").stop_reason_ == reason


def test_a_time_limit_trains_one_epoch_at_least():
    X = np.random.default_rng(0).normal(size=(50, 4))
    assert Autoencoder(2, epochs=9, callbacks=[TimeLimit(1e-9)]).fit(X).n_epochs_ == 1
    with pytest.raises(InvalidParameterError, match="'seconds' parameter of TimeLimit"):
        TimeLimit(0)
