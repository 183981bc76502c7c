"""Rows as bytes, by any fitted model."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from isthmus._checks import check_flag, check_number, wrong_parameter
from isthmus.bottlenecks import EntropyBottleneck
from isthmus.codec import (
    MOST_ROWS,
    Header,
    exponents_of,
    header_bytes,
    read_blocks,
    read_header,
    require_coder,
    steps_of,
    write_block,
    write_end,
)
from isthmus.errors import CompressedDataError, DataError, InvalidTypeError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._coding import Coding, codes_of, doubles, has_tokens
from isthmus.estimators._fingerprint import fingerprint
from isthmus.estimators._names import FEATURE_NAMES, refuse_moved_codes, without_names
from isthmus.estimators._parameters import PublishingMixin
from isthmus.estimators._quantizing import auto_step, largest_where, quantized, sensitivities
from isthmus.estimators._rows import accept, flatten
from isthmus.estimators._saving import weights_of
from isthmus.estimators._tensors import TensorsMixin
from isthmus.estimators._training_range import one_warning
from isthmus.rows import given_rows

Array = NDArray[Any]

SAMPLE_ROWS = 1024
BLOCK_VALUES = 1 << 23  # of the rows that are in memory at a time
#: Steps that are tried where residuals follow: coarser codes leave more to them.
TRIED = 2.0 ** np.arange(-1, 6)
TRIED_ROWS = 256


class Compressor(
    TensorsMixin,
    PublishingMixin,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Rows to real bytes and back, by a model's codes.

    Codes are rounded, and what is rounded goes through a range coder with integer tables, which both sides
    learn from what went through. Beside the bytes, only the model is needed to read them. Each code is
    rounded the more finely the more the copies depend on it.

    Parameters
    ----------
    model : estimator
        Anything with ``transform`` and ``inverse_transform``: an autoencoder of Isthmus, scikit-learn's
        PCA. A fitted one is used as it is; another is cloned and fitted.
    step : float or "auto", default="auto"
        How far apart two rounded codes are, measured by what it does to the copies, in the unit of the
        data. "auto" takes the steps of a model with ``bottleneck="entropy"``, which is trained for
        them; for others the coarsest step with which the squared error of the copies grows by at most a
        twentieth, or with ``lossless`` or ``max_error`` the one that takes the fewest bytes.
    target_bpp : float, optional
        Instead of a step: bits per value (per pixel, for images of one channel) that the rows of `fit`
        take at most, all included but the model; of very many rows, the first few millions of values.
    max_error : float, optional
        No value of a decompressed row differs from its original by more than this, in the unit of the
        data: what the copies miss is in the bytes as well. For rows of floats.
    lossless : bool, default=False
        Rows come back bit for bit: of integers, booleans, and floats of 16, 32 or 64 bits, which take
        few bytes where they are multiples of 1/255, as images often are.

    Attributes
    ----------
    model_ : estimator
        The fitted model.
    n_features_in_ : int
        Number of values in a row.
    feature_names_in_ : ndarray of str
        Column names, where the model was fitted on a table, or ``X`` was one. Later tables need the same
        columns in the same order.
    step_ : float
        The step, in the unit of the data; the mean over the codes where the model brought steps of its own.
    steps_ : ndarray of shape (n_components,)
        How far apart two rounded values of each code are.
    whole_ : bool
        Whether codes are whole numbers already, such as the entries of a vector quantiser.
    fingerprint_ : str
        What the bytes name the model by.

    See Also
    --------
    isthmus.Autoencoder : With ``bottleneck="entropy"`` codes are trained to take few bits.

    References
    ----------
    J. Ballé, V. Laparra and E. P. Simoncelli, "End-to-end optimized image compression", ICLR, 2017.
    G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message",
    1979. R. Bamler, "Understanding entropy coding with asymmetric numeral systems", 2022 (the coder).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from isthmus import Compressor
    >>> X = np.random.default_rng(0).normal(size=(500, 2)) @ [[1, 2, 3, 4], [4, 3, 2, 1]]
    >>> rough = Compressor(PCA(2), target_bpp=4).fit(X)
    >>> content = rough.compress(X)
    >>> len(content) * 8 / X.size <= 4
    True
    >>> rough.decompress(content).shape
    (500, 4)
    >>> exact = Compressor(PCA(2), max_error=0.01).fit(X)
    >>> bool(np.abs(exact.decompress(exact.compress(X)) - X).max() <= 0.01)
    True
    """

    model_: Any
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    step_: float
    steps_: NDArray[np.float64]
    whole_: bool
    fingerprint_: str
    _units: NDArray[np.float64]

    def __init__(
        self,
        model: Any = None,
        *,
        step: float | str = "auto",
        target_bpp: float | None = None,
        max_error: float | None = None,
        lossless: bool = False,
    ) -> None:
        self.model = model
        self.step = step
        self.target_bpp = target_bpp
        self.max_error = max_error
        self.lossless = lossless

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Decide how finely codes are rounded, and fit the model if it is not fitted.

        Parameters
        ----------
        X : array-like of shape (n, features), or as the model takes rows
            Rows like those to be compressed, best the very ones.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When parameters contradict each other or the data, or cannot be met.
        MissingDependencyError
            When constriction is not installed (``pip install isthmus[codec]``).
        """
        with one_warning():
            return self._fit(X)

    def _fit(self, X: ArrayLike) -> Self:
        self._check_parameters()
        with self._published() as new:
            rows = new._first_rows(X)
            new.model_ = new._fitted(X)
            new.fingerprint_ = fingerprint(new.model_)
            sample = rows[:: max(1, len(rows) // SAMPLE_ROWS)][:SAMPLE_ROWS]
            codes = codes_of(without_names(new.model_), doubles(sample))
            new.whole_ = has_tokens(new.model_)
            if new.whole_:
                new._refuse_steps()
                new.step_, new.steps_ = 1.0, np.ones(codes.shape[1])
                return self
            new._units = 1 / sensitivities(new.model_, codes)
            learnt = new._learnt_steps()
            if learnt is None:
                new._set_step(new._common_step(rows, sample, codes))
            else:
                new.step_, new.steps_ = float((learnt / new._units).mean()), steps_of(exponents_of(learnt))
        return self

    def with_step(self, step: float) -> Self:
        """Return a fitted compressor of the same model that rounds its codes otherwise.

        Parameters
        ----------
        step : float
            How far apart two rounded codes are, in the unit of the data.

        Raises
        ------
        InvalidParameterError
            When the step is not a positive number, or codes are whole numbers already.
        """
        fitted = self._snapshot()
        check_number(step, parameter="step", owner=type(self).__name__, minimum=0, open_minimum=True)
        other = copy.copy(fitted).set_params(step=step, target_bpp=None)
        if fitted.whole_:
            other._refuse_steps()
        other._set_step(step)
        return cast(Self, other)

    def compress(self, X: ArrayLike) -> bytes:
        """Return rows as bytes.

        Parameters
        ----------
        X : array-like of shape (n, features), or as the model takes rows
            Finite real numbers.

        Returns
        -------
        bytes
            What :meth:`decompress` reads; the format is described in FORMAT.md.
        """
        fitted = self._snapshot()
        rows, file = fitted._rows(X), io.BytesIO()
        size = block_rows(rows.shape[1:])
        fitted._write((rows[start : start + size] for start in range(0, len(rows), size)), file)
        return file.getvalue()

    def decompress(self, content: bytes) -> Array:
        """Return rows from bytes.

        Parameters
        ----------
        content : bytes
            What :meth:`compress` returned, here or on another machine, with the same model.

        Returns
        -------
        ndarray
            Rows in the type and shape in which they were compressed: the copies of the rounded codes, or
            the originals within ``max_error`` or without any loss, if they were so compressed.

        Raises
        ------
        CompressedDataError
            When the bytes are damaged, of a newer format, or were made with another model.
        """
        return np.concatenate(list(self.decompress_from(io.BytesIO(content))))

    def compress_to(self, blocks: Iterable[ArrayLike], file: BinaryIO) -> int:
        """Write rows to a file, of which only some need to be in memory at a time.

        Parameters
        ----------
        blocks : iterable of array-like
            Some rows each, all of one type and shape: at most 65,536 rows in each. Tables are learnt
            anew in every block, so that a few thousand rows should be in one.
        file : binary file
            To write to.

        Returns
        -------
        int
            The number of rows.
        """
        fitted = self._snapshot()
        return fitted._write((fitted._rows(block) for block in blocks), file)

    def decompress_from(self, file: BinaryIO) -> Iterator[Array]:
        """Yield rows from a file, block by block.

        Parameters
        ----------
        file : binary file
            What :meth:`compress_to` wrote.

        Yields
        ------
        ndarray
            Some rows.

        Raises
        ------
        CompressedDataError
            When the file is damaged or was made with another model. Rows yielded before were right.
        """
        model = self._decoder()
        header, own = read_header(file), fingerprint(model)
        if header.model != own:
            raise CompressedDataError(
                f"they were compressed with another model ({header.model[:12]}...) than this one "
                f"({own[:12]}...)."
            )
        coding = Coding(model, header)
        coding.check_header()
        for block in read_blocks(file):
            yield coding.decode(block)

    def transform(self, X: ArrayLike) -> Array:
        """Return the codes of rows as they are after rounding.

        Parameters
        ----------
        X : array-like of shape (n, features), or as the model takes rows
            Finite real numbers.

        Returns
        -------
        codes : ndarray of shape (n, n_components)
            A data frame after ``set_output``, with the names of :meth:`get_feature_names_out`.
        """
        fitted = self._snapshot()
        codes = np.asarray(without_names(fitted.model_).transform(fitted._rows(X)))
        if fitted.whole_:
            return codes
        rounded = quantized(flatten(codes), fitted.steps_) * fitted.steps_
        return rounded.astype(codes.dtype).reshape(codes.shape)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the rows that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n, n_components)
            Codes, as :meth:`transform` returns them.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape that the model was fitted on
            Reconstructions in the units of the data.
        """
        fitted = self._snapshot()
        refuse_moved_codes(X, fitted)
        return np.asarray(
            fitted.model_.inverse_transform(given_rows(X, f"codes of {type(self).__name__}").values)
        )

    @property
    def _n_features_out(self) -> int:
        return len(self.steps_)

    def _write(self, blocks: Iterable[Array], file: BinaryIO) -> int:
        """Write rows that have been checked, and return their number."""
        require_coder()
        with one_warning():
            return self._write_blocks(blocks, file)

    def _write_blocks(self, blocks: Iterable[Array], file: BinaryIO) -> int:
        coding: Coding | None = None
        total = 0
        for rows in blocks:
            if coding is None:
                coding = self._coding(rows)
                file.write(header_bytes(coding.header))
            write_block(file, coding.encode(rows))
            total += len(rows)
        if coding is None:
            raise DataError("There are no rows to compress.")
        write_end(file, total)
        return total

    def _first_rows(self, X: ArrayLike) -> Array:
        """Return the rows of `fit`; the columns are those of the model, if it is fitted and knows their names."""
        names = getattr(self.model, FEATURE_NAMES, None) if _is_fitted(self.model) else None
        if names is None:
            return self._rows(X, reset=True)
        self.feature_names_in_, self.n_features_in_ = names, len(names)
        return self._rows(X)

    def _rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        """Return rows of real numbers in the machine's own byte order, in the shape they came in."""
        given = given_rows(X, f"X of {type(self).__name__}")
        flat_rows = accept(self, given, reset=reset, dtype="numeric")
        if flat_rows.dtype.itemsize > 8:
            raise DataError(f"Rows of {flat_rows.dtype} cannot be compressed; numbers of up to 64 bits can.")
        rows = flat_rows.reshape(given.shape)
        return np.asarray(rows.astype(rows.dtype.newbyteorder("="), copy=False))

    def _check_parameters(self) -> None:
        owner = type(self).__name__
        if not all(callable(getattr(self.model, name, None)) for name in ("transform", "inverse_transform")):
            wanted = "a model with transform and inverse_transform"
            raise InvalidTypeError(str(wrong_parameter(owner, "model", wanted, self.model)))
        check_flag(self.lossless, parameter="lossless", owner=owner)
        require_coder()
        if isinstance(self.step, str):
            if self.step != "auto":
                raise wrong_parameter(owner, "step", "a positive number or 'auto'", self.step)
        else:
            check_number(self.step, parameter="step", owner=owner, minimum=0, open_minimum=True)
        for name in ("target_bpp", "max_error"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), parameter=name, owner=owner, minimum=0, open_minimum=True)
        goals = {
            "target_bpp": self.target_bpp is not None,
            "max_error": self.max_error is not None,
            "lossless": self.lossless,
        }
        chosen = [name for name, given in goals.items() if given]
        if len(chosen) > 1 or (self.target_bpp is not None and self.step != "auto"):
            both = " and ".join(chosen if len(chosen) > 1 else ["target_bpp", "step"])
            raise wrong_parameter(
                owner, chosen[0], f"given alone, not {both} together", getattr(self, chosen[0])
            )

    def _refuse_steps(self) -> None:
        for name, unset in (("step", "auto"), ("target_bpp", None)):
            if getattr(self, name) != unset:
                wanted = f"{unset!r} for a model whose codes are whole numbers"
                raise wrong_parameter(type(self).__name__, name, wanted, getattr(self, name))

    def _learnt_steps(self) -> NDArray[np.float64] | None:
        """Return the steps that the model was trained for, if nothing else is asked for."""
        bottleneck = getattr(getattr(self.model_, "_assembly", None), "bottleneck", None)
        if (
            not isinstance(bottleneck, EntropyBottleneck)
            or self.step != "auto"
            or self.target_bpp is not None
        ):
            return None
        return np.asarray(bottleneck.step.double().cpu().numpy())

    def _fitted(self, X: ArrayLike) -> Any:
        if _is_fitted(self.model):
            return self.model
        given = given_rows(X, f"X of {type(self).__name__}")
        return clone(self.model).fit(given.values if given.frame is None else given.frame)

    def _set_step(self, step: float) -> None:
        """Take a step in the unit of the data, and for each code what it comes to."""
        self.step_, self.steps_ = float(step), steps_of(exponents_of(step * self._units))

    def _common_step(self, rows: Array, sample: Array, codes: NDArray[np.float64]) -> float:
        """Return the step in the unit of the data that the parameters ask for."""
        if not isinstance(self.step, str):
            return float(self.step)
        fine = auto_step(self.model_, flatten(doubles(sample)), codes, self._units)
        if self.target_bpp is not None:
            return self._step_for_rate(self.target_bpp, rows, fine)
        if not self.lossless and self.max_error is None:
            return fine
        some = sample[:TRIED_ROWS]

        def size(step: float) -> int:
            self._set_step(step)
            return len(self._coding(some).encode(some).content)

        return float(min(fine * TRIED, key=size))

    def _step_for_rate(self, target: float, rows: Array, fine: float) -> float:
        some = rows[: block_rows(rows.shape[1:])]

        def bits(step: float) -> float:
            self._set_step(step)
            file = io.BytesIO()
            self._write([some], file)
            return 8 * file.tell() / some.size

        coarsest = fine * 2.0**12
        if bits(coarsest) > target:
            wanted = f"at least {bits(coarsest):.3g} bits per value for this model and {len(some)} rows"
            raise wrong_parameter(type(self).__name__, "target_bpp", wanted, target)
        # More rows share the header, so that the rate of some bounds that of all.
        return 1 / largest_where(lambda inverse: bits(1 / inverse) <= target, 1 / coarsest, 2.0**10 / fine)

    def _coding(self, rows: Array) -> Coding:
        """Return how rows like these are compressed."""
        header = Header(
            model=self.fingerprint_,
            dtype=rows.dtype.name,
            row_shape=rows.shape[1:],
            exponents=exponents_of(self.steps_),
            whole=self.whole_,
            residuals=self.lossless or self.max_error is not None,
        )
        return Coding(without_names(self.model_), header, self.max_error)

    def _decoder(self) -> Any:
        """Return the model; nothing else is needed to read, since files hold the steps."""
        model = getattr(self, "model_", self.model)
        self._check_parameters()
        if not _is_fitted(model):
            raise NotFittedError(
                "The model of this Compressor is not fitted, and nothing was compressed with it."
            )
        return model


def _is_fitted(model: Any) -> bool:
    """Say whether a model is fitted; what is not scikit-learn's can be nothing else."""
    if not isinstance(model, BaseEstimator):
        return True
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def model_size(model: Any) -> int | None:
    """Return how many bytes a fitted model takes in a file: what a compressed file does not hold.

    Parameters
    ----------
    model : estimator
        An autoencoder (its weights as they are saved), or a model of scikit-learn's (its arrays). Floating
        numbers count in single precision, whatever the model was fitted in.

    Returns
    -------
    int or None
        None if the model has no arrays to be seen.
    """
    if isinstance(model, BaseAutoencoder):
        return int(sum(weights.nbytes for weights in weights_of(model._assembly).values()))
    inner = getattr(model, "model_", getattr(model, "model", None))
    if inner is not None and inner is not model and not isinstance(inner, str):
        return model_size(inner)
    arrays = [value for value in vars(model).values() if isinstance(value, np.ndarray)]
    arrays = [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]
    if not arrays:
        return None
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    return buffer.tell()


def block_rows(row_shape: tuple[int, ...]) -> int:
    """Return how many rows of a shape should be compressed at a time."""
    return max(1, min(MOST_ROWS, BLOCK_VALUES // math.prod(row_shape)))
