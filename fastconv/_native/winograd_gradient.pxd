"""The weight gradient by Winograd's filtering."""

from fastconv._native.problem cimport Problem
from fastconv._native.winograd_tiles cimport Layer

cdef int weight_gradient(const Problem *problem, Layer *layer) except -1
