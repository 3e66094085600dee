"""The four forms of a gather, each for filters k0 ... k1 of a group and a block of pixels."""

from fastconv._native.gather cimport Gather, Scratch
from fastconv._native.grid cimport Block
from fastconv._native.kernels cimport idx

cdef void gather_panels(const Gather *job, idx group, Block *block, idx k0, idx k1,
                        const Scratch *scratch) noexcept nogil
cdef void gather_tiles(const Gather *job, idx group, Block *block, idx k0, idx k1,
                       const Scratch *scratch) noexcept nogil
cdef void gather_outer(const Gather *job, idx group, Block *block, idx k0, idx k1,
                       const Scratch *scratch) noexcept nogil
cdef void gather_dot(const Gather *job, idx group, const Block *block, idx k0, idx k1,
                     const Scratch *scratch) noexcept nogil
