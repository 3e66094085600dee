"""Drawn programs on tensors, run by fastconv and by torch side by side: values, gradients, errors.

    python -m tests.fuzz_autograd --cases 5000 --seed 0      from program 0 of seed 0 on
    python -m tests.fuzz_autograd --seed 0 --only 17         one program, with its steps

A program makes leaves, computes on them, takes views, writes in place (on views too), with and without no_grad(),
registers hooks, and goes back. After each step both libraries must have raised or not, and must have tensors of the
same shapes and values, which require gradients or not alike; at the end the same gradients. Exit status 1 for a
difference.

Some habits of torch are left alone. A view made under no_grad() requires a gradient there. Elements that lie in one
place can be filled, and overlapping ones not be copied. x *= x is an error in backward. x *= x[:, ::2], of columns that
lie apart and are broadcast, reads what it has just written; x *= x[::2] of a single element is refused for its stride,
which leads nowhere. Of an input of grad() with a hook now the gradient before the hook is returned, now the one after
it. What broadcasting matmul saves is a copy.
"""

import argparse
import sys

import numpy as np

import fastconv

SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (1, 3), (2, 1, 3), (3, 3)]

UNARY = {
    "tanh": lambda t, x: x.tanh(),
    "exp": lambda t, x: x.tanh().exp(),
    "sigmoid": lambda t, x: x.sigmoid(),
    "relu": lambda t, x: x.relu(),
    "abs": lambda t, x: x.abs(),
    "neg": lambda t, x: -x,
    "square": lambda t, x: x * x,
    "power": lambda t, x: x**3,
    "sqrt": lambda t, x: (x * x + 1).sqrt(),
    "log": lambda t, x: (x.abs() + 1).log(),
    "clamp": lambda t, x: x.clamp(-0.7, 0.9),
    "sum": lambda t, x: x.sum(),
    "sum 0": lambda t, x: x.sum(0),
    "mean": lambda t, x: x.mean(-1, keepdim=True),
    "var": lambda t, x: x.var(0),
    "norm": lambda t, x: x.norm(),
    "softmax": lambda t, x: x.softmax(-1),
    "remainder": lambda t, x: x % 0.7,
    "gather": lambda t, x: x[t.tensor([0, 0])],
    "clone": lambda t, x: x.clone(),
    "contiguous": lambda t, x: x.contiguous(),
    "mask": lambda t, x: t.where(x > 0, x, x * 2),
}
VIEWS = {
    "reshape": lambda t, x: x.reshape(-1),
    "view": lambda t, x: x.view(-1, 1),
    "row": lambda t, x: x[0],
    "slice": lambda t, x: x[1:],
    "step": lambda t, x: x[..., ::2],
    "turn": lambda t, x: x.permute(tuple(range(x.ndim - 1, -1, -1))),
    "unsqueeze": lambda t, x: x.unsqueeze(0),
    "squeeze": lambda t, x: x.squeeze(),
    "expand": lambda t, x: x.expand(2, *x.shape),
    "flatten": lambda t, x: x.flatten(),
    "detach": lambda t, x: x.detach(),
    "transpose": lambda t, x: x.transpose(0, -1),
}
BINARY = {
    "add": lambda t, x, y: x + y,
    "sub": lambda t, x, y: x - y,
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / (y * y + 1),
    "maximum": lambda t, x, y: t.maximum(x, y),
    "matmul": lambda t, x, y: x @ y if max(x.ndim, y.ndim) < 3 else x + y,
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y], -1),
    "where": lambda t, x, y: t.where(x > y, x, y),
}
IN_PLACE = {
    "add_": lambda t, x, y: x.add_(y),
    "mul_": lambda t, x, y: x.mul_(y),
    "sub_": lambda t, x, y: x.sub_(y, alpha=0.5),
    "div_": lambda t, x, y: x.div_(y * y + 1),
    "copy_": lambda t, x, y: x.copy_(y),
    "+=": lambda t, x, y: x.__iadd__(y),
    "*=": lambda t, x, y: x.__imul__(y),
    "zero_": lambda t, x, y: x.zero_(),
    "fill_": lambda t, x, y: x.fill_(0.5),
    "clamp_": lambda t, x, y: x.clamp_(-0.5, 0.5),
    "row =": lambda t, x, y: x.__setitem__(0, y),
    "slice =": lambda t, x, y: x.__setitem__(slice(1, None), y),
    "list =": lambda t, x, y: x.__setitem__(t.tensor([0, 1]), y),
    "mask =": lambda t, x, y: x.__setitem__(x > 0.3, 0.25),
    "add_ number": lambda t, x, y: x.add_(0.25),
    "mul_ number": lambda t, x, y: x.mul_(1.5),
}


