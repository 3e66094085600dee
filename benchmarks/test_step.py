"""A whole training step of the textbook's network: forward, loss, backward, SGD."""

import pytest


@pytest.mark.parametrize("batch", [8, 128])
def test_step(batch, benchmark, against_peers):
    benchmark.group = f"ConvNet step, batch {batch}"
    against_peers({"op": "step", "N": batch})
