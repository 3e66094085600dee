"""The transforms of version 2: of samples, with torchvision's pixels and random numbers."""

import numpy as np
import pytest
from test_torchvision_transforms import KINDS, close, image, torchvision  # noqa: F401

import fastconv
from fastconv.vision import transforms
from fastconv.vision.transforms import v2
from fastconv.vision.transforms.v2 import functional as F

Image = pytest.importorskip("PIL.Image")

CALLS = {
    "brightness": lambda f, x: [f.adjust_brightness(x, r) for r in (0.0, 0.4, 1.7)],
    "contrast": lambda f, x: [f.adjust_contrast(x, r) for r in (0.0, 0.4, 1.7)],
    "saturation": lambda f, x: [f.adjust_saturation(x, r) for r in (0.0, 0.4, 1.7)],
    "hue": lambda f, x: [f.adjust_hue(x, r) for r in (-0.21, 0.13)],
    "gamma": lambda f, x: [f.adjust_gamma(x, g) for g in (0.5, 1.7)],
    "sharpness": lambda f, x: [f.adjust_sharpness(x, r) for r in (0.0, 0.5, 2.5)],
    "invert": lambda f, x: f.invert(x),
    "autocontrast": lambda f, x: f.autocontrast(x),
    "equalize": lambda f, x: f.equalize(x),
    "posterize": lambda f, x: [f.posterize(x, bits) for bits in (1, 3, 8)],
    "grey": lambda f, x: [f.rgb_to_grayscale(x, n) for n in (1, 3)],
    "rgb": lambda f, x: f.grayscale_to_rgb(x),
    "flips": lambda f, x: [f.horizontal_flip(x), f.vertical_flip(x)],
    "rotate": lambda f, x: [f.rotate(x, a, expand=e) for a in (0, 33.5, 90, -90, 180, 360) for e in (False, True)],
    "affine": lambda f, x: f.affine(x, 21.5, [3, -4], 1.3, [11.0, -7.0]),
    "blur": lambda f, x: f.gaussian_blur(x, [5, 3], [0.7, 1.9]),
    "to_image": lambda f, x: f.to_image(x),
}
ROUNDED = {
    "hue": 4e-3,
    "gamma": 2e-3,
    "sharpness": 2e-3,
    "rotate": 4e-3,
    "affine": 4e-3,
    "blur": 2e-3,
    "contrast": 2e-3,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_functions(torchvision, name, kind):  # noqa: F811
    import torch
    from torchvision.transforms.v2 import functional as theirs

    inexact = ROUNDED.get(name, 0) if kind not in ("RGB", "L") or name == "blur" else 0
    if kind == "float32" and name == "equalize":
        inexact = 1e-3
    close(CALLS[name](F, image(kind, fastconv)), CALLS[name](theirs, image(kind, torch)), inexact)


@pytest.mark.parametrize("source", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("target", ["uint8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("scale", [False, True])
def test_to_dtype(torchvision, source, target, scale):  # noqa: F811
    import torch
    from torchvision.transforms import v2 as theirs

    kind = np.dtype(source)
    values = np.linspace(0, 1, 143) if kind.kind == "f" else np.linspace(0, np.iinfo(kind).max, 143)
    values = values.astype(kind).reshape(1, 11, 13)
    try:
        expected = theirs.ToDtype(getattr(torch, target), scale=scale)(torch.tensor(values))
    except RuntimeError:
        with pytest.raises(RuntimeError, match="cannot be performed safely"):
            v2.ToDtype(getattr(fastconv, target), scale=scale)(fastconv.tensor(values))
        return
    assert np.array_equal(v2.ToDtype(getattr(fastconv, target), scale=scale)(fastconv.tensor(values)), expected)


DRAWN = (
    "RandomCrop((20, 45))",
    "RandomCrop((37, 30), padding=[0, 3, 0, 3])",
    "RandomCrop(50, pad_if_needed=True)",
    "RandomResizedCrop(16)",
    "RandomHorizontalFlip()",
    "RandomVerticalFlip()",
    "RandomRotation(30)",
    "RandomAffine(30, (0.2, 0.4), (0.5, 2), 20)",
    "RandomPerspective(0.6, 0.7)",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "ColorJitter(hue=0.1)",
    "RandomGrayscale(0.5)",
    "RandomInvert()",
    "RandomPosterize(3)",
    "RandomSolarize(130, 0.7)",
    "RandomAdjustSharpness(3, 0.7)",
    "RandomAutocontrast()",
    "RandomEqualize()",
    "GaussianBlur(5)",
    "ElasticTransform()",
    "RandomChannelPermutation()",
    "Grayscale(3)",
    "CenterCrop(30)",
    "RandomApply([RandomInvert(1.0)], 0.5)",
    "RandomChoice([RandomInvert(1.0), RandomSolarize(9, 1.0)], [0.3, 0.7])",
    "RandomOrder([RandomInvert(0.5), RandomSolarize(100, 0.5), RandomHorizontalFlip()])",
    "Compose([RandomCrop(20), RandomHorizontalFlip(), RandomInvert()])",
    "AutoAugment()",
    "AutoAugment(AutoAugmentPolicy.SVHN, fill=3)",
    "RandAugment()",
    "TrivialAugmentWide()",
    "AugMix()",
)


@pytest.mark.parametrize("kind", ["RGB", "uint8"])
@pytest.mark.parametrize("text", DRAWN)
def test_the_same_seed_gives_the_same_pixels(torchvision, text, kind):  # noqa: F811
    import torch
    from torchvision.transforms import v2 as theirs

    if kind == "uint8" and "ResizedCrop" in text:
        pytest.skip("torch resizes bytes in integers")
    one, other = eval(text, dict(vars(v2))), eval(text, dict(vars(theirs)))
    fastconv.manual_seed(7)
    torch.manual_seed(7)
    for _ in range(8 if "Aug" in text else 5):
        x, y = one(image(kind, fastconv), 5), other(image(kind, torch), 5)
        assert x[1] == y[1] == 5
        inexact = kind != "RGB" or any(name in text for name in ("Blur", "Elastic", "AugMix"))
        close(x[0], y[0], 3e-2 if "Aug" in text and inexact else 4e-3 if inexact else 0)
    assert fastconv.get_rng_state().tolist() == torch.get_rng_state().tolist()


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
@pytest.mark.parametrize("form", ["pair", "dict", "soft"])
def test_mixtures(torchvision, name, form):  # noqa: F811
    import torch
    from torchvision.transforms import v2 as theirs

    x = np.random.default_rng(0).random((4, 3, 9, 8)).astype(np.float32)
    labels = np.array([2, 0, 1, 2]) if form != "soft" else np.random.default_rng(1).random((4, 3)).astype(np.float32)
    fastconv.manual_seed(7)
    torch.manual_seed(7)
    for alpha in (1.0, 0.3, 2.0):
        mixed = []
        for library, module in ((fastconv, v2), (torch, theirs)):
            mix = getattr(module, name)(alpha=alpha, num_classes=3)
            batch, targets = library.tensor(x), library.tensor(labels)
            out = mix({"image": batch, "labels": targets, "n": 3}) if form == "dict" else mix(batch, targets)
            mixed.append((out["image"], out["labels"]) if form == "dict" else out)
        close(list(mixed[0]), list(mixed[1]))
    assert fastconv.get_rng_state().tolist() == torch.get_rng_state().tolist()


# Without torchvision


def test_samples_keep_their_form():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    picture = Image.fromarray(pixels)
    x = fastconv.tensor([[1, 2]])
    sample = {"a": (picture, [x, "text"]), "b": picture}
    found = v2.RandomHorizontalFlip(1.0)(sample)
    assert np.array_equal(found["a"][0], pixels[:, ::-1]) and np.array_equal(found["b"], pixels[:, ::-1])
    assert found["a"][1][0] is x and found["a"][1][1] == "text"
    first, second = v2.RandomHorizontalFlip(1.0)(x, x)
    assert first.tolist() == [[2, 1]] and second is x, "the first tensor is the image"
    crop = v2.RandomCrop(2)
    for _ in range(5):
        one, other = crop(picture, Image.fromarray(pixels))
        assert np.array_equal(one, other), "the images of a sample are cut alike"


def test_kinds():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    picture = Image.fromarray(pixels)
    chain = v2.Compose([v2.ToImage(), v2.ToDtype(fastconv.float32, scale=True), v2.Normalize([0.5], [0.5])])
    x, label = chain(picture, 3)
    assert label == 3 and x.dtype == fastconv.float32 and x.shape == (3, 4, 5)
    assert np.allclose(x, pixels.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    assert fastconv.equal(v2.ToTensor()(picture), transforms.ToTensor()(picture))
    assert v2.PILToTensor()(picture).dtype == fastconv.uint8 and v2.ToImage()(pixels[..., 0]).shape == (1, 4, 5)
    assert np.array_equal(v2.ToPILImage()(v2.ToImage()(picture)), pixels) and np.array_equal(
        v2.ToPILImage()(pixels), pixels
    )
    assert v2.ToDtype({fastconv.Tensor: fastconv.float64, "others": None})(x).dtype == fastconv.float64
    assert v2.ConvertImageDtype()(v2.ToImage()(picture)).max() <= 1
    assert v2.Identity()(picture, 3) == (picture, 3) and v2.ToPureTensor()(x) is x
    assert v2.Lambda(lambda n: n + 1, int)((1, "a", 2)) == (2, "a", 3)
    assert v2.RGB()(x[:1]).shape == (3, 4, 5) and F.get_size(picture) == [4, 5] and F.get_num_channels(x) == 3
    assert v2.FiveCrop(2)(picture)[4].size == (2, 2) and len(v2.TenCrop(2)(x)) == 10
    assert v2.Pad(1)(picture).size == (7, 6) and v2.Resize(2)(picture, 1)[0].size == (2, 2)
    noisy = v2.GaussianNoise(0.1, 0.2)(x)
    assert noisy.min() >= 0 and noisy.max() <= 1 and not fastconv.equal(noisy, x)
    assert v2.GaussianNoise()(v2.ToImage()(picture)).dtype == fastconv.uint8
    assert v2.RandomErasing(1.0)(x).shape == x.shape
    assert v2.LinearTransformation(fastconv.eye(60), fastconv.zeros(60))(x).shape == x.shape
    assert "p=0.5" in repr(v2.RandomVerticalFlip()) and "num_ops=2" in repr(v2.RandAugment())


class Doubled(v2.Transform):
    def make_params(self, flat_inputs):
        return {"times": 2 * len(flat_inputs)}

    def transform(self, inpt, params):
        return inpt * params["times"]


def test_transforms_of_ones_own():
    x = fastconv.ones(1, 2, 2)
    assert fastconv.equal(Doubled()(x, 3)[0], 2 * x)
    with pytest.raises(NotImplementedError, match="must define transform"):
        v2.Transform()(x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: v2.MixUp()(x, y), ValueError, "num_classes must be passed if the labels are index-based"),
        (lambda x, y: v2.MixUp(num_classes=3)(x, 3), ValueError, "The labels must be a tensor, but got <class 'int'>"),
        (lambda x, y: v2.MixUp(num_classes=3)(x[0], y), ValueError, "Expected a batched input with 4 dims, but got 3"),
        (
            lambda x, y: v2.CutMix(num_classes=3)(x, y[:1]),
            ValueError,
            "does not match the batch size of the labels: 2 != 1",
        ),
        (lambda x, y: v2.CutMix(num_classes=4)(x, fastconv.rand(2, 3)), ValueError, "3 != 4"),
        (lambda x, y: v2.MixUp(num_classes=3)(Image.new("L", (2, 2)), y), ValueError, "does not support PIL images"),
        (lambda x, y: v2.Normalize([0], [1])(Image.new("L", (2, 2))), TypeError, "does not support PIL images"),
        (lambda x, y: v2.Compose([]), ValueError, "Pass at least one transform"),
        (lambda x, y: v2.RandomChoice([abs], [1, 2]), ValueError, "2 != 1"),
        (lambda x, y: v2.RandomApply([abs], 2), ValueError, "in the interval"),
        (
            lambda x, y: v2.RandomCrop(9)(x),
            ValueError,
            "Required crop size (9, 9) is larger than input image size (4, 4)",
        ),
        (lambda x, y: F.posterize(x, 9), TypeError, "in the range [0, 8], got 9"),
        (lambda x, y: F.permute_channels(x, [0, 1]), ValueError, "2 != 3"),
        (lambda x, y: F.to_image(3), TypeError, "but got <class 'int'>"),
        (lambda x, y: F.gaussian_noise(x, sigma=-1), ValueError, "shouldn't be negative"),
        (lambda x, y: v2.ToDtype({int: fastconv.int64})(x), ValueError, "No dtype was specified"),
        (lambda x, y: v2.AutoAugment("svhn"), ValueError, "policy svhn is not recognized"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error) as caught:
        call(fastconv.rand(2, 3, 4, 4), fastconv.tensor([0, 2]))
    assert message in str(caught.value)


def test_names_that_mean_the_same():
    assert F.elastic is F.elastic_transform and F.hflip is F.horizontal_flip and F.to_grayscale is F.rgb_to_grayscale
    assert F.to_pil_image is transforms.functional.to_pil_image
    assert F.to_dtype(fastconv.ones(1), fastconv.uint8, scale=True).tolist() == [255]