class Difference(AssertionError):
    """The two libraries disagree."""


class Abandoned(Exception):
    """A program that need not go on alike."""


def attempt(function, *args):
    """What a step returned, and the error it ended in."""
    try:
        return function(*args), None
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        return None, error


def layout(array: np.ndarray) -> tuple:
    """Where its elements lie."""
    strides = [stride for n, stride in zip(array.shape, array.strides, strict=True) if n > 1]
    return array.ctypes.data, array.shape, strides


class Program:
    """One program, its pools of tensors (ours and torch's) and what its hooks saw."""

    def __init__(self, seed: int, number: int) -> None:
        import torch

        self.rng = np.random.default_rng([seed, number])
        self.libraries = fastconv, torch
        self.pools: tuple[list, list] = ([], [])
        self.seen: tuple[list, list] = ([], [])
        self.steps: list[str] = []
        self.changed: set[int] = set()  # tensors with hooks that change the gradient

    def choice(self, options):
        return options[int(self.rng.integers(len(options)))]

    def both(self, text, step):
        """Run a step in both libraries; both must end alike. Returns the two results, or None after errors."""
        self.steps.append(text)
        ends = [attempt(step, t, pool) for t, pool in zip(self.libraries, self.pools, strict=True)]
        results, errors = [end[0] for end in ends], [end[1] for end in ends]
        if errors[1] is None and "more than one element of the written-to tensor" in str(errors[0]):
            raise Abandoned  # a row of an expanded tensor, which torch writes to
        if (errors[0] is None) != (errors[1] is None):
            raise Difference(f"{text}: ours {errors[0]!r}, torch's {errors[1]!r}")
        return None if errors[0] is not None else results

    def compare(self):
        for i, (a, b) in enumerate(zip(*self.pools, strict=True)):
            if tuple(a.shape) != tuple(b.shape):
                raise Difference(f"tensor {i} has shape {tuple(a.shape)}, torch's {tuple(b.shape)}")
            if a.requires_grad != b.requires_grad or a.is_leaf != b.is_leaf:
                raise Difference(
                    f"tensor {i}: requires_grad {a.requires_grad}, is_leaf {a.is_leaf}; torch's {b.requires_grad}, "
                    f"{b.is_leaf}"
                )
            self.close(f"tensor {i}", a, b)

    def close(self, name, a, b):
        if (a is None) != (b is None):
            raise Difference(f"{name} is {a}, torch's {b}")
        if a is not None and not np.allclose(
            a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11, equal_nan=True
        ):
            raise Difference(f"{name} is\n{a}\ntorch's\n{b}")

    def pick(self):
        # Tensors made last are picked more often.
        n = len(self.pools[0])
        return int(n - 1 - min(int(self.rng.exponential(3)), n - 1))

    def add(self, results):
        if results is not None:
            for pool, result in zip(self.pools, results, strict=True):
                pool.append(result)

    def leaf(self):
        values, needs = self.rng.standard_normal(self.choice(SHAPES)), bool(self.rng.random() < 0.7)
        self.add(
            self.both(
                f"leaf {values.shape} requires_grad={needs}",
                lambda t, pool: t.tensor(values.tolist(), dtype=t.float64).requires_grad_(needs),
            )
        )

    def compute(self):
        kind = self.choice([UNARY, UNARY, VIEWS, VIEWS, VIEWS, BINARY, BINARY, IN_PLACE, IN_PLACE, IN_PLACE])
        name, i, j = self.choice(list(kind)), self.pick(), self.pick()
        quiet = bool(self.rng.random() < 0.12) and kind is not VIEWS

        def step(t, pool):
            with t.set_grad_enabled(not quiet):
                return kind[name](t, pool[i]) if kind in (UNARY, VIEWS) else kind[name](t, pool[i], pool[j])

        if kind is IN_PLACE and self.pools[0][i]._array is self.pools[0][j]._array:
            return  # of x *= x torch says that it was modified; here the old values are kept
        x, y = self.pools[0][i]._array, self.pools[0][j]._array
        overlap, alike = kind is IN_PLACE and np.shares_memory(x, y), layout(x) == layout(y)
        try:
            results = self.both(f"{name} of {i}, {j}{' under no_grad' if quiet else ''}", step)
        except Difference as error:
            if overlap and alike and 1 in x.shape and "single memory location" in str(error):
                raise Abandoned from None  # for the stride of a dimension of length one
            raise
        if overlap and not alike and results is not None:
            raise Abandoned  # torch reads what it has just written
        if results is None and name == "list =":
            raise Abandoned  # torch writes up to the index that is out of range
        if kind is not IN_PLACE:
            self.add(results)

    def hook(self):
        i = self.pick()
        kind = self.choice(["hook", "changing hook", "retain_grad"])

        def step(t, pool):
            seen = self.seen[0] if t is fastconv else self.seen[1]
            if kind == "retain_grad":
                return pool[i].retain_grad()
            if kind == "changing hook":
                self.changed.add(i)
                return pool[i].register_hook(lambda g: g * 2)
            return pool[i].register_hook(lambda g: seen.append((i, g.clone())))

        self.both(f"{kind} of {i}", step)

    def back(self):
        chosen = [self.pick() for _ in range(1 + int(self.rng.integers(3)))]
        keep = bool(self.rng.random() < 0.3)
        kind = self.choice(["backward", "backward", "grad"])

        def step(t, pool):
            total = sum((pool[i] * pool[i]).sum() for i in chosen)
            if kind == "backward":
                return total.backward(retain_graph=keep)
            changed = {id(pool[i]) for i in self.changed}
            targets = [x for x in pool if x.requires_grad and id(x) not in changed]
            return t.autograd.grad(total, targets, retain_graph=keep, allow_unused=True)

        results = self.both(f"{kind} from {chosen}{', retained' if keep else ''}", step)
        if results is None:
            raise Abandoned  # leaves were reached in another order before the error
        if kind == "grad":
            for n, (a, b) in enumerate(zip(*results, strict=True)):
                self.close(f"gradient {n}", a, b)
        for i, (a, b) in enumerate(zip(*self.pools, strict=True)):
            if a.is_leaf or a.retains_grad:
                self.close(f"the gradient of {i}", a.grad, b.grad)
        counts = [sorted((i, tuple(g.shape)) for i, g in seen) for seen in self.seen]
        if counts[0] != counts[1]:
            raise Difference(f"hooks saw {counts[0]}, torch's {counts[1]}")
        for (i, a), (_, b) in zip(*[sorted(seen, key=lambda item: item[0]) for seen in self.seen], strict=True):
            self.close(f"what the hook of {i} saw", a, b)

    def run(self):
        for _ in range(1 + int(self.rng.integers(3))):
            self.leaf()
        for _ in range(4 + int(self.rng.integers(12))):
            draw = self.rng.random()
            if draw < 0.08:
                self.leaf()
            elif draw < 0.18:
                self.hook()
            elif draw < 0.23:
                self.back()
            else:
                self.compute()
            self.compare()
        self.back()


def run_case(seed: int, number: int) -> None:
    """Run one program; a Difference tells its steps."""
    import warnings

    program = Program(seed, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.run()
        except Abandoned:
            pass
        except Exception as error:
            steps = "\n".join(f"  {step}" for step in program.steps)
            raise Difference(f"program {number} of seed {seed}:\n{steps}\n{type(error).__name__}: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_autograd", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--only", type=int, help="one program alone")
    options = parser.parse_args()
    numbers = [options.only] if options.only is not None else range(options.first, options.first + options.cases)
    failures = 0
    for number in numbers:
        try:
            run_case(options.seed, number)
        except Difference as error:
            failures += 1
            print(error, flush=True)
        if failures == 20:
            break
    print(f"{len(numbers)} programs of seed {options.seed}, {failures} differ")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
