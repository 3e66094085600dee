"""Asking ahead: lines of memory that will be read later are asked for in shares, while tiles are computed.

All asked for at once, they would keep those that are wanted now waiting.
"""

from fastconv._native.kernels cimport fc_ahead, idx, parts
from fastconv._native.memory cimport LINE


cdef struct Ahead:
    # An extent of memory of each of some channels of each of some images.
    const char *data         # of the first channel of the first image
    idx s_n, s_c, extent     # in bytes: from an image, and a channel, to the next, and what is wanted of each channel
    idx images, channels
    idx steps, share         # of a tile: how often it asks for two lines, and the bytes in these
    idx n, c, offset         # what is asked for next
    idx shares, tiles, due   # `due` grows by `shares` with each of the tiles, and a share costs `tiles`


cdef inline void plan_ahead(Ahead *ahead, idx steps, idx tiles) noexcept nogil:
    """Divide what is wanted among so many tiles that ask `steps` times each."""
    ahead.n = ahead.c = ahead.offset = ahead.due = 0
    if steps == 0:
        ahead.images = 0
        return
    if ahead.extent == ahead.s_c:
        ahead.extent, ahead.channels = ahead.extent * ahead.channels, 1
    ahead.steps, ahead.share = steps, 2 * LINE * steps
    ahead.shares = ahead.images * ahead.channels * parts(ahead.extent, ahead.share)
    ahead.tiles = tiles


cdef inline void ask(Ahead *ahead, idx itemsize, fc_ahead *lines) noexcept nogil:
    """Set the lines that the next tile asks for; nothing is set where none are due."""
    cdef idx size
    ahead.due += ahead.shares
    if ahead.n == ahead.images or ahead.due < ahead.tiles:
        return
    ahead.due -= ahead.tiles
    lines.start = ahead.data + ahead.n * ahead.s_n + ahead.c * ahead.s_c + ahead.offset
    size = min(ahead.share, ahead.extent - ahead.offset)
    ahead.offset += size
    if ahead.offset == ahead.extent:
        ahead.offset = 0
        ahead.c += 1
    if ahead.c == ahead.channels:
        ahead.c = 0
        ahead.n += 1
    lines.step = parts(size, ahead.steps * itemsize)
