"""Optimizer: parameters in groups, each group with its options."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from .. import checks
from .._native import steps
from .._native.tape import mark_stepped, wrap
from .._tensor import Tensor
from ..autograd import enable_grad
from ..checks import brief
from ..creation import from_numpy
from ..dtypes import convert, dtype_of, filled_with, float32

__all__ = ["Optimizer"]


def _own(name: str, value, p: Tensor):
    """A copy of what a state dict holds for a parameter, in its dtype; numbers that are kept of it stay float32."""
    is_number = name in ("step", "mu_product")
    if not isinstance(value, Tensor):
        return from_numpy(np.asarray(value, np.float32)) if is_number else deepcopy(value)
    return value.detach().to(np.float32 if is_number else p.dtype).clone()


def take_step(rule: str, parameters: list, gradients: list, states: tuple = (), /, **numbers: Any) -> None:
    """:func:`fastconv._native.steps.take_step`, for bfloat16 as well, which is computed in float32."""
    try:
        steps.take_step(rule, parameters, gradients, states, **numbers)
    except TypeError:
        if not any(array.dtype.kind == "V" for array in parameters):
            raise
        lists = [[_wide(a) for a in arrays] for arrays in (parameters, gradients, *[s for s in states if s])]
        of_state = iter(lists[2:])
        steps.take_step(rule, *lists[:2], tuple([next(of_state) if s else s for s in states]), **numbers)
        for arrays, wide in zip((parameters, *[s for s in states if s]), (lists[0], *lists[2:]), strict=True):
            for array, new in zip(arrays, wide, strict=True):
                if new is not array:
                    array[...] = convert(new, dtype_of(array))


def _wide(array: np.ndarray) -> np.ndarray:
    return convert(array, float32) if array.dtype.kind == "V" else array


def check_not_negative(options: dict[Any, Any], *names: str) -> None:
    """Raise a ValueError for the first of these options that is below 0 or NaN."""
    for name in names:
        if not checks.number(options[name], name) >= 0:
            raise ValueError(f"Invalid {'learning rate' if name == 'lr' else name + ' value'}: {options[name]}")


def check_betas(options: dict[Any, Any]) -> None:
    """Raise a ValueError unless both betas are in [0, 1)."""
    for i, beta in enumerate(options["betas"]):
        if not 0 <= checks.number(beta, f"betas[{i}]") < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Optimizer:
    """The base of all optimizers, as torch.optim.Optimizer.

    A subclass says in ``_update(group)`` how a step is taken, or writes its own :meth:`step`. Torch's arguments
    `foreach` and `fused` choose among its own implementations of one rule; they are kept with the other options, and
    there is one implementation here, a single pass over memory in C. `differentiable` and `capturable` are refused.

    Parameters
    ----------
    params : iterable of Tensor, or of dicts
        A dict is a group: its ``"params"``, and options that differ from the defaults.
    defaults : dict
        Options of the groups that do not set them.

    Attributes
    ----------
    param_groups : list of dict
        Options can be changed between steps, as the schedulers do.
    state : dict
        By parameter, what the optimizer keeps between steps.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[Any, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params should be an iterable of Tensors or dicts, got a single Tensor")
        if not isinstance(params, Iterable):
            hint = "; pass its parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(f"params should be an iterable of Tensors or dicts, got {type(params).__name__}{hint}")
        self.defaults = defaults
        self.state: dict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[Any, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[Any, Any]) -> None:
        """Add a group of parameters: a dict of ``"params"`` and of options that differ from the defaults.

        The parameters may be pairs of a name and a Tensor, as ``named_parameters()`` gives them; the names are kept as
        ``"param_names"``.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise KeyError(f"a param_group must have 'params', got the keys {list(param_group)}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [item[0] for item in params if isinstance(item, tuple)]
        params = [item[1] if isinstance(item, tuple) else item for item in params]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ValueError(
                f"all optimizer param groups should be with/without names. Cannot add a param group "
                f"{'with' if names else 'without'} names to the optimizer, whose groups are otherwise"
            )
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {p!r} of type {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in seen:
                raise ValueError("some parameters appear more than once or in more than one parameter group")
            seen.add(id(p))
        group = {"params": params, **{name: value for name, value in param_group.items() if name != "params"}}
        if names:
            group["param_names"] = names
        self._check({**self.defaults, **group})
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self.param_groups.append(group)

    def _check(self, options: dict[Any, Any]) -> None:
        """Raise a ValueError for options that make no sense, a NotImplementedError for what there is not."""
        if options.get("differentiable"):
            raise NotImplementedError("differentiable=True: the steps of optimizers are not recorded")
        if options.get("capturable"):
            raise ValueError("capturable=True is for steps on a GPU's graph; parameters here are in main memory")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad.zero_()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update all parameters that have a gradient, in place.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew, with its backward(), before the update.

        Returns
        -------
        Tensor or None
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
            mark_stepped(group["params"])
        return loss

    def _update(self, group: dict[Any, Any]) -> None:
        """Take a step with the parameters of a group."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a step is taken: it has no step()")

    def _kept(self, parameters: list[Tensor], name: str, start: float = 0.0) -> list[np.ndarray]:
        """The array that is kept of each parameter under a name, in its shape; at first filled with `start`."""
        arrays = []
        for p in parameters:
            state = self.state[p]
            if state.get(name) is None:
                state[name] = wrap(filled_with(start, p.shape, p.dtype))
            arrays.append(state[name]._array)
        return arrays

    def _kept_number(self, p: Tensor, name: str, start: float = 0.0) -> np.ndarray:
        """The number that is kept of a parameter under a name: an array without dimensions, of float32 as torch's."""
        state = self.state[p]
        if name not in state:
            state[name] = from_numpy(np.full((), start, np.float32))
        return state[name]._array

    def _steps(self, parameters: list[Tensor]) -> dict[int, list[int]]:
        """Count a step of each parameter; which of them (by their places) have had how many."""
        places: dict[int, list[int]] = {}
        for i, p in enumerate(parameters):
            step = self._kept_number(p, "step")
            step += 1
            places.setdefault(int(step), []).append(i)
        return places

    def state_dict(self) -> dict[Any, Any]:
        """The state and the options, with the parameters numbered in order: ``{"state", "param_groups"}``.

        The arrays of the state are the optimizer's own, not copies.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            groups.append({**group, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[Any, Any]) -> None:
        """Take over a copy of the state and the options that :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If the groups, or the numbers or shapes of their parameters, are not this optimizer's; nothing has been
            changed then.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"expected a state dict of 'state' and 'param_groups', got {brief(state_dict)}")
        groups, saved_groups = self.param_groups, state_dict["param_groups"]
        if not isinstance(saved_groups, (list, tuple)) or not isinstance(state_dict["state"], Mapping):
            raise ValueError(f"expected a dict of states and a list of param_groups, got {brief(state_dict)}")
        for group in saved_groups:
            if not isinstance(group, Mapping) or not isinstance(group.get("params"), (list, tuple)):
                raise ValueError(f"expected param_groups with a list of 'params' each, got {brief(group)}")
        sizes = [[len(group["params"]) for group in each] for each in (groups, saved_groups)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"the optimizer has parameter groups of {sizes[0]} parameters, the loaded state dict of {sizes[1]}"
            )
        by_number = {
            number: p
            for group, saved in zip(groups, saved_groups, strict=True)
            for number, p in zip(saved["params"], group["params"], strict=True)
        }
        state: dict[Any, Any] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in by_number:
                raise ValueError(f"the loaded state dict has state for parameter {number}, which is in no group")
            p = by_number[number]
            for name, value in values.items():
                if isinstance(value, Tensor) and value.ndim and value.shape != p.shape:
                    raise ValueError(
                        f"the loaded state dict has {name} of shape {list(value.shape)} for parameter {number} "
                        f"of shape {list(p.shape)}"
                    )
            state[p] = {name: _own(name, value, p) for name, value in values.items()}
        self.state = state
        for group, saved in zip(groups, saved_groups, strict=True):
            group.update({name: deepcopy(value) for name, value in saved.items() if name != "params"})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])
