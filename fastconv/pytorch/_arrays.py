"""Between torch's tensors and NumPy's arrays, without copies."""

import numpy as np
import torch

__all__ = ["array", "array_to_write", "in_format", "is_channels_last", "refusal", "result", "tensor"]

_DTYPES = (torch.float32, torch.float64)


def refusal(*tensors: torch.Tensor | None) -> str | None:
    """Why fastconv does not take such tensors, of which the first is not None; or None: they are to be of float32 or
    of float64, and not empty."""
    present = [t for t in tensors if t is not None]
    dtype = present[0].dtype
    if dtype not in _DTYPES:
        return f"dtype {str(dtype).removeprefix('torch.')}"
    for t in present:
        if t.dtype is not dtype:
            return "several dtypes"
        if t.layout is not torch.strided or t.device.type != "cpu":
            return "not dense on the CPU"
        if not t.numel():
            return "empty"
    return None


class _Memory:
    """What NumPy reads of a tensor by its address alone, and keeps."""

    def __init__(self, t: torch.Tensor) -> None:
        self.tensor = t
        size = t.element_size()
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(t.shape),
            "strides": tuple(stride * size for stride in t.stride()),
            "typestr": f"f{size}",
            "data": (torch._C._data_address(t) + t.storage_offset() * size, False),
        }


def array(t: torch.Tensor) -> np.ndarray:
    """The array that shares a tensor's memory, to be read."""
    if torch._C._is_cow_tensor(t):
        return np.asarray(_Memory(t))  # numpy() would copy now what is to be copied when it is written to
    return t.detach().numpy()


def array_to_write(t: torch.Tensor) -> np.ndarray:
    """The array that shares a tensor's memory, to be written to."""
    return t.detach().numpy()


def tensor(a: np.ndarray) -> torch.Tensor:
    """The tensor that shares an array's memory, and keeps it."""
    return torch.from_numpy(a)


def is_channels_last(t: torch.Tensor) -> bool:
    """Whether torch takes (N, C, H, W) images to be channels last, as ``Tensor::suggest_memory_format`` does."""
    strides, sizes, least = t.stride(), t.shape, 0
    if not strides[1] or not t.numel():
        return False
    for axis in (1, 3, 2, 0):
        if strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * max(sizes[axis], 1)
    return True


def in_format(x: torch.Tensor, last: bool) -> torch.Tensor:
    """x with channels last, or in C order: itself if it is so."""
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def result(a: np.ndarray, last: bool) -> torch.Tensor:
    """A tensor of images with channels last, or in C order, of an array: its memory if it is so.

    Along axes of one element, whose strides say nothing, it has those that torch gives new tensors all the same: from
    them, torch reads what is channels last.
    """
    t = in_format(tensor(a), last)
    if 1 not in t.shape:
        return t
    _, channels, height, width = t.shape
    plane = height * width
    strides = (1, width * channels, channels) if last else (plane, width, 1)
    return t.as_strided(t.shape, (channels * plane, *strides))
