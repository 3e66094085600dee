"""PyTorch's own samples of arguments, for functions and layers: ``python -m tests.samples [names]``.

PyTorch tests itself with them (torch.testing._internal). Results, dtypes and gradients are held against torch's, in
float32 and float64; what differs is printed with its arguments' sizes. Takes minutes; not a part of the test suite.
Exit status 1 if a name differs that is not among those that are known to.
"""

import collections
import sys
import warnings

import numpy as np

import fastconv as fc
import fastconv.nn as nn
import fastconv.nn.functional as F

TOLERANCE = {"float32": 3e-5, "float64": 1e-11}
FREE = "vectors may have either sign"
KNOWN = {
    "batch_norm": "an input of size (0,) has no channels and is refused; torch returns nothing of nothing",
    "hardsigmoid": "torch multiplies gradients in float64 by a sixth in float32",
    "norm": "nuclear norms are linalg.matrix_norm's",
    "normal": "a sample is of Tensor.normal_, under the function's name",
    "triplet_margin_with_distance_loss": "samples bring distances of torch's tensors",
    "linalg.lstsq": "a sample takes the first two results",
    "linalg.pinv": "a sample is of the inverse of a product of its arguments",
    **dict.fromkeys(("svd", "linalg.svd", "linalg.eigh"), FREE),
}
# Whose elements are left to chance, or to what was in memory: sizes and dtypes are compared.
CHANCE = {
    *("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal", "poisson", "uniform"),
    *("rand_like", "randint", "randint_like", "randn", "randn_like", "fractional_max_pool2d", "fractional_max_pool3d"),
    *("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided", "rrelu"),
}
# Samples whose arguments come in another order than the function's.
ORDER = {
    "einsum": lambda tensors, equation: fc.einsum(equation, *tensors),
    "embedding": lambda weight, rows, **options: F.embedding(rows, weight, **options),
    "where": lambda x, condition, other: fc.where(condition, x, other),
}


def converted(x, leaves):
    """Torch's tensors as ours, with pairs of those that require a gradient put into `leaves`."""
    import torch

    if isinstance(x, torch.Tensor):
        for given, t in leaves:
            if given is x:  # one tensor in two places
                return t
        t = fc.from_numpy(x.detach().numpy().copy())
        if x.requires_grad:
            leaves.append((x, t.requires_grad_()))
        return t
    if isinstance(x, torch.dtype):
        return np.dtype(str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return str(x)
    if isinstance(x, torch.memory_format):
        return getattr(fc, str(x).removeprefix("torch."))
    if isinstance(x, torch.nn.LayerNorm):
        return nn.LayerNorm(x.normalized_shape, x.eps, x.elementwise_affine, x.bias is not None)
    if isinstance(x, torch.nn.TransformerEncoderLayer):
        sizes = x.linear1.in_features, x.self_attn.num_heads, x.linear1.out_features, x.dropout.p
        options = {"batch_first": x.self_attn.batch_first, "bias": x.linear1.bias is not None}
        activation = converted(x.activation, leaves)
        return nn.TransformerEncoderLayer(*sizes, activation, x.norm1.eps, norm_first=x.norm_first, **options)
    if callable(x) and hasattr(F, getattr(x, "__name__", "")):
        return getattr(F, x.__name__)
    if isinstance(x, (list, tuple)):
        return tuple(x) if isinstance(x, torch.Size) else type(x)(converted(v, leaves) for v in x)
    if isinstance(x, dict):
        return {name: converted(v, leaves) for name, v in x.items()}
    return x


def tensors(result):
    """All tensors of a result, in order."""
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in tensors(part)]
    return [] if result is None else [result]


