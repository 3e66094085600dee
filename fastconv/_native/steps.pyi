from numpy import ndarray

def take_step(
    rule: str,
    parameters: list[ndarray],
    gradients: list[ndarray],
    states: tuple[list[ndarray] | None, ...] = (),
    *,
    lr: float,
    sign: float = 1.0,
    decay: float = 0.0,
    keep: float = 1.0,
    first_old: float = 0.0,
    first_new: float = 1.0,
    second_old: float = 0.0,
    second_new: float = 0.0,
    scale: float = 1.0,
    eps: float = 0.0,
    lr_direct: float = 0.0,
    nesterov: bool = False,
) -> None: ...
