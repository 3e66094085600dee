"""Damaged and forged ONNX files: each is refused with a clear error, or loaded and computed, and crashes nothing.

``python -m tests.fuzz_onnx [SECONDS] [SEED]`` goes on for that long (60) and prints what was found.
"""

import sys
import time
from collections import Counter

import numpy as np

import fastconv
from fastconv import nn
from fastconv.nn import functional as F

REFUSED = (ValueError, NotImplementedError, RuntimeError, TypeError, MemoryError)


class Net(nn.Module):
    """Many operators in a small file."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 2, 2, 2)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.norm(self.first(x))), 2)
        y = F.interpolate(F.pad(self.up(y), (1, 1, 0, 0), "reflect"), scale_factor=0.5)
        y = F.avg_pool2d(y, 2, ceil_mode=True)[:, :, :2, :2].clamp(-3.0, 3.0)
        return self.last(y.reshape(y.shape[0], -1)).softmax(1).topk(2)


def sample() -> bytes:
    """A file of a few kilobytes."""
    fastconv.manual_seed(0)
    return fastconv.onnx.export(Net(), (None, 2, 8, 8)).SerializeToString()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with some bytes changed, or a part moved or left out, or its end cut off."""
    data = np.frombuffer(content, np.uint8).copy()
    kind = rng.integers(5)
    if kind == 0:
        return data[: rng.integers(len(data))].tobytes()
    start, to, length = (int(n) for n in (*rng.integers(0, len(data) - 40, 2), rng.integers(1, 40)))
    if kind == 1:
        data[to : to + length] = data[start : start + length]
    elif kind == 2:
        return np.delete(data, np.s_[start : start + length]).tobytes()
    else:
        places = rng.integers(0, len(data), rng.integers(1, 9))
        data[places] = rng.integers(0, 256, len(places))
    return data.tobytes()


def forged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file that is one, with names, numbers and attributes exchanged or made huge."""
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    huge = [-(2**63), -1, 0, 1, 2, 2**40, 2**62]
    for _ in range(int(rng.integers(1, 4))):
        node = graph.node[rng.integers(len(graph.node))]
        kind = rng.integers(6)
        if kind == 0 and node.attribute:
            attribute = node.attribute[rng.integers(len(node.attribute))]
            attribute.i = int(rng.choice(huge))
            if attribute.ints:
                attribute.ints[rng.integers(len(attribute.ints))] = int(rng.choice(huge))
        elif kind == 1 and node.input:
            names = [name for other in graph.node for name in (*other.input, *other.output)]
            node.input[rng.integers(len(node.input))] = names[rng.integers(len(names))]
        elif kind == 2:
            node.op_type = graph.node[rng.integers(len(graph.node))].op_type
        elif kind == 3:
            tensor = graph.initializer[rng.integers(len(graph.initializer))]
            if tensor.dims:
                tensor.dims[rng.integers(len(tensor.dims))] = int(rng.choice(huge))
        elif kind == 4:
            tensor = graph.initializer[rng.integers(len(graph.initializer))]
            if tensor.data_type == 7 and tensor.raw_data:
                numbers = np.frombuffer(tensor.raw_data, np.int64).copy()
                numbers[rng.integers(numbers.size)] = rng.choice(huge)
                tensor.raw_data = numbers.tobytes()
            else:
                tensor.data_type = int(rng.integers(0, 24))
        else:
            node.attribute.add(name="axis", i=int(rng.choice(huge)), type=2)
    return model.SerializeToString()


def try_one(content: bytes) -> str:
    """What became of a file; anything but a clear refusal is raised."""
    import io

    x = fastconv.from_numpy(np.linspace(-1, 1, 128, dtype=np.float32).reshape(1, 2, 8, 8))
    try:
        net = fastconv.onnx.load(io.BytesIO(content)).eval()
        with fastconv.no_grad():
            net(*[x] * len(net.input_names))
    except REFUSED as error:
        assert str(error), repr(error)
        return type(error).__name__
    return "computed"


def run(seconds: float, seed: int) -> Counter:
    """So many seconds of files; how often each end came."""
    rng, content, counts = np.random.default_rng(seed), sample(), Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        change = forged if rng.integers(2) else mutated
        counts[try_one(change(content, rng))] += 1
    return counts


if __name__ == "__main__":
    numbers = [float(n) for n in sys.argv[1:]]
    print(dict(run(numbers[0] if numbers else 60, int(numbers[1]) if len(numbers) > 1 else 0)))
