"""What a call costs whose arithmetic costs nothing: layers forward and backward on a handful of numbers.

With test_step.py this tells how much of a training step is not computing.
"""

import pytest

from fastconv.app.contenders import LAYERS


@pytest.mark.parametrize("layer", LAYERS)
def test_call(layer, benchmark, against_peers):
    benchmark.group = f"{layer}, tiny" if layer != "SGD" else "SGD on the network"
    against_peers({"op": "call", "layer": layer})
