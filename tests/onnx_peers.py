"""ONNX files computed by ONNX Runtime, for the tests that compare with it."""

import numpy as np
import pytest

import fastconv
from fastconv.onnx.trace import tensors_of


def in_runtime(model, *arrays):
    """The outputs that ONNX Runtime has for a file, bytes or a ModelProto."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    source = model.SerializeToString() if hasattr(model, "SerializeToString") else str(model)
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def distance(a, b):
    """How far b is from a, by a's norm; integers and bools must be equal."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, a.dtype, b.shape, b.dtype)
    if a.dtype.kind != "f":
        assert np.array_equal(a, b)
        return 0.0
    same = np.isclose(a, b, 0, 0, equal_nan=True)
    a, b = np.where(same, 0, a).astype(np.float64), np.where(same, 0, b).astype(np.float64)
    largest = max(float(np.linalg.norm(np.where(same, b, a))), 1e-30)
    return float(np.linalg.norm(a - b)) / max(largest, float(np.linalg.norm(np.nan_to_num(b))))


def outputs_of(result):
    """The arrays in a model's result."""
    return [tensor.detach().numpy() for tensor in tensors_of(result)]


def exported(model, *inputs, training=False, **options):
    """A module exported, and its outputs here and in ONNX Runtime."""
    tensors = [fastconv.from_numpy(x) if isinstance(x, np.ndarray) else x for x in inputs]
    proto = fastconv.onnx.export(model, tuple(tensors), None, training=training, **options)
    model.train(training)
    with fastconv.no_grad():
        ours = outputs_of(model(*tensors))
    return proto, ours, in_runtime(proto, *[x.numpy() for x in tensors])