def near(actual, expected, tolerance, what):
    scale = max(1.0, np.abs(np.nan_to_num(expected)).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def compare(actual, expected, leaves, tolerance, chance=False):
    """Hold tensors against torch's, and the gradients that the first of them gives."""
    import torch

    ours, theirs = tensors(actual), tensors(expected)
    assert len(ours) == len(theirs), f"{len(ours)} results, expected {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(b, torch.Tensor):
            assert type(a) is type(b) and a == b, f"{a!r}, expected {b!r}"
            continue
        assert tuple(a.shape) == tuple(b.shape), f"shape {a.shape}, expected {tuple(b.shape)}"
        assert a.dtype.name == str(b.dtype).removeprefix("torch."), f"dtype {a.dtype}, expected {b.dtype}"
        if not chance:
            near(as_numpy(a.detach()), as_numpy(b.detach()), tolerance, "values")
    if theirs and getattr(theirs[0], "requires_grad", False) and leaves and not chance:
        g = torch.randn_like(theirs[0])
        try:
            gradients = torch.autograd.grad(theirs[0], [x for x, _ in leaves], g, allow_unused=True)
        except (RuntimeError, NotImplementedError):
            return  # torch has none
        ours[0].backward(fc.from_numpy(as_numpy(g)).to(ours[0].dtype))
        for (_, t), expected_gradient in zip(leaves, gradients, strict=True):
            if expected_gradient is not None:
                got = np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy()
                near(got, expected_gradient.numpy(), 10 * tolerance, "gradient")


def as_numpy(x):
    return x.float().numpy() if "bfloat16" in str(x.dtype) else x.numpy()


def found(op):
    """What of ours bears the name of one of torch's functions: a function, or else a method."""
    *path, name = op.name.removeprefix("nn.functional.").split(".")
    place = F if op.name.startswith("nn.functional.") else fc
    for part in path:
        place = getattr(place, part, None)
    ours = getattr(place, name, None)
    if not callable(ours) and not path and place is not F:  # a method, or a property
        ours = getattr(fc.Tensor, name, None)
        if isinstance(ours, property):
            return lambda x: getattr(x, name)
    return ours if callable(ours) else None


def functions(wanted):
    """Pairs of a name and a comparison to be made, for each sample of each function that we have."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    for op in op_db:
        name = op.name.removeprefix("nn.functional.")
        ours = found(op)
        if ours is None or (wanted and name not in wanted):
            continue
        ours = ORDER.get(name, ours)
        if name.endswith("_"):  # in place, of a copy

            def ours(x, *arguments, function=ours, **options):
                return function(x.clone(), *arguments, **options)

        for dtype in (torch.float32, torch.float64):
            if dtype not in op.dtypes:
                continue
            for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
                if sample.kwargs.get("dropout_p") or sample.kwargs.get("dropout") or "dropout" in name:
                    continue  # left to chance

                def check(op=op, ours=ours, sample=sample, dtype=dtype, chance=name in CHANCE):
                    leaves = []
                    arguments = converted([sample.input, *sample.args], leaves)
                    keywords = converted(dict(sample.kwargs), leaves)
                    try:
                        expected = op.op(sample.input, *sample.args, **sample.kwargs)
                    except Exception:
                        return  # as ill-formed to torch
                    compare(ours(*arguments, **keywords), expected, leaves, tolerance_of(dtype), chance)

                yield name, (sample.input, sample.args, sample.kwargs), check


def tolerance_of(dtype):
    return TOLERANCE[str(dtype).removeprefix("torch.")]


def layers(wanted):
    """The same for each sample of each layer that we have, in training and in evaluation."""
    import torch
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        name = info.name.removeprefix("nn.")
        ours = getattr(nn, name, None)
        if ours is None or (wanted and name not in wanted):
            continue
        for dtype, training in ((d, t) for d in (torch.float32, torch.float64) for t in (True, False)):
            if dtype not in info.dtypes:
                continue
            samples = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
            for sample in samples:
                if sample.forward_input is None:
                    continue

                def check(info=info, ours=ours, sample=sample, dtype=dtype, training=training):
                    made, forward = sample.constructor_input, sample.forward_input
                    theirs = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
                    theirs_result = None
                    lazy = type(theirs).__name__.startswith("Lazy")
                    if lazy:
                        theirs(*forward.args, **forward.kwargs)
                    layer = ours(*converted(made.args, []), **converted(made.kwargs, []))
                    layer.to(np.dtype(str(dtype).removeprefix("torch."))).train(training)
                    if not lazy:
                        assert repr(layer) == repr(theirs), f"{layer!r}, expected {theirs!r}"
                    layer.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
                    if any(getattr(m, "p", 0) or getattr(m, "dropout", 0) for m in theirs.modules() if training):
                        return  # left to chance
                    leaves = []
                    arguments, keywords = converted(forward.args, leaves), converted(forward.kwargs, leaves)
                    theirs_result = theirs(*forward.args, **forward.kwargs)
                    result = layer(*arguments, **keywords)
                    leaves += list(zip(theirs.parameters(), layer.parameters(), strict=True))
                    compare(result, theirs_result, leaves, tolerance_of(dtype))

                yield name, (sample.constructor_input.args, sample.constructor_input.kwargs), check


def brief(x):
    """Arguments with sizes in the place of tensors."""
    if isinstance(x, (tuple, list)):
        return [brief(v) for v in x]
    if isinstance(x, dict):
        return {name: brief(v) for name, v in x.items()}
    return f"size {list(x.shape)}" if hasattr(x, "shape") else x


def main(wanted):
    warnings.simplefilter("ignore")
    counts, different = collections.Counter(), collections.defaultdict(list)
    for kind in (functions, layers):
        for name, arguments, check in kind(wanted):
            counts[name] += 1
            try:
                check()
            except Exception as error:
                different[name].append((brief(arguments), f"{type(error).__name__}: {str(error).strip()[:300]}"))
    for name in counts:
        print(f"{name}: {counts[name]} samples, {len(different[name])} differ")
        for arguments, problem in different[name][:3]:
            print("   ", arguments, problem.replace("\n", " "))
    print(f"{sum(counts.values())} samples of {len(counts)} names, {sum(map(len, different.values()))} differ")
    for name, reason in KNOWN.items():
        if different.pop(name, None):
            print(f"{name}: {reason}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
