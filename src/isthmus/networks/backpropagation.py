"""Forward and backward passes of a chain of layers, written out.

Autograd does the same for any network. For a few matrix products of a few dozen microseconds each,
its bookkeeping costs as much as the arithmetic: these layers write their gradients straight to where
the optimiser reads them. The tests hold every one of them against autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from isthmus._device import is_intel, multiplies_bfloat16
from isthmus.networks.activations import TruncatedNormalMean
from isthmus.networks.layers import TiedLinear

_aten: Any = torch.ops.aten


class Place(NamedTuple):
    """What a parameter is computed with, and where its gradient is to be written."""

    value: Tensor
    gradient: Tensor


#: Where each parameter is.
Places = Mapping[Tensor, Place]


class Layer(Protocol):
    """One link of the chain; `backward` follows a `forward` and concerns the same rows."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's outputs."""
        ...

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        """Write the parameters' gradients, and return the inputs' where they are needed."""
        ...


class Chain:
    """Layers one after the other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers

    @classmethod
    def of(
        cls, modules: Iterable[nn.Module], places: Places, written: set[Tensor], *, bare: bool = False
    ) -> Chain | None:
        """Return the chain of these modules, or None where one of them is not known here.

        Parameters
        ----------
        modules : iterable of torch.nn.Module
            The layers in their order; sequential containers are opened.
        places : mapping of Parameter to Place
            Memory of the parameters.
        written : set of Parameter
            Weights whose gradients the layers behind these have written by then; those of these layers
            are added. The second layer with one weight adds to the gradient of the first.
        bare : bool, default=False
            Whether the last layer, which must be linear, leaves its bias to whoever takes its outputs.
        """
        flat = list(_opened(modules))
        if not all(
            type(module) in _ACTIVATIONS or isinstance(module, nn.Linear | TiedLinear) for module in flat
        ):
            return None
        layers: list[Layer] = []
        following: nn.Module | None = None
        for module in reversed(flat):
            if isinstance(module, nn.Linear | TiedLinear):
                rectified = isinstance(following, nn.ReLU)
                if rectified:
                    layers.pop()
                adds, biased = module.weight in written, not (bare and following is None)
                layers.append(_Affine(module, places, adds=adds, rectified=rectified, biased=biased))
                written.add(module.weight)
            elif not isinstance(module, nn.Identity):
                layers.append(_Activation(module))
            following = module
        return cls(layers[::-1])

    def forward(self, values: Tensor) -> Tensor:
        """Return what the last layer makes of the first one's inputs."""
        for layer in self.layers:
            values = layer.forward(values)
        return values

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        """Write all gradients, and return the inputs' where they are needed."""
        passed: Tensor | None = gradient
        for number, layer in reversed(list(enumerate(self.layers))):
            assert passed is not None
            passed = layer.backward(passed, needs_inputs=needs_inputs or number > 0)
        return passed


