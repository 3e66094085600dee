"""Augmentations that draw which operations they apply: AutoAugment, RandAugment, TrivialAugment, AugMix."""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import arange, from_numpy, linspace, rand, randint
from fastconv.nn import Module
from fastconv.random import dirichlet
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms import functional as F
from fastconv.vision.transforms.images import dimensions
from fastconv.vision.transforms.transforms import InterpolationMode

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]

# Of each operation its magnitudes, if it has some, and whether they are taken negative half of the time.
Space = Mapping[str, tuple[Tensor | None, bool]]


def apply_operation(
    image: Any, name: str, magnitude: float, interpolation: InterpolationMode, fill: Any, library: Any = F
) -> Any:
    """An operation by its name; `library` has the functions."""
    options = {"interpolation": interpolation, "fill": fill}
    slant = math.degrees(math.atan(magnitude)) if name.startswith("Shear") else 0.0
    match name:
        case "ShearX":
            return library.affine(image, 0.0, [0, 0], 1.0, [slant, 0.0], center=[0, 0], **options)
        case "ShearY":
            return library.affine(image, 0.0, [0, 0], 1.0, [0.0, slant], center=[0, 0], **options)
        case "TranslateX":
            return library.affine(image, 0.0, [int(magnitude), 0], 1.0, [0.0, 0.0], **options)
        case "TranslateY":
            return library.affine(image, 0.0, [0, int(magnitude)], 1.0, [0.0, 0.0], **options)
        case "Rotate":
            return library.rotate(image, magnitude, **options)
        case "Brightness":
            return library.adjust_brightness(image, 1.0 + magnitude)
        case "Color":
            return library.adjust_saturation(image, 1.0 + magnitude)
        case "Contrast":
            return library.adjust_contrast(image, 1.0 + magnitude)
        case "Sharpness":
            return library.adjust_sharpness(image, 1.0 + magnitude)
        case "Posterize":
            return library.posterize(image, int(magnitude))
        case "Solarize":
            return library.solarize(image, magnitude)
        case "AutoContrast":
            return library.autocontrast(image)
        case "Equalize":
            return library.equalize(image)
        case "Invert":
            return library.invert(image)
        case "Identity":
            return image
    raise ValueError(f"The provided operator {name} is not recognized.")


def space_of(
    bins: int, moves: tuple[float, float], shear: float, turn: float, change: float, bits: tuple[int, int]
) -> dict[str, tuple[Tensor | None, bool]]:
    """The operations with their magnitudes, from none to all.

    `moves` are the greatest along x and y, `shear`, `turn` and `change` the greatest of shears, angles and factors,
    `bits` what is kept at least effect and how many fewer at most.
    """

    def up_to(most: float) -> Tensor:
        return linspace(0.0, most, bins)

    kept = bits[0] - (arange(bins) / ((bins - 1) / bits[1])).round().to(np.int32)
    space: dict[str, tuple[Tensor | None, bool]] = {"Identity": (None, False)}
    space |= {"ShearX": (up_to(shear), True), "ShearY": (up_to(shear), True)}
    space |= {"TranslateX": (up_to(moves[0]), True), "TranslateY": (up_to(moves[1]), True)}
    space["Rotate"] = up_to(turn), True
    space |= {name: (up_to(change), True) for name in ("Brightness", "Color", "Contrast", "Sharpness")}
    space |= {"Posterize": (kept, False), "Solarize": (linspace(255.0, 0.0, bins), False)}
    return space | {"AutoContrast": (None, False), "Equalize": (None, False)}


def usual_space(bins: int, height: int, width: int) -> dict[str, tuple[Tensor | None, bool]]:
    """AutoAugment's and RandAugment's, for images of a size."""
    return space_of(bins, (150.0 / 331.0 * width, 150.0 / 331.0 * height), 0.3, 30.0, 0.9, (8, 4))


def wide_space(bins: int) -> dict[str, tuple[Tensor | None, bool]]:
    """TrivialAugment's."""
    return space_of(bins, (32.0, 32.0), 0.99, 135.0, 0.99, (8, 6))


def draw_operation(space: Space, magnitude: int | None, bins: int = 0) -> tuple[str, float]:
    """A random operation and its magnitude: that of the index `magnitude`, or of one below `bins`."""
    name = list(space)[int(randint(len(space), (1,)).item())]
    magnitudes, signed = space[name]
    value = 0.0
    if magnitudes is not None:
        value = float(magnitudes[int(randint(bins, (1,)).item()) if magnitude is None else magnitude].item())
    return name, -value if signed and randint(2, (1,)).item() else value


