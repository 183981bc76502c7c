"""A network that starts as principal component analysis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from isthmus._components import principal_components
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._settings import Settings
from isthmus.networks import DenseNetwork, activation
from isthmus.objectives import ReconstructionLoss
from isthmus.training import StoredRows

#: Activations with ``f(x) - f(-x)`` proportional to ``x``: a pair of units, one for each sign, is linear.
LINEAR_IN_PAIRS = ("identity", "relu", "leaky_relu", "gelu", "silu", "softplus")

#: Activations that are linear above zero: there a pair is, if biases keep it there.
LINEAR_ABOVE_ZERO = ("elu", "selu")

#: With any other activation a pair is nearly linear for inputs that reach no further than this.
SMALL = 0.5

#: Rows from which the way back is fitted where outputs go through a link, and the most steps it takes.
FITTED_ROWS = 10_000
FITTING_STEPS = 100


def start_from_components(assembly: Assembly, settings: Settings, rows: StoredRows, seed: int) -> None:
    """Set the weights so that codes are principal components, and the network makes of them what they stand for.

    Where outputs go through a link, the way back is the best one from the components to its inputs,
    which is logistic regression for probabilities.

    Parameters
    ----------
    assembly : Assembly
        A dense network, not tied, with the identity as the code's activation, and hidden layers at least
        twice as wide as the code.
    settings : Settings
        Of it.
    rows : StoredRows
        The scaled training rows.
    seed : int
        For tables so large that the components are found by random projections.
    """
    network, device = assembly.network, assembly.device
    assert isinstance(network, DenseNetwork)
    values = next(rows.blocks(len(rows))).numpy()
    found = principal_components(values, min(settings.n_components, *values.shape), seed=seed % 2**32)
    components = np.zeros((settings.n_components, values.shape[1]))
    components[: len(found.directions)] = found.directions
    # In double precision: the mean may be large beside the spread.
    into, mean = torch.from_numpy(components), torch.from_numpy(found.mean)
    sample = torch.from_numpy(values[:: max(len(values) // FITTED_ROWS, 1)])
    codes = (sample.double() - mean) @ into.t()
    reach = max(float(codes.abs().max()), 1e-6)
    out, after = into.t(), mean
    if settings.loss.support == "unit":
        out, after = _fitted(settings.loss, codes, sample.double(), mean)
    if len(assembly.loss_parameters):
        _fit_spread(assembly, settings.loss, (codes @ out.t() + after).float(), sample)
    nothing, same = into.new_zeros(len(into)), torch.eye(len(into), dtype=into.dtype, device=into.device)
    with torch.no_grad():
        for layers, maps in (
            (network.encoder, (into, mean, same, nothing)),
            (network.decoder, (same, nothing, out, after)),
        ):
            linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
            _thread(linear, settings.activation, reach, *(part.to(device) for part in maps))


def _thread(
    layers: Sequence[nn.Linear],
    name: str,
    reach: float,
    into: Tensor,
    before: Tensor,
    out: Tensor,
    after: Tensor,
) -> None:
    """Set weights so that layers compute ``out @ into @ (inputs - before) + after``.

    The values ``into @ inputs`` run through each hidden layer in pairs of units. The other units keep
    their weights, and the layers after them give these units no weight yet.

    Parameters
    ----------
    layers : sequence of torch.nn.Linear
        With an activation between them.
    name : str
        Of the activation.
    reach : float
        The largest magnitude of the values that run through.
    into, before, out, after : Tensor of shape (n, inputs), (inputs,), (outputs, n) and (outputs,)
        The maps, in double precision.
    """
    first, last = layers[0], layers[-1]
    if len(layers) == 1:
        weights = out @ into
        last.weight.copy_(weights)
        last.bias.copy_(after - weights @ before)
        return
    n = len(into)
    scale = 1.0 if name in LINEAR_IN_PAIRS + LINEAR_ABOVE_ZERO else SMALL / reach
    lift = reach if name in LINEAR_ABOVE_ZERO else 0.0
    up, down = activation(name)(lift + torch.tensor([scale, -scale], dtype=into.dtype, device="cpu"))
    gain = float(up - down)
    same = torch.eye(n, dtype=into.dtype, device=into.device)
    apart = torch.cat([same, -same]) * scale
    together = apart.t() / (scale * gain)
    weights = apart @ into
    first.weight[: 2 * n] = weights.to(first.weight.dtype)
    first.bias[: 2 * n] = (lift - weights @ before).to(first.bias.dtype)
    for layer in layers[1:-1]:
        layer.weight[: 2 * n] = 0
        layer.weight[: 2 * n, : 2 * n] = (apart @ together).to(layer.weight.dtype)
        layer.bias[: 2 * n] = lift
    last.weight.zero_()
    last.weight[:, : 2 * n] = (out @ together).to(last.weight.dtype)
    last.bias.copy_(after)


def _fit_spread(assembly: Assembly, loss: ReconstructionLoss, outputs: Tensor, rows: Tensor) -> None:
    """Let what the loss learns fit these outputs."""
    device = assembly.device
    outputs, rows = outputs.to(device), rows.to(device)
    parameters = list(assembly.loss_parameters.values())
    _minimise(parameters, lambda: loss.per_row(outputs, rows, assembly.learnt()).mean())


def _minimise(parameters: Sequence[Tensor], value_of: Callable[[], Tensor]) -> None:
    """Move parameters to where a smooth function is least."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=FITTING_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = value_of()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    for parameter in parameters:
        parameter.grad = None


def _fitted(loss: ReconstructionLoss, codes: Tensor, rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and bias of the linear way from codes to pre-activations with the least loss."""
    out = torch.zeros(rows.shape[1], codes.shape[1], dtype=rows.dtype, device="cpu", requires_grad=True)
    after = loss.inverse_link(mean).clone().requires_grad_()
    spread = codes.std(0).clamp_min(1e-6)  # codes of equal spread make the search shorter
    _minimise([out, after], lambda: loss.per_row((codes / spread) @ out.t() + after, rows).mean())
    return (out / spread).detach(), after.detach()
