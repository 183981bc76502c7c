"""Networks, activations and bottlenecks: initialisation, tying, and the two halves used alone."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from helpers import ACTIVATIONS, CONFIGURATIONS, state_of
from isthmus import Autoencoder
from isthmus.bottlenecks import PlainBottleneck
from isthmus.estimators._scaling import Scaling
from isthmus.networks import DenseNetwork, activation

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


def network(hidden_layers=(5,), tied=False, seed=0, name="tanh"):
    generator = torch.Generator().manual_seed(seed)
    return DenseNetwork(
        (8,), 3, 3, hidden_layers=hidden_layers, activation=name, tied=tied, generator=generator
    )


FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: max(x, 0.01 * x),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "truncated_normal": lambda x: (
        x + math.exp(-x * x / 2) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(-x / math.sqrt(2)))
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_what_its_name_says(name):
    points = [-3.0, -0.5, 0.0, 0.5, 3.0]
    values = activation(name)(torch.tensor(points, dtype=torch.float64))
    np.testing.assert_allclose(values, [FORMULAS[name](x) for x in points], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("where", ["activation", "code_activation"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_learns(where, name, digits, device):
    train, test = digits
    model = Autoencoder(8, hidden_layers=(32,), epochs=30, random_state=0, device=device, **{where: name})
    assert model.fit(train).score(test) > 0.2


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("hidden_layers", [(), (5,), (7, 4)])
def test_a_gradient_reaches_every_parameter(hidden_layers, tied):
    net = network(hidden_layers, tied)
    rows = torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
    net.decoder(net.encoder(rows)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_weights_are_glorot_uniform_and_biases_zero():
    net = DenseNetwork((400,), 300, 300, generator=torch.Generator().manual_seed(0))
    limit = math.sqrt(6 / 700)
    for layer in (net.encoder[0], net.decoder[0]):
        assert limit * 0.99 < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
        assert abs(layer.weight.mean().item()) < 0.01 * limit
        assert not layer.bias.any()


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    one = network().state_dict()
    torch.manual_seed(2)
    same, other = network().state_dict(), network(seed=1).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.0.weight"], other["encoder.0.weight"])


def test_without_a_generator_there_are_shapes_and_no_memory():
    net = DenseNetwork((10**6,), 10**6, 10**6, generator=None)  # 8 TB if it were real
    assert all(parameter.is_meta for parameter in net.parameters())


def test_the_decoder_mirrors_the_encoder():
    shapes = [
        tuple(layer.weight.shape) for layer in network((7, 4)).modules() if isinstance(layer, nn.Linear)
    ]
    assert shapes == [(7, 8), (4, 7), (3, 4), (4, 3), (7, 4), (8, 7)]
    net = network((7, 4))
    assert [type(layer).__name__ for layer in net.encoder] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert type(net.decoder[-1]).__name__ == "Linear"  # pre-activations: the loss has the link


def test_a_dense_layer_is_a_matrix_product():
    net = network(())
    rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    weight, bias = net.encoder[0].weight, net.encoder[0].bias
    torch.testing.assert_close(net.encoder(rows), rows @ weight.T + bias)


def test_tied_weights_are_one_and_the_same(digits):
    model = Autoencoder(6, hidden_layers=(20,), tied=True, epochs=5, random_state=0).fit(digits[0])
    encoder = [layer for layer in model.encoder_.body if hasattr(layer, "weight")]
    decoder = [layer for layer in model.decoder_.body if hasattr(layer, "weight")]
    for going_in, going_out in zip(encoder, reversed(decoder), strict=True):
        assert going_out.weight is going_in.weight
        assert going_out.bias is not going_in.bias
    names = dict(model._assembly.named_parameters())
    assert sum(parameter.ndim == 2 for parameter in names.values()) == 2
    free = Autoencoder(6, hidden_layers=(20,), epochs=5, random_state=0).fit(digits[0])
    assert len(state_of(free)) == 8
    # What the decoder does is the transpose.
    code = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    hidden = code @ encoder[1].weight + decoder[0].bias
    torch.testing.assert_close(model.decoder_.body[0](code), hidden)


def test_the_plain_bottleneck_adds_nothing():
    bottleneck = PlainBottleneck(4, nn.ReLU())
    bottled = bottleneck(torch.tensor([[-1.0, 2.0, 0.0, 1.0]]), torch.zeros(1, dtype=torch.int64))
    assert bottled.code.tolist() == [[0, 2, 0, 1]]
    assert bottled.terms == bottled.measures == {}
    assert (bottleneck.n_inputs, bottleneck.n_components) == (4, 4)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_halves_alone_are_transform_and_inverse_transform(name, digits):
    X = digits[0].astype(np.float32)
    model = clone(CONFIGURATIONS[name]).set_params(epochs=2, random_state=0).fit(X)
    with torch.no_grad():
        codes = model.encoder_(torch.tensor(X[:100]))
        copies = model.decoder_(codes)
    np.testing.assert_allclose(codes, model.transform(X[:100]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(copies, model.inverse_transform(codes.numpy()), rtol=1e-5, atol=1e-6)


def test_another_precision_leaves_the_scaling_alone():
    scaling = Scaling(
        torch.tensor([1e12, 0.1], dtype=torch.float64), torch.tensor([1e-300, 3.0], dtype=torch.float64)
    )
    for other in (
        copy.deepcopy(scaling).float(),
        copy.deepcopy(scaling).half(),
        copy.deepcopy(scaling).double(),
    ):
        assert torch.equal(other.offset, scaling.offset)
        assert torch.equal(other.unit, scaling.unit)


def test_scaling_keeps_digits_that_single_precision_would_lose():
    scaling = Scaling(torch.tensor([1e12], dtype=torch.float64), torch.tensor([10.0], dtype=torch.float64))
    rows = torch.tensor([[1e12 + 5.0]], dtype=torch.float64)
    assert scaling(rows).item() == 0.5
    assert scaling.inverse(scaling(rows)).item() == 1e12 + 5
