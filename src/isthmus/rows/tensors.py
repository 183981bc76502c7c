"""Tensors of torch, to NumPy and back, for callers that start without torch.

A tensor can only be there once its owner has imported torch, so that a look among the loaded modules is enough to
recognise one.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

#: Types of torch that NumPy has under the same name.
_SHARED = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
)  # fmt: skip


def is_tensor(X: object) -> bool:
    """Return whether an object is a tensor of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def as_array(tensor: Any, owner: str) -> NDArray[Any]:
    """Return the values of a tensor as an array, which shares its memory where it lies in the host's.

    Gradients are left behind, and other devices are copied from. The value type is kept where NumPy has it;
    bfloat16 and the floats of 8 bits become float32.

    Parameters
    ----------
    tensor : torch.Tensor
        On any device.
    owner : str
        What it is called in messages.

    Raises
    ------
    DataError
        For tensors that are sparse, nested, quantized, complex or without values.
    """
    torch = sys.modules["torch"]
    if tensor.is_nested:
        raise DataError(f"{owner} is a nested tensor. Pad its rows first: X.to_padded_tensor(float('nan')).")
    if tensor.layout != torch.strided:
        raise DataError(
            f"{owner} is a tensor of layout {tensor.layout}. Sparse data: use X.to_dense() first."
        )
    if tensor.is_quantized:
        raise DataError(f"{owner} is a quantized tensor. Use X.dequantize() first.")
    if tensor.is_meta:
        raise DataError(f"{owner} is a tensor on the meta device, which holds no values.")
    if tensor.is_complex():
        raise DataError(
            f"{owner} holds {tensor.dtype}. Complex data not supported: give real and imaginary parts apart."
        )
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    values = tensor.detach().cpu().resolve_neg()
    if str(values.dtype).removeprefix("torch.") not in _SHARED:
        values = values.to(torch.float32)
    return np.asarray(values.numpy())


def tensors_like(result: Any, tensor: Any) -> Any:
    """Return results with tensors on a tensor's device in place of arrays.

    Parameters
    ----------
    result : object
        An array, a tuple, list or dictionary of arrays; anything else is returned as it is.
    tensor : torch.Tensor
        What the results were made of.
    """
    if isinstance(result, np.ndarray) and result.dtype.kind in "biuf":
        torch = sys.modules["torch"]
        return torch.from_numpy(result if result.flags.writeable else result.copy()).to(tensor.device)
    if type(result) in {tuple, list}:
        return type(result)(tensors_like(part, tensor) for part in result)
    if type(result) is dict:
        return {name: tensors_like(part, tensor) for name, part in result.items()}
    return result
