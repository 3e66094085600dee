"""The onnx package's own cases of single operators, computed here: ``python -m tests.onnx_nodes [WORD ...]``.

It prints how many of them passed, and which did not and why; with words, of those that have one in their name.
"""

import sys
import warnings
from collections import Counter

import numpy as np

import fastconv

# What cannot pass: results that are drawn at random, element types that tensors do not have, and where ONNX Runtime
# and torch differ from the case as well.
KNOWN = {
    "random": ("bernoulli", "training_dropout"),
    "a dtype that tensors do not have": ("FLOAT8", "float8", "e5m2", "e4m3"),
    "the length is not rounded in the case": (
        "downsample_scales_linear_align_corners",
        "downsample_scales_cubic_align",
    ),
    "no tensors": ("identity_sequence", "identity_opt"),
    "an opset before 7": ("test_not_",),
    "rounded once in float16": ("attention_4d_causal_fp16_expanded",),
}


def outcomes(words=()):
    """By name what came of each case: "passed", or why not."""
    import onnx
    from onnx import numpy_helper
    from onnx.backend.test.loader import load_model_tests

    from fastconv.onnx.nodes import READERS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    found = {}
    for case in cases:
        if words and not any(word in case.name for word in words):
            continue
        kinds = {(node.domain, node.op_type) for node in case.model.graph.node}
        if not all(domain == "" and kind in READERS for domain, kind in kinds):
            found[case.name] = "an operator that is not taken"
            continue
        found[case.name] = "passed"
        for given, expected in case.data_sets:
            arrays = [numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x for x in (*given, *expected)]
            if not all(isinstance(a, (np.ndarray, np.generic)) and plain(np.asarray(a)) for a in arrays):
                found[case.name] = "a dtype that tensors do not have"
                continue
            arrays = [np.asarray(a) for a in arrays]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                why = problem(case, arrays[: len(given)], arrays[len(given) :])
            if why:
                found[case.name] = next((k for k, words in KNOWN.items() if any(w in case.name for w in words)), why)
    return found


def plain(array):
    """Whether a tensor can hold it: integers without unsigned ones of 16 bits and more, and floats."""
    return array.dtype.name in {"bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}


def problem(case, given, expected):
    """What is wrong with our results, or None."""
    try:
        net = fastconv.onnx.load(case.model).eval()
        with fastconv.no_grad():
            made = net(*[fastconv.from_numpy(a.copy()) for a in given])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    for ours, theirs in zip(made if isinstance(made, tuple) else (made,), expected, strict=True):
        array = ours.detach().numpy()
        if array.shape != theirs.shape or array.dtype != theirs.dtype:
            return f"{array.dtype} {array.shape}, expected {theirs.dtype} {theirs.shape}"
        if not np.allclose(array, theirs, rtol=case.rtol, atol=case.atol, equal_nan=True):
            return f"wrong by up to {np.max(np.abs(array.astype(float) - theirs.astype(float)))}"
    return None


if __name__ == "__main__":
    results = outcomes(sys.argv[1:])
    for name, why in sorted(results.items()):
        if why != "passed":
            print(name, why)
    print(Counter(why if why == "passed" or ":" not in why else "failed" for why in results.values()))
