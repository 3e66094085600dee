"""Adam and its relatives: steps divided by a running root mean square of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._native.tape import with_gradient
from .optimizer import Optimizer, check_betas, check_not_negative, take_step

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


class _Averaging(Optimizer):
    """What the optimizers have in common that average gradients, and their sizes, over steps."""

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        check_not_negative(options, "lr", "eps", "weight_decay")
        check_betas(options)


class Adam(_Averaging):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), torch's update rules.

    With gradient g (negative with `maximize`), for every parameter p in its step t::

        g += weight_decay * p                        (with decoupled_weight_decay instead p -= lr * weight_decay * p)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g          (with amsgrad the largest v so far takes its place below)
        p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    params : iterable of Tensor, or of dicts with ``"params"`` and options of their own
    lr : float
        Learning rate.
    betas : (float, float)
        What is left of m and of v in a step.
    eps, weight_decay : float
    amsgrad : bool
        Keep the largest v (Reddi et al. 2018, arXiv 1904.09237).
    maximize : bool
        Ascend instead.
    decoupled_weight_decay : bool
        The rule of :class:`AdamW`.
    foreach, capturable, differentiable, fused
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, eps or weight_decay, or betas outside of [0, 1).

    Examples
    --------
    >>> w = fastconv.zeros(1, requires_grad=True)
    >>> optimizer = fastconv.optim.Adam([w], lr=0.1)
    >>> (w - 1).square().sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.1000], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        decoupled = group["decoupled_weight_decay"]
        for t, places in self._steps(parameters).items():
            chosen = [parameters[i] for i in places]
            take_step(
                "adam",
                [arrays[i] for i in places],
                [gradients[i] for i in places],
                (
                    self._kept(chosen, "exp_avg"),
                    self._kept(chosen, "exp_avg_sq"),
                    self._kept(chosen, "max_exp_avg_sq") if group["amsgrad"] else None,
                ),
                sign=-1 if group["maximize"] else 1,
                decay=0.0 if decoupled else decay,
                keep=1 - lr * decay if decoupled else 1.0,
                lr=lr / (1 - beta1**t),
                first_old=beta1,
                first_new=1 - beta1,
                second_old=beta2,
                second_new=1 - beta2,
                scale=(1 - beta2**t) ** -0.5,
                eps=float(group["eps"]),
            )


class AdamW(Adam):
    """Adam whose weight decay is no part of the gradient (Loshchilov and Hutter 2019, arXiv 1711.05101).

    ``p -= lr * weight_decay * p``, then the step of :class:`Adam`, which tells of the parameters. By default
    `weight_decay` is 0.01.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            *(lr, betas, eps, weight_decay, amsgrad),
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )


class Adamax(_Averaging):
    """Adam by the largest gradient (Kingma and Ba 2015, section 7.1, arXiv 1412.6980), torch's update rules.

    With m and g as in :class:`Adam`, for every parameter p in its step t::

        u = max(beta2 * u, |g| + eps)
        p -= lr / (1 - beta1^t) * m / u

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, maximize
        As for :class:`Adam`.
    foreach, differentiable, capturable
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, eps or weight_decay, or betas outside of [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        beta1, beta2 = map(float, group["betas"])
        for t, places in self._steps(parameters).items():
            chosen = [parameters[i] for i in places]
            take_step(
                "adamax",
                [arrays[i] for i in places],
                [gradients[i] for i in places],
                (self._kept(chosen, "exp_avg"), self._kept(chosen, "exp_inf")),
                sign=-1 if group["maximize"] else 1,
                decay=float(group["weight_decay"]),
                lr=float(group["lr"]) / (1 - beta1**t),
                first_old=beta1,
                first_new=1 - beta1,
                second_old=beta2,
                eps=float(group["eps"]),
            )


class RAdam(_Averaging):
    """Adam that waits for its variance to be known (Liu et al. 2020, arXiv 1908.03265), torch's update rules.

    With m, v and g as in :class:`Adam`, ``rho_inf = 2 / (1 - beta2) - 1`` and
    ``rho = rho_inf - 2 * t * beta2^t / (1 - beta2^t)``, for every parameter p in its step t::

        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        p -= lr * m / (1 - beta1^t) * r * sqrt(1 - beta2^t) / (sqrt(v) + eps)      (where rho > 5)
        p -= lr * m / (1 - beta1^t)                                                (before)

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, decoupled_weight_decay, maximize
        As for :class:`Adam`.
    foreach, capturable, differentiable
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, eps or weight_decay, or betas outside of [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        decoupled = group["decoupled_weight_decay"]
        longest = 2 / (1 - beta2) - 1
        for t, places in self._steps(parameters).items():
            chosen = [parameters[i] for i in places]
            length = longest - 2 * t * beta2**t / (1 - beta2**t)
            rectified = length > 5
            share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length) if rectified else 1
            take_step(
                "adam",
                [arrays[i] for i in places],
                [gradients[i] for i in places],
                (self._kept(chosen, "exp_avg"), self._kept(chosen, "exp_avg_sq")),
                sign=-1 if group["maximize"] else 1,
                decay=0.0 if decoupled else decay,
                keep=1 - lr * decay if decoupled else 1.0,
                lr=lr / (1 - beta1**t) * (share * (1 - beta2**t) if rectified else 1) ** 0.5,
                first_old=beta1,
                first_new=1 - beta1,
                second_old=beta2,
                second_new=1 - beta2,
                # Without the rectification nothing divides: the denominator is 0 * sqrt(v) + 1.
                scale=1.0 if rectified else 0.0,
                eps=float(group["eps"]) if rectified else 1.0,
            )


class NAdam(_Averaging):
    """Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov Momentum into Adam"), torch's update rules.

    With m, v and g as in :class:`Adam`, ``mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)`` and M_t the product
    of mu_1 to mu_t::

        p -= lr * (mu_(t+1) * m / (1 - M_(t+1)) + (1 - mu_t) * g / (1 - M_t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, decoupled_weight_decay, maximize
        As for :class:`Adam`.
    momentum_decay : float
    foreach, capturable, differentiable
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, eps, weight_decay or momentum_decay, or betas outside of [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        check_not_negative(options, "momentum_decay")

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = map(float, group["betas"])
        decoupled, slowing = group["decoupled_weight_decay"], float(group["momentum_decay"])
        for t, places in self._steps(parameters).items():
            mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (i * slowing)) for i in (t, t + 1))
            # Options may change between steps, so each parameter keeps its own product, in float32 as torch does.
            by_product: dict[float, list[int]] = {}
            for i in places:
                product = self._kept_number(parameters[i], "mu_product", 1.0)
                product *= mu
                by_product.setdefault(float(product), []).append(i)
            for product, chosen in by_product.items():
                of_chosen = [parameters[i] for i in chosen]
                take_step(
                    "adam",
                    [arrays[i] for i in chosen],
                    [gradients[i] for i in chosen],
                    (self._kept(of_chosen, "exp_avg"), self._kept(of_chosen, "exp_avg_sq")),
                    sign=-1 if group["maximize"] else 1,
                    decay=0.0 if decoupled else decay,
                    keep=1 - lr * decay if decoupled else 1.0,
                    lr=lr * mu_next / (1 - product * mu_next),
                    lr_direct=lr * (1 - mu) / (1 - product),
                    first_old=beta1,
                    first_new=1 - beta1,
                    second_old=beta2,
                    second_new=1 - beta2,
                    scale=(1 - beta2**t) ** -0.5,
                    eps=float(group["eps"]),
                )