def fill_for(fill: Any, image: Any) -> Any:
    """`fill` as numbers, one for each channel, where the image is a tensor."""
    if is_image(image) or fill is None:
        return fill
    if isinstance(fill, (int, float)):
        return [float(fill)] * dimensions(image)[0]
    return [float(value) for value in fill]


class AutoAugmentPolicy(enum.Enum):
    """For which data a policy of :class:`AutoAugment` was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


# Two operations each: the name, the probability and, where it has one, the magnitude out of ten.
POLICIES: dict[AutoAugmentPolicy, str] = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize .4 8, Rotate .6 9; Solarize .6 5, AutoContrast .6; Equalize .8, Equalize .6; Posterize .6 7,
        Posterize .6 6; Equalize .4, Solarize .2 4; Equalize .4, Rotate .8 8; Solarize .6 3, Equalize .6; Posterize
        .8 5, Equalize 1; Rotate .2 3, Solarize .6 8; Equalize .6, Posterize .4 6; Rotate .8 8, Color .4 0; Rotate
        .4 9, Equalize .6; Equalize 0, Equalize .8; Invert .6, Equalize 1; Color .6 4, Contrast 1 8; Rotate .8 8,
        Color 1 2; Color .8 8, Solarize .8 7; Sharpness .4 7, Invert .6; ShearX .6 5, Equalize 1; Color .4 0,
        Equalize .6; Equalize .4, Solarize .2 4; Solarize .6 5, AutoContrast .6; Invert .6, Equalize 1; Color .6 4,
        Contrast 1 8; Equalize .8, Equalize .6""",
    AutoAugmentPolicy.CIFAR10: """
        Invert .1, Contrast .2 6; Rotate .7 2, TranslateX .3 9; Sharpness .8 1, Sharpness .9 3; ShearY .5 8,
        TranslateY .7 9; AutoContrast .5, Equalize .9; ShearY .2 7, Posterize .3 7; Color .4 3, Brightness .6 7;
        Sharpness .3 9, Brightness .7 9; Equalize .6, Equalize .5; Contrast .6 7, Sharpness .6 5; Color .7 7,
        TranslateX .5 8; Equalize .3, AutoContrast .4; TranslateY .4 3, Sharpness .2 6; Brightness .9 6, Color .2 8;
        Solarize .5 2, Invert 0; Equalize .2, AutoContrast .6; Equalize .2, Equalize .6; Color .9 9, Equalize .6;
        AutoContrast .8, Solarize .2 8; Brightness .1 3, Color .7 0; Solarize .4 5, AutoContrast .9; TranslateY .9
        9, TranslateY .7 9; AutoContrast .9, Solarize .8 3; Equalize .8, Invert .1; TranslateY .7 9, AutoContrast .9""",
    AutoAugmentPolicy.SVHN: """
        ShearX .9 4, Invert .2; ShearY .9 8, Invert .7; Equalize .6, Solarize .6 6; Invert .9, Equalize .6; Equalize
        .6, Rotate .9 3; ShearX .9 4, AutoContrast .8; ShearY .9 8, Invert .4; ShearY .9 5, Solarize .2 6; Invert
        .9, AutoContrast .8; Equalize .6, Rotate .9 3; ShearX .9 4, Solarize .3 3; ShearY .8 8, Invert .7; Equalize
        .9, TranslateY .6 6; Invert .9, Equalize .6; Contrast .3 3, Rotate .8 4; Invert .8, TranslateY 0 2; ShearY
        .7 6, Solarize .4 8; Invert .6, Rotate .8 4; ShearY .3 7, TranslateX .9 3; ShearX .1 6, Invert .6; Solarize
        .7 2, TranslateY .6 7; ShearY .8 4, Invert .8; ShearX .7 9, TranslateY .8 3; ShearY .8 5, AutoContrast .7;
        ShearX .7 2, Invert .1""",
}


def _operation(text: str) -> tuple[str, float, int | None]:
    name, probability, *magnitude = text.split()
    return name, float(probability), int(magnitude[0]) if magnitude else None


