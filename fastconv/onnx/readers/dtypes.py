"""Dtypes by their numbers in ONNX, and the arrays of its tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._native.tape import wrap
from ..._tensor import Tensor
from ...dtypes import bfloat16, from_bits
from ..nodes import Node, reads

__all__ = ["NUMPY_TYPES", "array_of_tensor", "dtype_of"]

# Of TensorProto.DataType, those that a tensor can have; unsigned ones that it cannot are the next larger signed ones.
NUMPY_TYPES: dict[int, np.dtype] = {
    1: np.dtype("float32"),
    2: np.dtype("uint8"),
    3: np.dtype("int8"),
    5: np.dtype("int16"),
    6: np.dtype("int32"),
    7: np.dtype("int64"),
    9: np.dtype("bool"),
    10: np.dtype("float16"),
    11: np.dtype("float64"),
    16: bfloat16,
}


def dtype_of(number: int) -> np.dtype:
    """The dtype of one of ONNX's numbers; TypeError for those that a tensor cannot have."""
    if number not in NUMPY_TYPES:
        from onnx import TensorProto

        names = {value: name for name, value in TensorProto.DataType.items()}
        raise TypeError(f"a tensor cannot have the element type {names.get(number, number)}")
    return NUMPY_TYPES[number]


def array_of_tensor(tensor: Any) -> np.ndarray:
    """The array of a TensorProto.

    Raises
    ------
    ValueError
        If its data does not fit its shape, or is in another file still.
    TypeError
        For element types that a tensor cannot have.
    """
    from onnx import external_data_helper, numpy_helper

    dtype = dtype_of(tensor.data_type)
    if external_data_helper.uses_external_data(tensor):  # which would be looked for in the working folder
        raise ValueError(f"the tensor {tensor.name!r} is in another file; load the model by its path")
    try:
        array = numpy_helper.to_array(tensor)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"the tensor {tensor.name!r} is damaged: {error}") from error
    if dtype is bfloat16:
        return from_bits(np.array(array, order="C").view(np.uint16))
    return np.array(array, dtype, order="C")


@reads("Cast")
def cast(node: Node, x: Tensor) -> Tensor:
    return x.to(dtype_of(node.get("to")))


@reads("CastLike")
def cast_like(node: Node, x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


@reads("Constant")
def constant(node: Node) -> Tensor:
    for name, kind in (
        ("value", None),
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        value = node.get(name)
        if value is not None:
            return wrap(np.array(value, kind))
    raise TypeError(f"a constant of {', '.join(node.attributes) or 'nothing'} is no tensor")


@reads("ConstantOfShape")
def constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    from ...checks import check_shape
    from ..nodes import integers

    value = node.get("value", np.zeros(1, np.float32))
    if value.size != 1:
        raise ValueError(f"expected one value, got an array of shape {list(value.shape)}")
    return wrap(np.full(check_shape(integers(shape) or [], "ConstantOfShape"), value.reshape(()), value.dtype))
