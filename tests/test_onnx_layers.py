"""Every layer and function that has an operator: exported, computed by ONNX Runtime, and read again."""

import zlib

import pytest

import fastconv
from fastconv import nn

pytest.importorskip("onnx")

from onnx_cases import CASES, Function
from onnx_peers import distance, exported, outputs_of

OPSETS = (13, 17, 20, 23)


def module_of(name):
    """The case's module, with numbers that are drawn anew, and its arrays."""
    function, arrays = CASES[name]
    module = (function if isinstance(function, nn.Module) else Function(function)).eval()
    fastconv.manual_seed(0)
    with fastconv.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(fastconv.rand(tensor.shape) + 0.5)
    return module, arrays


@pytest.mark.parametrize("name", CASES)
def test_a_layer_goes_out_and_comes_back(name):
    module, arrays = module_of(name)
    done = 0
    for opset in (18, OPSETS[zlib.crc32(name.encode()) % len(OPSETS)], 26):
        try:
            proto, ours, theirs = exported(module, *arrays, opset_version=opset)
        except RuntimeError as error:
            assert "since opset" in str(error)
            continue
        back = fastconv.onnx.load(proto).eval()
        with fastconv.no_grad():
            again = outputs_of(back(*map(fastconv.from_numpy, [x.copy() for x in arrays])))
        for a, b, c in zip(ours, theirs, again, strict=True):
            assert distance(a, b) < 3e-6
            assert distance(a, c) < 3e-6
        done += 1
    assert done
