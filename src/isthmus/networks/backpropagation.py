"""Forward and backward passes of a chain of layers, written out.

Autograd does the same for any network. For a few matrix products of a few dozen microseconds each,
its bookkeeping costs as much as the arithmetic: these layers write their gradients straight to where
the optimiser reads them. The tests hold every one of them against autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus.networks.dense import TiedLinear

_aten = torch.ops.aten


class Place(NamedTuple):
    """Where a parameter is computed with, and where its gradient is to be written."""

    value: Tensor
    gradient: Tensor


class Layer(Protocol):
    """One link of the chain; `backward` follows a `forward` and concerns the same rows."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's outputs."""
        ...

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        """Write the parameters' gradients, and return the inputs' where they are needed."""
        ...


def layers_of(modules: Iterable[nn.Module], places: Mapping[nn.Parameter, Place]) -> list[Layer] | None:
    """Return the chain of these modules, or None where one of them is not known here.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
        The layers in their order; sequential containers are opened.
    places : mapping of Parameter to Place
        Memory of the parameters.
    """
    flat = list(_opened(modules))
    if not all(type(module) in _ACTIVATIONS or isinstance(module, nn.Linear | TiedLinear) for module in flat):
        return None
    layers: list[Layer] = []
    written: set[nn.Parameter] = set()
    # From the end, as the gradients come: of two layers with one weight, the second adds.
    for module in reversed(flat):
        if isinstance(module, nn.Linear | TiedLinear):
            layers.append(_Affine(module, places, adds=module.weight in written))
            written.add(module.weight)
        else:
            layers.append(_Activation(module))
    return layers[::-1]


def _opened(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _opened(module)
        else:
            yield module


class _Affine:
    """A linear layer or a tied one: ``inputs @ weight.T + bias``."""

    def __init__(
        self, module: nn.Linear | TiedLinear, places: Mapping[nn.Parameter, Place], *, adds: bool
    ) -> None:
        weight, self.bias = places[module.weight], places[module.bias]
        if isinstance(module, TiedLinear):
            weight = Place(weight.value.t(), weight.gradient.t())
        self.weight, self.adds = weight, adds

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        return linear(inputs, self.weight.value, self.bias.value)

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        if self.adds:
            self.weight.gradient.addmm_(gradient.t(), self.inputs)
        else:
            torch.mm(gradient.t(), self.inputs, out=self.weight.gradient)
        torch.sum(gradient, 0, out=self.bias.gradient)
        return torch.mm(gradient, self.weight.value) if needs_inputs else None


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``inputs @ weight.T + bias`` by the fastest product there is for these tensors.

    On the CPU that is oneDNN's: it adds the bias while the product is in registers, and uses the
    wide instructions of every maker's processors, where MKL, torch's default, knows one maker's.
    """
    if inputs.is_cpu and inputs.dtype in _ONEDNN_TYPES and weight.is_contiguous():
        product: Tensor = _onednn_linear(inputs, weight, bias, "none", [], "")
        return product
    return functional.linear(inputs, weight, bias)


def _find_onednn() -> Callable[..., Tensor] | None:
    try:
        return torch.ops.mkldnn._linear_pointwise.default  # type: ignore[no-any-return]
    except AttributeError:  # a build of torch without oneDNN
        return None


_onednn_linear = _find_onednn()
_ONEDNN_TYPES = {torch.float32, torch.bfloat16} if _onednn_linear is not None else set()


class _Activation:
    """An element-wise function, with its derivative from torch's own library."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.derivative = module, _ACTIVATIONS[type(module)]

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        self.outputs: Tensor = self.module(inputs)
        return self.outputs

    def backward(self, gradient: Tensor, *, needs_inputs: bool) -> Tensor | None:
        return self.derivative(self.module, gradient, self.inputs, self.outputs) if needs_inputs else None


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

#: Module, gradient of the outputs, inputs, outputs -> gradient of the inputs.
_ACTIVATIONS: Mapping[type[nn.Module], Callable[..., Tensor]] = {
    nn.Identity: lambda _, gradient, x, y: gradient,
    nn.ReLU: lambda _, gradient, x, y: _aten.threshold_backward.default(gradient, y, 0),
    nn.LeakyReLU: lambda module, gradient, x, y: _aten.leaky_relu_backward.default(
        gradient, x, module.negative_slope, False
    ),
    nn.ELU: lambda module, gradient, x, y: _aten.elu_backward.default(gradient, module.alpha, 1, 1, False, x),
    nn.SELU: lambda _, gradient, x, y: _aten.elu_backward.default(
        gradient, _SELU_ALPHA, _SELU_SCALE, 1, False, x
    ),
    nn.GELU: lambda module, gradient, x, y: _aten.gelu_backward.default(
        gradient, x, approximate=module.approximate
    ),
    nn.SiLU: lambda _, gradient, x, y: _aten.silu_backward.default(gradient, x),
    nn.Sigmoid: lambda _, gradient, x, y: _aten.sigmoid_backward.default(gradient, y),
    nn.Tanh: lambda _, gradient, x, y: _aten.tanh_backward.default(gradient, y),
    nn.Softplus: lambda module, gradient, x, y: _aten.softplus_backward.default(
        gradient, x, module.beta, module.threshold
    ),
}
