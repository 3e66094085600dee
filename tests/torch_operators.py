"""What PyTorch tests its operators and modules with, for those that fastconv.pytorch overrides: with and without.

    python -m tests.torch_operators [--dtypes float64,...] [--checks near,...] [--most N] [part of a name ...]

For each OpInfo of torch.testing._internal, in every dtype: results with strides, and all gradients, of its samples, and
of the same samples not contiguous; the errors of its inputs that are errors; what fake tensors say of results; whether
arguments are changed or shared as the schemas say; whether memory that is copied when it is written to stays uncopied.
In float64: gradcheck, gradgradcheck, forward-mode and batched gradients where the OpInfo says that they hold. For each
ModuleInfo, results and gradients in training and in evaluation. Prints what is other with the override than without;
ends with 1 if anything is.
"""

import argparse
import contextlib
import copy
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses.fake_utils import CrossRefFakeMode
from torch._subclasses.schema_check_mode import SchemaCheckMode
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.utils._pytree import tree_flatten, tree_unflatten

import fastconv.pytorch

NAMES = ("conv", "pool", "batch_norm", "instance_norm", "linear", "relu", "BatchNorm", "InstanceNorm", "Conv", "Pool")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.complex64)


def tensors(value):
    return [t for t in tree_flatten(value)[0] if isinstance(t, torch.Tensor)]


def call(info, sample):
    """Results of fresh arguments."""
    args, kwargs = copy.deepcopy((sample.args, sample.kwargs))
    return [t.detach() for t in tensors(info(sample.input, *args, **kwargs))]


def near(info, sample):
    """Results, their strides, every gradient of a sum with weights, and what the arguments are afterwards."""
    leaves, spec = tree_flatten((sample.input, list(sample.args), dict(sample.kwargs)))
    leaves = [t.detach().clone().requires_grad_(t.requires_grad) if isinstance(t, torch.Tensor) else t for t in leaves]
    x, args, kwargs = tree_unflatten(leaves, spec)
    y = tensors(info(x, *args, **kwargs))
    inputs = [t for t in leaves if isinstance(t, torch.Tensor)]
    asked = [t for t in inputs if t.requires_grad]
    gradients = ()
    if asked and y and y[0].requires_grad:
        weights = torch.linspace(-1, 2, y[0].numel(), dtype=y[0].dtype).view(y[0].shape)
        gradients = torch.autograd.grad((y[0] * weights).sum(), asked, allow_unused=True)
    found = [t.detach() for t in (*y, *gradients, *inputs) if t is not None]
    return found, [t.stride() for t in found if t.numel()]


def noncontiguous(info, sample):
    return near(info, sample.noncontiguous())


def differentiable(info, sample):
    """An operator as a function of those of a sample's tensors that require gradients, and these."""
    leaves, spec = tree_flatten((sample.input, list(sample.args), dict(sample.kwargs)))
    places = [i for i, t in enumerate(leaves) if isinstance(t, torch.Tensor) and t.requires_grad]

    def function(*given):
        rest = list(leaves)
        for i, t in zip(places, given, strict=True):
            rest[i] = t
        x, args, kwargs = tree_unflatten(rest, spec)
        return sample.output_process_fn_grad(info(x, *args, **kwargs))

    return function, tuple(leaves[i] for i in places)


# Each by itself, as torch has them: one that does not hold with torch alone is not to hide what comes behind it.
HOW: dict[str, Any] = {"nondet_tol": 1e-10, "fast_mode": True}


def gradients(info, sample):
    torch.autograd.gradcheck(*differentiable(info, sample), check_batched_grad=info.check_batched_grad, **HOW)


def forward_gradients(info, sample):
    only = {"check_forward_ad": True, "check_backward_ad": False, "check_undefined_grad": False}
    batched = info.check_batched_forward_grad
    torch.autograd.gradcheck(*differentiable(info, sample), check_batched_forward_grad=batched, **only, **HOW)


def second_gradients(info, sample):
    torch.autograd.gradgradcheck(*differentiable(info, sample), check_batched_grad=info.check_batched_gradgrad, **HOW)


def forward_over_backward(info, sample):
    only = {"check_fwd_over_rev": True, "check_rev_over_rev": False, "check_undefined_grad": False}
    torch.autograd.gradgradcheck(*differentiable(info, sample), **only, **HOW)


def derivatives(info, sample):
    """The checks of those derivatives that an OpInfo says that there are."""
    inputs = differentiable(info, sample)[1]
    if inputs and sum(t.numel() for t in inputs) <= 2000:
        yield gradients
        if info.supports_forward_ad:
            yield forward_gradients
        if info.supports_gradgrad:
            yield second_gradients
        if info.supports_fwgrad_bwgrad:
            yield forward_over_backward


def fake(info, sample):
    """Passes if sizes, strides and dtypes are those that fake tensors have."""
    with CrossRefFakeMode(ignore_op_fn=lambda function: False, check_aliasing=True):
        near(info, sample)


def schema(info, sample):
    """Passes if nothing is written to or shared but what the schemas name."""
    with SchemaCheckMode():
        near(info, sample)