class AutoAugment(Module):
    """Two operations that suit each other (E. D. Cubuk and others, 2018).

    Parameters
    ----------
    policy : AutoAugmentPolicy
        Which pairs there are, with their probabilities and magnitudes.
    interpolation : InterpolationMode
    fill : number or sequence of numbers, optional
        Value of the pixels from outside the image, for all channels or one for each.
    """

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(policy, AutoAugmentPolicy):
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill
        self.policies: list[tuple[tuple[str, float, int | None], ...]] = [
            tuple(map(_operation, pair.split(","))) for pair in POLICIES[policy].split(";")
        ]

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, Tensor, Tensor]:
        """Which pair, two numbers in [0, 1) and two signs, 0 for minus."""
        return int(randint(transform_num, (1,)).item()), rand(2), randint(2, (2,))

    def forward(self, img: Any) -> Any:
        number, chances, signs = self.get_params(len(self.policies))
        space = usual_space(10, *dimensions(img)[1:])
        fill = fill_for(self.fill, img)
        for i, (name, probability, bin_) in enumerate(self.policies[number]):
            # The probability is compared in the numbers' own precision.
            if chances[i].item() <= float(np.float32(probability)):
                magnitudes, signed = space.get(name, (None, False))
                magnitude = 0.0 if bin_ is None or magnitudes is None else float(magnitudes[bin_].item())
                if signed and signs[i].item() == 0:
                    magnitude = -magnitude
                img = apply_operation(img, name, magnitude, self.interpolation, fill)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


class RandAugment(Module):
    """Some operations of one magnitude (E. D. Cubuk and others, 2019).

    Parameters
    ----------
    num_ops : int
        How many, one after the other.
    magnitude : int
        Of `num_magnitude_bins`, from 0.
    num_magnitude_bins : int
    interpolation, fill
        See :class:`AutoAugment`.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def forward(self, img: Any) -> Any:
        space = usual_space(self.num_magnitude_bins, *dimensions(img)[1:])
        fill = fill_for(self.fill, img)
        for _ in range(self.num_ops):
            name, magnitude = draw_operation(space, self.magnitude)
            img = apply_operation(img, name, magnitude, self.interpolation, fill)
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill})"
        )


class TrivialAugmentWide(Module):
    """One operation of any magnitude (S. G. Müller, F. Hutter, 2021).

    Parameters
    ----------
    num_magnitude_bins : int
        How many magnitudes there are.
    interpolation, fill
        See :class:`AutoAugment`.
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def forward(self, img: Any) -> Any:
        bins = self.num_magnitude_bins
        name, magnitude = draw_operation(wide_space(bins), None, bins)
        return apply_operation(img, name, magnitude, self.interpolation, fill_for(self.fill, img))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


class AugMix(Module):
    """The image mixed with what chains of operations made of it (D. Hendrycks and others, 2019).

    Parameters
    ----------
    severity : int
        How many of ten magnitudes there are, from the least.
    mixture_width : int
        How many chains.
    chain_depth : int
        How many operations in each; 1 to 3 at random if it is not positive.
    alpha : float
        The concentration of the weights: small for one that prevails, large for equal ones.
    all_ops : bool
        Colours and sharpness too, which the benchmark of the method tests.
    interpolation, fill
        See :class:`AutoAugment`.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    draw = staticmethod(draw_operation)

    def apply_one(self, image: Any, name: str, magnitude: float, fill: Any) -> Any:
        """An operation by its name."""
        return apply_operation(image, name, magnitude, self.interpolation, fill)

    def _space(self, height: int, width: int) -> Space:
        space = space_of(10, (width / 3.0, height / 3.0), 0.3, 30.0, 0.9, (4, 4))
        colours = ("Brightness", "Color", "Contrast", "Sharpness")
        names = [name for name in space if name not in ("Identity", *colours)]  # colours come last here
        return {name: space[name] for name in (*names, *(colours if self.all_ops else ()))}

    def forward(self, img: Any) -> Any:
        space = self._space(*dimensions(img)[1:])
        fill = fill_for(self.fill, img)
        image = F.pil_to_tensor(img) if is_image(img) else img
        batch = image.view(*[1] * max(4 - image.ndim, 0), *image.shape)
        shape = (batch.shape[0],) + (1,) * (batch.ndim - 1)
        alphas = np.float32(self.alpha)
        share = dirichlet(np.full((batch.shape[0], 2), alphas))
        weights = dirichlet(np.full((batch.shape[0], self.mixture_width), alphas)) * share[:, 1:]
        mix = from_numpy(share[:, 0].reshape(shape)) * batch
        for i in range(self.mixture_width):
            changed = batch
            depth = self.chain_depth if self.chain_depth > 0 else int(randint(1, 4, (1,)).item())
            for _ in range(depth):
                changed = self.apply_one(changed, *self.draw(space, None, self.severity), fill)
            mix = mix + from_numpy(weights[:, i].reshape(shape)) * changed
        mix = mix.view(*image.shape).to(image.dtype)
        return F.to_pil_image(mix) if is_image(img) else mix

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(severity={self.severity}, mixture_width={self.mixture_width}, "
            f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )
