"""Recycled memory: blocks never overlap, are joined again, and are bounded by little more than the most in use."""

import numpy as np
import pytest

from fastconv._native.memory import empty, empty_cache, memory_stats


@pytest.mark.parametrize("seed", range(3))
def test_blocks_keep_what_is_written_to_them(seed):
    random = np.random.default_rng(seed)
    before = memory_stats()["in_use"]
    blocks, most = [], 0
    for step in range(3000):
        if blocks and random.random() < (0.7 if len(blocks) > 30 else 0.5):
            block, mark = blocks.pop(random.integers(len(blocks)))
            assert (block[:: 4096 // 8] == mark).all()
            assert block[-1] == mark
            del block
        else:
            block, mark = empty((int(2 ** random.uniform(9, 20)),), np.float64), float(step)
            block[:: 4096 // 8] = block[-1] = mark
            blocks.append((block, mark))
            del block
        stats = memory_stats()
        most = max(most, stats["in_use"])
        if step == 1500:
            empty_cache()
            assert memory_stats()["waiting"] == 0
            most = stats["in_use"]
        elif step > 1500:
            assert stats["in_use"] + stats["waiting"] <= most + most // 8 + (40 << 20)
    blocks.clear()
    empty_cache()
    assert memory_stats() == {"in_use": before, "waiting": 0}


def test_a_large_block_gives_room_to_smaller_ones():
    empty_cache()
    block = empty((6 << 20,), np.uint8)
    address = block.ctypes.data
    del block
    parts = [empty((2 << 20,), np.uint8) for _ in range(3)]
    assert sorted(part.ctypes.data - address for part in parts) == [0, 2 << 20, 4 << 20]
    del parts
    assert empty((6 << 20,), np.uint8).ctypes.data == address
    empty_cache()