def uncopied(info, sample):
    """Which of the arguments are copied where they are only read."""
    leaves, spec = tree_flatten((sample.input, list(sample.args), dict(sample.kwargs)))
    leaves = [torch._lazy_clone(t.detach()) if isinstance(t, torch.Tensor) else t for t in leaves]
    x, args, kwargs = tree_unflatten(leaves, spec)
    info(x, *args, **kwargs)
    return [torch._C._is_cow_tensor(t) for t in leaves if isinstance(t, torch.Tensor)]


def module(info, case):
    """A module's results, state and gradients."""
    which, dtype, training = case
    torch.manual_seed(2)
    with torch.random.fork_rng():
        example = list(info.module_inputs_func(info, "cpu", dtype, True, training))[which]
    args, kwargs = copy.deepcopy((example.constructor_input.args, example.constructor_input.kwargs))
    torch.manual_seed(2)
    made = info.module_cls(*args, **kwargs).to(dtype).train(training)
    args, kwargs = example.forward_input.args, example.forward_input.kwargs
    y = tensors(made(*args, **kwargs))
    inputs = [t for t in (*tensors((args, kwargs)), *made.parameters()) if t.requires_grad]
    gradients = torch.autograd.grad(y[0].square().sum(), inputs, allow_unused=True) if y[0].requires_grad else ()
    found = [t.detach() for t in (*y, *gradients, *made.state_dict().values()) if t is not None]
    return found, [t.stride() for t in found if t.numel()]


def outcome(check, *arguments):
    """What a check returns, or its error."""
    try:
        return check(*arguments)
    except Exception as error:
        return error


def differ(one, other):
    """Why two outcomes are not the same, or None."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        same = type(one) is type(other) and str(one) == str(other)
        return None if same or (type(one) is type(other) and "mismatch" in str(one)) else f"{one!r} and {other!r}"
    try:
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5, equal_nan=True)
    except AssertionError as error:
        return " ".join(str(error).split())[:300]
    return None


def checks_of(info, dtype) -> Iterator[tuple[Any, Any]]:
    """Checks and samples of an OpInfo in a dtype."""
    grad = info.supports_autograd and dtype in info.supported_backward_dtypes("cpu")
    torch.manual_seed(0)
    for sample in info.sample_inputs("cpu", dtype, requires_grad=grad):
        yield near, sample
        yield noncontiguous, sample
        if dtype is torch.float64:
            for check in derivatives(info, sample):
                yield check, sample
        if dtype in (torch.float32, torch.float64):
            yield fake, sample
            yield schema, sample
            yield uncopied, sample
    if dtype is torch.float32 and info.error_inputs_func is not None:
        with contextlib.suppress(Exception):  # some errors arise where the samples are made
            for error in info.error_inputs("cpu"):
                yield call, error.sample_input


def both(check, info, sample) -> tuple[bool, str | None]:
    """Whether torch alone passes, and what is other with the override."""
    results = []
    for override in (contextlib.nullcontext, fastconv.pytorch.enable):
        torch.manual_seed(1)
        with override():
            results.append(outcome(check, info, sample))
    return not isinstance(results[0], Exception), differ(*results)


def compare(parts=("",), dtypes=DTYPES, most=sys.maxsize, kinds=None) -> tuple[Counter, list[str]]:
    """How many checks of each kind pass and fail with torch alone, and what is other with the override; about so many
    checks of each operator at most, and of these kinds where they are named."""
    counts: Counter = Counter()
    bad = []
    for info in (*op_db, *module_db):
        name = info.name
        if not any(n in name for n in NAMES) or not any(part in name for part in parts):
            continue
        if info in op_db:
            checks = [c for dtype in dtypes if dtype in info.dtypes for c in checks_of(info, dtype)]
        else:
            checks = []
            for dtype in (d for d in dtypes if d in info.dtypes and d.is_floating_point and d.itemsize > 2):
                for training in (True, False):
                    number = len(list(info.module_inputs_func(info, "cpu", dtype, True, training)))
                    checks += [(module, (i, dtype, training)) for i in range(number)]
        checks = [c for c in checks if kinds is None or c[0].__name__ in kinds]
        for check, sample in checks[:: max(len(checks) // most, 1)]:
            well, reason = both(check, info, sample)
            counts[check.__name__, "pass" if well else "fail"] += 1
            if reason is not None:
                told = sample if check is module else sample.summary()
                bad.append(f"{name} {check.__name__}: {reason}\n    {told}")
                print(bad[-1], flush=True)
    return counts, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="of the names of operators and modules; default all")
    parser.add_argument("--dtypes", help="of these, rather than of all")
    parser.add_argument("--checks", help="these, by the names of functions of this file, rather than all")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="checks of each operator, about, evenly drawn")
    options = parser.parse_args()
    dtypes = DTYPES if options.dtypes is None else [getattr(torch, name) for name in options.dtypes.split(",")]
    kinds = None if options.checks is None else options.checks.split(",")
    warnings.simplefilter("ignore")
    counts, bad = compare(options.parts or [""], dtypes, options.most, kinds)
    for (check, outcome), count in sorted(counts.items()):
        print(f"{check}: {count} {outcome} with torch alone")
    print(f"{counts.total()} checks, {len(bad)} that are other with the override")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
