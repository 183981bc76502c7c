"""Bottlenecks with finitely many codes: learnt codebooks, and fixed levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from isthmus import _random
from isthmus._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_widths,
    wrong_parameter,
)
from isthmus._device import device_of
from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule

#: The greatest dimension of a code vector that is chosen by itself.
_AUTO_DIMENSION = 4

#: Vectors that a codebook starts from, and how often they are sorted anew.
_START_VECTORS, _START_ROUNDS = 16_384, 10


@dataclass(frozen=True)
class VectorQuantized(Bottleneck):
    """The code is cut into short vectors, and each becomes the nearest entry of a codebook.

    Parameters
    ----------
    n_codes : int, default=256
        Entries of the codebook.
    dimension : int or "auto", default="auto"
        Length of a vector; it divides ``n_components``. On a convolutional network's own map the
        channels of a position lie side by side, so that the number of channels makes a vector of each
        position. ``"auto"`` is the greatest common divisor of ``n_components`` and 4.
    n_levels : int, default=1
        With more than one, each further codebook quantises what the ones before have left over.
    update : {"ema", "gradient"}, default="ema"
        Whether entries follow the vectors that chose them as exponential moving averages, or by the
        gradient of their distance.
    commitment : float, default=0.25
        Factor of the squared distance that draws the encoder's vectors to their entries.
    decay : float, default=0.99
        Of the moving averages.
    revive : bool, default=True
        Whether entries that hardly any vector chooses any more start again at a vector of the batch.

    References
    ----------
    A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS,
    2017. A. Razavi, A. van den Oord and O. Vinyals, "Generating diverse high-fidelity images with
    VQ-VAE-2", NeurIPS, 2019. N. Zeghidour et al., "SoundStream", IEEE/ACM TASLP, 2021. P. Dhariwal et
    al., "Jukebox", 2020.
    """

    n_codes: int = 256
    dimension: int | str = "auto"
    n_levels: int = 1
    update: str = "ema"
    commitment: float = 0.25
    decay: float = 0.99
    revive: bool = True
    name: ClassVar[str] = "vq"
    restrains: ClassVar[bool] = True
    code_activation: ClassVar[str | None] = "identity"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_integer(self.n_codes, parameter="n_codes", owner=owner, minimum=2)
        if self.dimension != "auto":
            check_integer(self.dimension, parameter="dimension", owner=owner, minimum=1)
        check_integer(self.n_levels, parameter="n_levels", owner=owner, minimum=1)
        check_choice(self.update, ("ema", "gradient"), parameter="update", owner=owner)
        check_number(self.commitment, parameter="commitment", owner=owner, minimum=0)
        check_number(self.decay, parameter="decay", owner=owner, minimum=0, maximum=1, open_maximum=True)
        check_flag(self.revive, parameter="revive", owner=owner)

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> VectorQuantizer:
        """Return the module."""
        given = self.dimension
        dimension = math.gcd(n_components, _AUTO_DIMENSION) if isinstance(given, str) else given
        if n_components % dimension:
            wanted = f"a divisor of n_components, {n_components}"
            raise wrong_parameter("VectorQuantized", "dimension", wanted, dimension)
        return VectorQuantizer(n_components, dimension, activation, self, generator)


class VectorQuantizer(BottleneckModule):
    """What :class:`VectorQuantized` describes.

    Parameters
    ----------
    n_components, dimension : int
        Width of the code and length of its vectors.
    activation : torch.nn.Module
        What is applied to the encoder's features.
    description : VectorQuantized
        The settings.
    generator : torch.Generator or None
        Without one: shapes, no memory.

    Attributes
    ----------
    n_codes : int
        Entries of a codebook.
    tokens_shape : tuple of int
        Vectors in a code, and levels.
    codebook : Tensor of shape (n_levels, n_codes, dimension)
        The entries.
    usage : Tensor of shape (n_levels, n_codes)
        Moving average of how many vectors of a batch chose an entry.
    """

    #: Entries with less than this share of an even usage are revived.
    DEAD_SHARE = 0.05

    codebook: Tensor
    usage: Tensor

    unrecordable: ClassVar[str | None] = "the device is waited for to count how often entries are chosen"

    def __init__(
        self,
        n_components: int,
        dimension: int,
        activation: nn.Module,
        description: VectorQuantized,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.n_components = self.n_inputs = n_components
        self.dimension, self.activation, self.description = dimension, activation, description
        self.n_codes = description.n_codes
        self.tokens_shape = (n_components // dimension, description.n_levels)
        device = device_of(generator)
        shape = (description.n_levels, description.n_codes, dimension)
        entries = torch.zeros(shape, dtype=torch.float32, device=device)
        if description.update == "gradient":
            self.register_parameter("codebook", nn.Parameter(entries))
        else:
            self.register_buffer("codebook", entries)
        self.register_buffer("usage", torch.ones(shape[:2], dtype=torch.float32, device=device))

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the quantised code, through which the gradient passes unchanged."""
        vectors = self._vectors(features)
        residual, total = vectors, torch.zeros_like(vectors)
        n_rows, settings = len(features), self.description
        commitment, distance = vectors.new_zeros(()), vectors.new_zeros(())
        perplexities = []
        for level in range(settings.n_levels):
            chosen = self._nearest(residual, level)
            entries = self.codebook[level][chosen]
            commitment = commitment + (residual - entries.detach()).square().sum() / n_rows
            distance = distance + (residual.detach() - entries).square().sum() / n_rows
            # In the codebook's precision, whatever the features have: bfloat16 cannot count beyond 256.
            counts = torch.bincount(chosen, minlength=settings.n_codes).to(self.codebook.dtype)
            perplexities.append(perplexity(counts))
            if self.training:
                self._learn(level, residual.detach(), chosen, counts, keys)
            total = total + entries.detach()
            residual = residual - entries.detach()
        code = (vectors + (total - vectors).detach()).view(n_rows, -1)
        terms = {"commitment": settings.commitment * commitment}
        if settings.update == "gradient":
            terms["codebook"] = distance
        return Bottled(code, terms, {"perplexity": torch.stack(perplexities).mean()})

    def code(self, features: Tensor) -> Tensor:
        """Return the quantised code; a gradient passes through it unchanged, as in training."""
        smooth: Tensor = self.activation(features)
        return straight_through(self.entries(self.tokens(features)), smooth)

    def tuned_code(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the quantised code as in training: the codebook has to follow an encoder that changes."""
        return self(features, keys)  # type: ignore[no-any-return]

    def tokens(self, features: Tensor) -> Tensor:
        """Return the numbers of the entries, shape (batch, n_components // dimension, n_levels)."""
        vectors = self._vectors(features)
        tokens = []
        for level in range(self.description.n_levels):
            tokens.append(self._nearest(vectors, level))
            vectors = vectors - self.codebook[level][tokens[-1]]
        return torch.stack(tokens, dim=1).view(len(features), -1, self.description.n_levels)

    def entries(self, tokens: Tensor) -> Tensor:
        """Return the code that entries of these numbers make, shape (batch, n_components)."""
        levels = torch.arange(self.description.n_levels, device=tokens.device)
        return self.codebook[levels, tokens].sum(2).flatten(1)

    @torch.no_grad()
    def start_from(self, features: Tensor) -> None:
        """Start the codebooks at the means of clusters."""
        residual = self._vectors(features)
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(residual), generator=generator, device="cpu")[:_START_VECTORS]
        residual = residual[order.to(residual.device)]
        for level in range(self.description.n_levels):
            self._start_level(level, residual, generator)
            residual = residual - self.codebook[level][self._nearest(residual, level)]

    def _start_level(self, level: int, vectors: Tensor, generator: torch.Generator) -> None:
        n_codes = self.description.n_codes
        picks = torch.randint(len(vectors), (n_codes,), generator=generator, device="cpu")
        if len(vectors) >= n_codes:
            picks = torch.randperm(len(vectors), generator=generator, device="cpu")[:n_codes]
        centres = vectors[picks.to(vectors.device)]
        for _ in range(_START_ROUNDS):
            self.codebook[level] = centres
            chosen = self._nearest(vectors, level)
            counts = torch.bincount(chosen, minlength=n_codes).to(vectors.dtype).unsqueeze(1)
            sums = torch.zeros_like(centres).index_add_(0, chosen, vectors)
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        self.codebook[level] = centres

    def _vectors(self, features: Tensor) -> Tensor:
        activities: Tensor = self.activation(features)
        # Never less precise than the codebook: entries are sums over many vectors, and their gradients too.
        precision = torch.promote_types(activities.dtype, self.codebook.dtype)
        return activities.to(precision).reshape(-1, self.dimension)

    @torch.no_grad()
    def _nearest(self, vectors: Tensor, level: int) -> Tensor:
        # Around the middle of the entries: squares of numbers far from zero would leave no digits for the
        # differences. The vector's own square is the same for all entries.
        middle = self.codebook[level].mean(0)
        entries = self.codebook[level] - middle
        return torch.addmm(entries.square().sum(1), vectors - middle, entries.t(), alpha=-2).argmin(1)

    @torch.no_grad()
    def _learn(self, level: int, vectors: Tensor, chosen: Tensor, counts: Tensor, keys: Tensor) -> None:
        """Move the entries and their usage, and revive the dead."""
        settings, usage, entries = self.description, self.usage[level], self.codebook[level]
        if settings.update == "ema":
            sums = torch.zeros_like(entries).index_add_(0, chosen, vectors)
            # Decay of sum and count in one: the entry moves by the share of the new vectors in both.
            share = (1 - settings.decay) * counts
            weight = settings.decay * usage + share
            means = sums / counts.clamp(min=1).unsqueeze(1)
            entries.lerp_(means, (share / weight.clamp(min=1e-12)).unsqueeze(1))
        usage.lerp_(counts, 1 - settings.decay)
        if settings.revive:
            even = len(vectors) / settings.n_codes
            dead = usage < self.DEAD_SHARE * min(even, 1.0)
            picks = _random.integers(keys[:1], (settings.n_codes,), len(vectors), _random.BOTTLENECK)[0]
            entries.copy_(torch.where(dead.unsqueeze(1), vectors[picks], entries))
            usage.copy_(torch.where(dead, torch.full_like(usage, min(even, 1.0)), usage))


@dataclass(frozen=True)
class FiniteScalar(Bottleneck):
    """Each code unit takes one of a few evenly spaced values between -1 and 1; nothing is learnt.

    Parameters
    ----------
    levels : tuple of int, default=(8, 5, 5, 5)
        Number of values of the first unit, the second, and so on, over and over; their number divides
        ``n_components``.

    References
    ----------
    F. Mentzer, D. Minnen, E. Agustsson and M. Tschannen, "Finite scalar quantization: VQ-VAE made
    simple", ICLR, 2024.
    """

    levels: tuple[int, ...] = (8, 5, 5, 5)
    name: ClassVar[str] = "fsq"
    restrains: ClassVar[bool] = True
    code_activation: ClassVar[str | None] = "identity"

    def __post_init__(self) -> None:
        levels = check_widths(self.levels, parameter="levels", owner="FiniteScalar", at_least_one=True)
        if min(levels) < 2:
            raise wrong_parameter("FiniteScalar", "levels", "at least 2 everywhere", self.levels)
        # Of 63 levels the product is too large already; that of millions takes hours.
        if len(levels) >= 63 or math.prod(levels) >= 2**63:
            wanted = "such that a vector has less than 2^63 values, which is what a token can count"
            raise wrong_parameter("FiniteScalar", "levels", wanted, self.levels)
        object.__setattr__(self, "levels", levels)

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> ScalarQuantizer:
        """Return the module."""
        if n_components % len(self.levels):
            wanted = f"as many numbers as divide n_components, {n_components}"
            raise wrong_parameter("FiniteScalar", "levels", wanted, self.levels)
        return ScalarQuantizer(n_components, activation, self.levels, generator)


class ScalarQuantizer(BottleneckModule):
    """What :class:`FiniteScalar` describes.

    Parameters
    ----------
    n_components : int
        Width of the code.
    activation : torch.nn.Module
        What is applied to the encoder's features.
    levels : tuple of int
        Values of each unit of a vector.
    generator : torch.Generator or None
        Without one: shapes, no memory.

    Attributes
    ----------
    n_codes : int
        Different vectors.
    tokens_shape : tuple of int
        Vectors in a code, and 1.
    """

    steps: Tensor
    strides: Tensor

    def __init__(
        self,
        n_components: int,
        activation: nn.Module,
        levels: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.n_components = self.n_inputs = n_components
        self.activation, self.levels = activation, levels
        n_vectors = n_components // len(levels)
        self.n_codes = math.prod(levels)
        self.tokens_shape = (n_vectors, 1)
        device = device_of(generator)
        steps = (torch.tensor(levels, device=device) - 1).repeat(n_vectors)
        self.register_buffer("steps", steps, persistent=False)
        strides = [math.prod(levels[:place]) for place in range(len(levels))]
        self.register_buffer("strides", torch.tensor(strides, device=device), persistent=False)

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the quantised code, through which the gradient passes unchanged."""
        smooth: Tensor = 2 * self._share(features) - 1
        code = smooth + (self.code(features) - smooth).detach()
        # Not a count for each code: there may be far more codes than memory.
        counts = torch.unique(self.tokens(features), return_counts=True)[1]
        return Bottled(code, {}, {"perplexity": perplexity(counts)})

    def code(self, features: Tensor) -> Tensor:
        """Return the quantised code; a gradient passes through the rounding unchanged, as in training."""
        share = self._share(features)
        code: Tensor = 2 * (share * self.steps).round() / self.steps - 1
        return straight_through(code, 2 * share - 1)

    def tokens(self, features: Tensor) -> Tensor:
        """Return one number for each vector, shape (batch, n_components // len(levels), 1)."""
        numbers = (self._share(features) * self.steps).round().long()
        vectors = numbers.view(len(features), -1, len(self.levels))
        return (vectors * self.strides).sum(2, keepdim=True)

    def entries(self, tokens: Tensor) -> Tensor:
        """Return the code that these numbers stand for, shape (batch, n_components), float64."""
        levels = torch.tensor(self.levels, device=tokens.device)
        numbers = (tokens // self.strides).remainder(levels).flatten(1)
        code: Tensor = 2 * numbers.double() / self.steps - 1
        return code

    def _share(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.activation(features))


def straight_through(quantized: Tensor, smooth: Tensor) -> Tensor:
    """Return the quantised values, exactly, with the gradient of the smooth ones.

    Parameters
    ----------
    quantized : Tensor
        Values that do not change with small changes of what they were made from.
    smooth : Tensor of the same shape
        What they were made from.
    """
    # The difference is zero, so that the values stay entries of the codebook to the bit.
    return quantized.detach() + (smooth - smooth.detach()) if smooth.requires_grad else quantized


def perplexity(counts: Tensor) -> Tensor:
    """Return how many entries are in use, as the exponential of the entropy of their shares.

    Counts are whole numbers, or in a precision that holds them exactly.
    """
    shares = counts / counts.sum()
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()