def _opened(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _opened(module)
        else:
            yield module


class _Affine:
    """A linear layer or a tied one, ``inputs @ weight.T + bias``, and the ReLU behind it if there is one."""

    def __init__(
        self, module: nn.Linear | TiedLinear, places: Places, *, adds: bool, rectified: bool, biased: bool
    ) -> None:
        weight, self.bias = places[module.weight], places[module.bias]
        if isinstance(module, TiedLinear):
            weight = Place(weight.value.t(), weight.gradient.t())
        self.weight, self.adds, self.rectified, self.biased = weight, adds, rectified, biased
        self._room = _Room(), _Room()

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        bias = self.bias.value if self.biased else None
        outputs = product(inputs, self.weight.value, bias, self._room[0])
        self.outputs = outputs.relu_() if self.rectified else outputs
        return self.outputs

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        if self.rectified:
            gradient = _aten.threshold_backward.default(gradient, self.outputs, 0)
        if self.adds:
            self.weight.gradient.addmm_(gradient.t(), self.inputs)
        else:
            torch.mm(gradient.t(), self.inputs, out=self.weight.gradient)
        torch.sum(gradient, 0, out=self.bias.gradient)
        return product(gradient, self.weight.value.t(), None, self._room[1]) if needs_inputs else None


class _Room:
    """Memory for the results of one product, the same in every step.

    Fresh memory would be as fast, but what is kept of each step, a few bytes, would come to lie between
    two such pieces, and the process would grow with every step of the first epoch.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def of(self, n_rows: int, n_columns: int, like: Tensor) -> Tensor:
        """Return room for a matrix."""
        if self._memory is None or len(self._memory) < n_rows:
            self._memory = like.new_empty(n_rows, n_columns)
        return self._memory[:n_rows]


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None, room: _Room) -> Tensor:
    """Return ``inputs @ weight.T``, plus the bias if there is one, in the way that is fastest here.

    Which way that is follows from the processor and the shapes, and not from a trial, so that a seed
    gives the same bits every time.
    """
    if inputs.is_cpu and inputs.dtype in _ONEDNN_TYPES and _is_large(inputs, weight):
        return cast(Tensor, _onednn_linear(inputs, weight, bias, "none", [], ""))
    threads = torch.get_num_threads()
    n_rows, n_inputs = inputs.shape
    outputs = room.of(n_rows, len(weight), inputs)
    if inputs.is_cpu and inputs.dtype == torch.float32 and threads > 1 and n_rows % threads == 0:
        # One run of rows for each thread, as in the passes before and after it: the rows stay in their
        # core's cache.
        runs = inputs.view(threads, n_rows // threads, n_inputs)
        torch.bmm(
            runs,
            weight.t().expand(threads, -1, -1),
            out=outputs.view(threads, n_rows // threads, len(weight)),
        )
    else:
        torch.mm(inputs, weight.t(), out=outputs)
    return outputs if bias is None else outputs.add_(bias)


def _is_large(inputs: Tensor, weight: Tensor) -> bool:
    """Return whether a product outweighs what oneDNN needs to prepare it."""
    return len(inputs) * weight.numel() >= 1 << 21


def _onednn_types() -> set[torch.dtype]:
    """Return the types whose products oneDNN computes faster than torch's default.

    For single precision the default is MKL, which is as fast on the processors of its own maker alone.
    Without instructions for bfloat16, oneDNN refuses such products, and torch computes them in another way.
    """
    if _onednn_linear is None:
        return set()
    half = {torch.bfloat16} if multiplies_bfloat16() else set()
    return half if is_intel() else half | {torch.float32}


_onednn_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_ONEDNN_TYPES = _onednn_types()


class _Activation:
    """An element-wise function, with its derivative from torch's own library."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.derivative = module, _ACTIVATIONS[type(module)]

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        self.outputs = cast(Tensor, self.module(inputs))
        return self.outputs

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        if not needs_inputs:
            return None
        return cast(Tensor, self.derivative(self.module, gradient, self.inputs, self.outputs))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

# ruff: noqa: ARG005
#: Module, gradient of the outputs, inputs, outputs -> gradient of the inputs.
_ACTIVATIONS: Mapping[type[nn.Module], Callable[[Any, Tensor, Tensor, Tensor], Any]] = {
    nn.Identity: lambda module, g, x, y: g,
    nn.ReLU: lambda module, g, x, y: _aten.threshold_backward.default(g, y, 0),
    nn.LeakyReLU: lambda module, g, x, y: _aten.leaky_relu_backward.default(
        g, x, module.negative_slope, False
    ),
    nn.ELU: lambda module, g, x, y: _aten.elu_backward.default(g, module.alpha, 1, 1, False, x),
    nn.SELU: lambda module, g, x, y: _aten.elu_backward.default(g, _SELU_ALPHA, _SELU_SCALE, 1, False, x),
    nn.GELU: lambda module, g, x, y: _aten.gelu_backward.default(g, x, approximate=module.approximate),
    nn.SiLU: lambda module, g, x, y: _aten.silu_backward.default(g, x),
    nn.Sigmoid: lambda module, g, x, y: _aten.sigmoid_backward.default(g, y),
    nn.Tanh: lambda module, g, x, y: _aten.tanh_backward.default(g, y),
    TruncatedNormalMean: lambda module, g, x, y: g * (1 - (y - x) * y),
    nn.Softplus: lambda module, g, x, y: _aten.softplus_backward.default(g, x, module.beta, module.threshold),
}
