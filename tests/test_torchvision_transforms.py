"""Transforms of Pillow images and of tensors: the same pixels as torchvision's, from the same random numbers."""

import random
import warnings

import numpy as np
import pytest

import fastconv
from fastconv.vision import transforms
from fastconv.vision.transforms import functional as F

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def torchvision():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision
    except Exception as error:  # it is not there, or was built for another torch
        pytest.skip(f"torchvision: {error}")
    return torchvision


def smooth(height=37, width=45, channels=3, seed=0):
    """A picture with edges and gentle slopes, uint8 (H, W, C)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(
        rng.uniform(20, 50) * np.sin(x[..., None] * a + y[..., None] * b) for a, b in rng.uniform(0, 0.5, (3, 2))
    )
    steps = 60 * (x[..., None] > rng.integers(5, width, channels)) + rng.normal(0, 4, (height, width, channels))
    return np.clip(110 + waves + steps, 0, 255).astype(np.uint8)


KINDS = ("RGB", "L", "uint8", "float32", "batch", "grey")


def image(kind, library, height=37, width=45):
    """A picture of this kind, for fastconv or for torch."""
    pixels = smooth(height, width)
    if kind == "RGB":
        return Image.fromarray(pixels)
    if kind == "L":
        return Image.fromarray(pixels[..., 1])
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if kind == "grey":
        planes = planes[:1]
    elif kind == "batch":
        planes = np.stack([planes, smooth(height, width, seed=1).transpose(2, 0, 1)])
    elif kind == "float32":
        planes = planes.astype(np.float32) / np.float32(255)
    return fastconv.tensor(planes) if library is fastconv else library.tensor(planes)


def close(ours, theirs, unlike=0):
    """Whether two results agree: integers exactly but for a share `unlike` that differ by 1, floats within 2e-6."""
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for x, y in zip(ours, theirs, strict=True):
            close(x, y, unlike)
        return
    if isinstance(theirs, Image.Image):
        assert isinstance(ours, Image.Image) and ours.mode == theirs.mode
    else:
        assert str(ours.dtype) == str(theirs.dtype)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    if theirs.dtype.kind == "f":
        far = np.abs(ours - theirs) > 2e-6 * max(1, np.abs(theirs).max(initial=0))
        assert far.mean() <= unlike
    else:
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max(initial=0) <= (1 if unlike else 0) and (difference > 0).mean() <= unlike


BOTH = {  # of both kinds of image
    "brightness": lambda f, x: [f.adjust_brightness(x, r) for r in (0.0, 0.4, 1.0, 1.7)],
    "contrast": lambda f, x: [f.adjust_contrast(x, r) for r in (0.0, 0.4, 1.0, 1.7)],
    "saturation": lambda f, x: [f.adjust_saturation(x, r) for r in (0.0, 0.4, 1.0, 1.7)],
    "hue": lambda f, x: [f.adjust_hue(x, r) for r in (-0.5, -0.21, 0.0, 0.13, 0.5)],
    "gamma": lambda f, x: [f.adjust_gamma(x, g, gain) for g, gain in ((0.5, 1), (1.7, 0.8), (1, 1.3))],
    "sharpness": lambda f, x: [f.adjust_sharpness(x, r) for r in (0.0, 0.5, 2.5)],
    "invert": lambda f, x: f.invert(x),
    "autocontrast": lambda f, x: f.autocontrast(x),
    "grey": lambda f, x: [f.rgb_to_grayscale(x, n) for n in (1, 3)],
    "flips": lambda f, x: [f.hflip(x), f.vflip(x)],
    "crop": lambda f, x: [
        f.crop(x, *box) for box in ((3, 4, 20, 21), (-5, -6, 20, 60), (30, 40, 20, 20), (50, 60, 4, 4))
    ],
    "center_crop": lambda f, x: [f.center_crop(x, size) for size in ([20, 31], [50, 20], 60)],
    "five_crop": lambda f, x: f.five_crop(x, [20, 21]),
    "ten_crop": lambda f, x: [*f.ten_crop(x, 20), *f.ten_crop(x, (9, 8), vertical_flip=True)],
    "pad": lambda f, x: [f.pad(x, [1, 2, 3, 4], 5, mode) for mode in ("constant", "edge", "reflect", "symmetric")],
    "blur": lambda f, x: [f.gaussian_blur(x, *a) for a in ((3,), ([5, 3], [0.7, 1.9]), (7, 1.5), (23,))],
    "rotate": lambda f, x: [
        f.rotate(x, angle, mode, expand, center, fill)
        for mode in (f.InterpolationMode.NEAREST, f.InterpolationMode.BILINEAR)
        for angle, expand, center, fill in (
            (33.25, False, None, None),
            (-75.0, True, None, None),
            (180.0, False, [3, 9], [7]),
        )
    ],
    "affine": lambda f, x: [
        f.affine(x, *a, mode, fill, center)
        for mode in (f.InterpolationMode.NEAREST, f.InterpolationMode.BILINEAR)
        for a, fill, center in (
            ((21.5, [3, -4], 1.3, [11.0, -7.0]), None, None),
            ((0.0, (5, 0), 0.7, 15.0), [9], [10, 4]),
            ((-100, [0, 0], 1.0, [9.0]), None, None),
        )
    ],
    "perspective": lambda f, x: [
        f.perspective(x, [[0, 0], [44, 0], [44, 36], [0, 36]], [[3, 5], [40, 1], [43, 30], [6, 35]], mode, fill)
        for mode in (f.InterpolationMode.NEAREST, f.InterpolationMode.BILINEAR)
        for fill in (None, [4])
    ],
    "resize": lambda f, x: [
        f.resize(x, size, mode, max_size)
        for mode in (f.InterpolationMode.NEAREST, f.InterpolationMode.NEAREST_EXACT, f.InterpolationMode.BILINEAR, 3)
        for size, max_size in (([19, 70], None), (20, None), ([20], 22), ([37, 45], None))
    ],
    "resized_crop": lambda f, x: f.resized_crop(x, 3, 4, 20, 30, [15, 17]),
    "dimensions": lambda f, x: [
        np.array(f.get_dimensions(x)),
        np.array(f.get_image_size(x)),
        np.array(f.get_image_num_channels(x)),
    ],
}
BYTES = {  # of Pillow images and of uint8 tensors
    "posterize": lambda f, x: [f.posterize(x, bits) for bits in (1, 3, 8)],
    "equalize": lambda f, x: f.equalize(x),
    "solarize": lambda f, x: [f.solarize(x, level) for level in (0, 100, 200.5, 255)],
}
# Filters and coordinates are computed in another order, so that pixels halfway between two values may be the other.
ROUNDED = {"blur": 2e-3, "rotate": 4e-3, "affine": 4e-3, "perspective": 4e-3, "resize": 2e-3, "resized_crop": 2e-3}
ROUNDED |= {"contrast": 0, "sharpness": 1e-3, "hue": 2e-3, "gamma": 1e-3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BOTH)
def test_functions_of_either_kind(torchvision, name, kind):
    import torch

    if name == "resize" and kind == "L":
        pytest.skip("Pillow's nearest-exact is its nearest, as that of RGB")
    ours = BOTH[name](F, image(kind, fastconv))
    theirs = BOTH[name](torchvision.transforms.functional, image(kind, torch))
    close(ours, theirs, 0 if kind in ("RGB", "L") and name != "blur" else ROUNDED.get(name, 0))


@pytest.mark.parametrize("kind", ["RGB", "L", "uint8", "batch", "grey"])
@pytest.mark.parametrize("name", BYTES)
def test_functions_of_bytes(torchvision, name, kind):
    import torch

    close(BYTES[name](F, image(kind, fastconv)), BYTES[name](torchvision.transforms.functional, image(kind, torch)))


def test_solarize_of_floats(torchvision):
    import torch

    for level in (0.2, 1.0):
        close(
            F.solarize(image("float32", fastconv), level),
            torchvision.transforms.functional.solarize(image("float32", torch), level),
        )
    with pytest.raises(TypeError, match="Threshold should be less than bound of img"):
        F.solarize(image("float32", fastconv), 1.1)


def test_flat_channels_stay(torchvision):
    import torch

    flat = np.full((3, 4, 5), 7, np.uint8)
    flat[1, 2, 3] = 9
    for values in (flat, flat.astype(np.float32) / 255):
        close(
            F.autocontrast(fastconv.tensor(values)),
            torchvision.transforms.functional.autocontrast(torch.tensor(values)),
        )
    close(F.equalize(fastconv.tensor(flat)), torchvision.transforms.functional.equalize(torch.tensor(flat)))
    small = np.zeros((3, 2, 5), np.uint8)
    close(
        F.adjust_sharpness(fastconv.tensor(small), 2),
        torchvision.transforms.functional.adjust_sharpness(torch.tensor(small), 2),
    )


@pytest.mark.parametrize("source", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "float16"])
@pytest.mark.parametrize("target", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "float16"])
def test_conversions(torchvision, source, target):
    import torch

    kind = np.dtype(source)
    if {source, target} in ({"float16", "int32"}, {"float16", "int64"}):
        pytest.skip("beyond float16's range")
    values = np.linspace(0, 1, 1001) if kind.kind == "f" else np.linspace(0, np.iinfo(kind).max * (1 - 2**-50), 1001)
    values = values.astype(kind).reshape(1, 7, 143)
    theirs = lambda: torchvision.transforms.ConvertImageDtype(getattr(torch, target))(torch.tensor(values))  # noqa: E731
    ours = lambda: transforms.ConvertImageDtype(getattr(fastconv, target))(fastconv.tensor(values))  # noqa: E731
    try:
        expected = theirs()
    except RuntimeError:
        with pytest.raises(RuntimeError, match="cannot be performed safely"):
            ours()
        return
    assert np.array_equal(ours().numpy(), expected.numpy())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I", "F", "CMYK"])
def test_pil_to_tensor(torchvision, mode):
    picture = Image.fromarray(smooth()).convert(mode)
    close(transforms.PILToTensor()(picture), torchvision.transforms.PILToTensor()(picture))
    with pytest.raises(TypeError, match="pic should be PIL Image"):
        F.pil_to_tensor(np.zeros(3))


def test_pil_to_tensor_of_16_bits():
    picture = Image.fromarray(np.array([[0, 40_000]], np.uint16))
    assert F.pil_to_tensor(picture).tolist() == [[[0, 40_000]]]


DRAWN = (
    "RandomCrop(20)",
    "RandomCrop(50, padding=[3, 4], pad_if_needed=True, padding_mode='reflect')",
    "RandomResizedCrop(16)",
    "RandomResizedCrop((9, 20), scale=(0.5, 1.0), interpolation=InterpolationMode.NEAREST)",
    "RandomHorizontalFlip()",
    "RandomVerticalFlip(0.3)",
    "RandomRotation(30)",
    "RandomRotation((10, 80), InterpolationMode.BILINEAR, fill=9)",
    "RandomAffine(30)",
    "RandomAffine((0, 90), (0.2, 0.4), (0.5, 2), 20, InterpolationMode.BILINEAR, 3)",
    "RandomAffine(0, shear=(-9, 9, 5, 20), center=(3, 4), fill=[7])",
    "RandomPerspective(0.6, 0.7)",
    "RandomPerspective(p=1, interpolation=InterpolationMode.NEAREST, fill=[5])",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "ColorJitter(brightness=(0.5, 2), hue=(-0.1, 0.5))",
    "RandomGrayscale(0.5)",
    "RandomInvert()",
    "RandomPosterize(3)",
    "RandomSolarize(130, 0.7)",
    "RandomAdjustSharpness(3, 0.7)",
    "RandomAutocontrast()",
    "RandomEqualize()",
    "GaussianBlur(5)",
    "GaussianBlur((3, 7), 1.5)",
    "ElasticTransform()",
    "ElasticTransform([20.0, 60.0], [3.0, 4.0], InterpolationMode.NEAREST, [3])",
    "FiveCrop(20)",
    "TenCrop((20, 9), True)",
    "CenterCrop(50)",
    "Grayscale(3)",
    "RandomApply([RandomRotation(9)], 0.5)",
    "RandomChoice([RandomRotation(9), RandomInvert(1), GaussianBlur(3)], [1, 2, 3])",
    "RandomOrder([RandomRotation(9), RandomInvert(), GaussianBlur(3)])",
    "Compose([RandomResizedCrop(20), RandomHorizontalFlip(), RandAugment(), Pad(2)])",
    "AutoAugment()",
    "AutoAugment(AutoAugmentPolicy.CIFAR10, InterpolationMode.BILINEAR, 7)",
    "AutoAugment(AutoAugmentPolicy.SVHN)",
    "RandAugment()",
    "RandAugment(3, 20, 21, fill=[5])",
    "TrivialAugmentWide()",
    "TrivialAugmentWide(11, InterpolationMode.BILINEAR, 3)",
    "AugMix()",
    "AugMix(7, 2, 2, 0.5, False, InterpolationMode.NEAREST, 4)",
)
EXACT = ("Crop", "Flip", "Invert", "Posterize", "Solarize", "Autocontrast", "Equalize", "Gray", "FiveCrop", "Pad")


@pytest.mark.parametrize("kind", ["RGB", "uint8"])
@pytest.mark.parametrize("text", DRAWN)
def test_the_same_seed_gives_the_same_pixels(torchvision, text, kind):
    import torch

    ours, theirs = (eval(text, dict(vars(library))) for library in (transforms, torchvision.transforms))
    if "AutoAugmentPolicy" not in text and not text.startswith(
        ("ColorJitter", "ElasticTransform", "Compose", "RandomR")
    ):
        assert repr(ours) == repr(theirs).replace("[-", "[-")
    fastconv.manual_seed(7)
    torch.manual_seed(7)
    for i in range(12 if "Aug" in text else 5):
        random.seed(i)
        x = ours(image(kind, fastconv))
        random.seed(i)
        y = theirs(image(kind, torch))
        inexact = kind != "RGB" or any(name in text for name in ("Blur", "Elastic", "AugMix"))
        close(x, y, 4e-3 if inexact else 0)
    assert fastconv.get_rng_state().numpy().tolist() == torch.get_rng_state().numpy().tolist()


@pytest.mark.parametrize("value", [0, 0.5, (0.1, 0.2, 0.3), "random"])
def test_random_erasing(torchvision, value):
    import torch

    ours, theirs = (library.transforms.RandomErasing(0.8, value=value) for library in (fastconv.vision, torchvision))
    assert repr(ours) == repr(theirs)
    fastconv.manual_seed(3)
    torch.manual_seed(3)
    for _ in range(8):
        close(ours(image("float32", fastconv)), theirs(image("float32", torch)))
    x = image("float32", fastconv)
    assert transforms.RandomErasing(1, inplace=True)(x) is x


def test_linear_transformation(torchvision):
    import torch

    rng = np.random.default_rng(0)
    matrix, mean, x = (rng.random(shape).astype(np.float32) for shape in ((12, 12), (12,), (2, 3, 2, 2)))
    close(
        transforms.LinearTransformation(fastconv.tensor(matrix), fastconv.tensor(mean))(fastconv.tensor(x)),
        torchvision.transforms.LinearTransformation(torch.tensor(matrix), torch.tensor(mean))(torch.tensor(x)),
    )


def test_gamma_variates(torchvision):
    import torch

    from fastconv.random import dirichlet

    for alphas in ([1.0, 1.0], [0.3, 2.5, 7.0], [0.01, 0.02]):
        fastconv.manual_seed(11)
        torch.manual_seed(11)
        for _ in range(20):
            ours = dirichlet(np.array([alphas], np.float32))
            theirs = torch._sample_dirichlet(torch.tensor([alphas])).numpy()
            assert np.allclose(ours, theirs, rtol=1e-6, atol=0)


# Without torchvision


RECORDED = {
    "adjust_brightness": lambda x: F.adjust_brightness(x, 0.7),
    "adjust_contrast": lambda x: F.adjust_contrast(x, 0.7),
    "adjust_saturation": lambda x: F.adjust_saturation(x, 0.7),
    "adjust_hue": lambda x: F.adjust_hue(x, 0.1),
    "adjust_gamma": lambda x: F.adjust_gamma(x, 1.5),
    "adjust_sharpness": lambda x: F.adjust_sharpness(x, 0.7),
    "autocontrast": F.autocontrast,
    "invert": F.invert,
    "solarize": lambda x: F.solarize(x, 0.5),
    "rgb_to_grayscale": lambda x: F.rgb_to_grayscale(x, 3),
    "gaussian_blur": lambda x: F.gaussian_blur(x, 3, 0.8),
    "resize": lambda x: F.resize(x, [5, 4]),
    "resized_crop": lambda x: F.resized_crop(x, 1, 2, 5, 4, [7, 3], F.InterpolationMode.BICUBIC),
    "crop": lambda x: F.crop(x, -2, 3, 8, 9),
    "pad": lambda x: F.pad(x, 2, padding_mode="reflect"),
    "rotate": lambda x: F.rotate(x, 30.0, F.InterpolationMode.BILINEAR, fill=[0.3]),
    "affine": lambda x: F.affine(x, 10.0, [1, 1], 1.1, [5.0, 0.0], F.InterpolationMode.NEAREST),
    "perspective": lambda x: F.perspective(
        x, [[0, 0], [8, 0], [8, 7], [0, 7]], [[1, 0], [8, 1], [7, 7], [0, 6]], F.InterpolationMode.BILINEAR
    ),
    "elastic_transform": lambda x: F.elastic_transform(x, fastconv.full((1, 8, 9, 2), 0.05)),
    "erase": lambda x: F.erase(x, 1, 1, 3, 3, fastconv.zeros(3, 1, 1)),
    "convert_image_dtype": lambda x: F.convert_image_dtype(x, fastconv.float64),
    "five_crop": lambda x: fastconv.stack(F.five_crop(x, 4)),
    "hflip": F.hflip,
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_tensors_go_through_is_recorded(name):
    """Gradients against differences, at a picture that no function has a corner near."""
    values = np.random.default_rng(1).permutation(3 * 8 * 9).reshape(3, 8, 9) / 230 + 0.03
    x = fastconv.tensor(values, requires_grad=True)
    y = RECORDED[name](x)
    assert y.requires_grad
    weights = fastconv.tensor(np.random.default_rng(2).normal(size=y.shape), dtype=y.dtype)
    (y * weights).sum().backward()
    direction = np.random.default_rng(3).normal(size=values.shape)
    single = name in ("adjust_hue", "elastic_transform")  # which compute in float32
    step = 1e-4 if single else 1e-7

    def value(t):
        with fastconv.no_grad():
            return float((RECORDED[name](fastconv.tensor(values + t * direction)) * weights).sum())

    expected = (value(step) - value(-step)) / (2 * step)
    found = float((x.grad.numpy() * direction).sum())
    assert abs(found - expected) < (3e-2 if single else 1e-5) * max(1, abs(expected))


def test_transforms_are_modules():
    chain = fastconv.nn.Sequential(
        transforms.CenterCrop(8), transforms.RandomHorizontalFlip(1.0), transforms.Normalize([0.5], [0.5])
    )
    x = fastconv.rand(3, 10, 10)
    assert fastconv.equal(chain(x), (x[:, 1:9, 1:9].flip(-1) - 0.5) / 0.5)
    some = transforms.RandomApply(fastconv.nn.ModuleList([transforms.RandomVerticalFlip(1.0)]), p=1.0)
    assert fastconv.equal(some(x), x.flip(-2))

    class Doubled(transforms.RandomVerticalFlip):
        def forward(self, img):
            return super().forward(img) * 2

    assert fastconv.equal(Doubled(1.0)(x), x.flip(-2) * 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: transforms.RandomAffine(-3), ValueError, "If degrees is a single number, it must be positive"),
        (lambda: transforms.RandomAffine(3, (0.1, 1.2)), ValueError, "translation values should be between 0 and 1"),
        (lambda: transforms.RandomAffine(3, scale=(0, 1)), ValueError, "scale values should be positive"),
        (
            lambda: transforms.RandomAffine(3, shear=(1, 2, 3)),
            ValueError,
            "shear should be a sequence of length 2 or 4",
        ),
        (lambda: transforms.RandomAffine(3, fill="red"[0:0] or object()), TypeError, "Fill should be either"),
        (lambda: transforms.RandomPerspective(p=2), ValueError, "p"),
        (lambda: transforms.GaussianBlur(4), ValueError, "odd and positive number. Got 4"),
        (lambda: transforms.GaussianBlur(3, (2, 1)), ValueError, "sigma values should be positive"),
        (lambda: transforms.RandomErasing(value="noise"), ValueError, "If value is str, it should be 'random'"),
        (lambda: transforms.RandomErasing(scale=(0.1, 1.2)), ValueError, "Scale should be between 0 and 1"),
        (
            lambda: transforms.RandomErasing(1, value=(1, 2))(fastconv.rand(3, 9, 9)),
            ValueError,
            "or 3 (number of input",
        ),
        (lambda: transforms.ElasticTransform(3), TypeError, "alpha should be float or a sequence of floats"),
        (lambda: transforms.AugMix(11), ValueError, "The severity must be between [1, 10]. Got 11"),
        (lambda: transforms.AutoAugment("imagenet"), ValueError, "The provided policy imagenet is not recognized"),
        (lambda: transforms.RandomChoice(3), TypeError, "transforms should be a sequence"),
        (lambda: transforms.RandomChoice([abs], p=3), TypeError, "Argument p should be a sequence"),
        (lambda: transforms.RandomTransforms([abs])(3), NotImplementedError, "must define __call__"),
        (lambda: F.five_crop(fastconv.rand(3, 9, 9), 10), ValueError, "(10, 10) is bigger than input size (9, 9)"),
        (lambda: F.adjust_hue(fastconv.rand(3, 9, 9), 0.6), ValueError, "hue_factor (0.6) is not in [-0.5, 0.5]."),
        (lambda: F.adjust_gamma(fastconv.rand(3, 9, 9), -1), ValueError, "non-negative real number"),
        (lambda: F.adjust_contrast(fastconv.rand(3, 9, 9), -1), ValueError, "contrast_factor (-1) is not non-negative"),
        (lambda: F.adjust_brightness(fastconv.rand(2, 9, 9), 1), TypeError, "values are [1, 3], but found 2"),
        (lambda: F.posterize(fastconv.rand(3, 9, 9), 3), TypeError, "Only torch.uint8 image tensors are supported"),
        (lambda: F.invert(fastconv.rand(9, 9)), TypeError, "at least 3 dimensions, but found 2"),
        (
            lambda: F.affine(fastconv.rand(3, 9, 9), 0, [1], 1, 0),
            ValueError,
            "translate should be a sequence of length 2",
        ),
        (lambda: F.affine(fastconv.rand(3, 9, 9), 0, [1, 1], 0, 0), ValueError, "scale should be positive"),
        (
            lambda: F.rotate(fastconv.rand(3, 9, 9), 1, F.InterpolationMode.BICUBIC),
            ValueError,
            "'bicubic' is unsupported",
        ),
        (
            lambda: F.rotate(fastconv.rand(3, 9, 9), 1, fill=[1, 2]),
            ValueError,
            "number of channels of the image (2 != 3)",
        ),
        (lambda: F.erase("x", 0, 0, 1, 1, fastconv.zeros(1)), TypeError, "img should be Tensor Image"),
        (lambda: F.invert([1]), TypeError, "img should be PIL Image or Tensor Image. Got <class 'list'>"),
        (lambda: F.gaussian_blur(fastconv.rand(3, 9, 9), 3, 0.0), ValueError, "sigma should have positive values"),
        (lambda: F.perspective(fastconv.rand(3, 9, 9), [[0, 0]], [[0, 0]]), ValueError, "exactly four corners"),
        (lambda: F.elastic_transform(fastconv.rand(3, 9, 9), fastconv.rand(1, 9, 8, 2)), ValueError, "(1, 9, 9, 2)"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
