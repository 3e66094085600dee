"""Networks that give each pixel a class, torchvision's: FCN and DeepLabv3 on ResNets and MobileNet v3."""

from collections import OrderedDict
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.vision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large
from fastconv.vision.models.resnet import ResNet50_Weights, ResNet101_Weights, resnet50, resnet101
from fastconv.vision.models.weights import builder, expect, weights_enum

__all__ = [
    "DeepLabHead",
    "DeepLabV3",
    "DeepLabV3_MobileNet_V3_Large_Weights",
    "DeepLabV3_ResNet50_Weights",
    "DeepLabV3_ResNet101_Weights",
    "FCN",
    "FCNHead",
    "FCN_ResNet50_Weights",
    "FCN_ResNet101_Weights",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
]


class IntermediateLayers(nn.ModuleDict):
    """The first children of a network, up to the last one that is asked for; returns what those yield by names.

    Parameters
    ----------
    model : Module
    return_layers : dict of str to str
        Names of children, and the names of their results.
    """

    return_layers: dict[str, str]

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        missing = set(return_layers) - {name for name, _ in model.named_children()}
        if missing:
            raise ValueError(f"return_layers are not present in model: {sorted(missing)}")
        kept, waiting = OrderedDict(), set(return_layers)
        for name, child in model.named_children():
            kept[name] = child
            waiting.discard(name)
            if not waiting:
                break
        super().__init__(kept)
        self.return_layers = dict(return_layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        results = OrderedDict()
        for name, child in self.items():
            x = child(x)
            if name in self.return_layers:
                results[self.return_layers[name]] = x
        return results


class _Segmentation(nn.Module):
    """Features, a classifier of them, and in training perhaps an auxiliary one; scores at the input's size.

    Parameters
    ----------
    backbone : Module
        Returns a dict of "out" and, for the auxiliary classifier, "aux".
    classifier : Module
    aux_classifier : Module, optional
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone: nn.Module = backbone
        self.classifier: nn.Module = classifier
        self.aux_classifier: nn.Module | None = aux_classifier

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features, results = self.backbone(x), OrderedDict()
        for name, head in (("out", self.classifier), ("aux", self.aux_classifier)):
            if head is not None:
                y = head(features[name])
                results[name] = nn.functional.interpolate(y, x.shape[-2:], mode="bilinear", align_corners=False)
        return results


class FCN(_Segmentation):
    """A fully convolutional network (J. Long et al., 2015), from (N, 3, H, W) to {"out": (N, classes, H, W), ...}."""


class DeepLabV3(_Segmentation):
    """Dilated convolutions side by side (L.-C. Chen et al., 2017); see :class:`FCN`."""


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, and a 1x1 one to the scores."""

    def __init__(self, in_channels: int, channels: int) -> None:
        inner = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inner, channels, 1),
        )


def _normed(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation if kernel > 1 else 0
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class ASPPPooling(nn.Sequential):
    """The mean of the image through a 1x1 convolution, at all pixels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_normed(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(super().forward(x), x.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Convolutions of several dilations, and pooling, side by side, and a 1x1 convolution of all."""

    def __init__(self, in_channels: int, atrous_rates: tuple[int, ...], out_channels: int = 256) -> None:
        super().__init__()
        self.convs: nn.ModuleList = nn.ModuleList(
            [
                nn.Sequential(*_normed(in_channels, out_channels, 1)),
                *[nn.Sequential(*_normed(in_channels, out_channels, 3, rate)) for rate in atrous_rates],
                ASPPPooling(in_channels, out_channels),
            ]
        )
        self.project: nn.Sequential = nn.Sequential(
            *_normed(len(self.convs) * out_channels, out_channels, 1), nn.Dropout(0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.project(cat([convolution(x) for convolution in self.convs], 1))


class DeepLabHead(nn.Sequential):
    """:class:`ASPP`, a 3x3 convolution, and a 1x1 one to the scores."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: tuple[int, ...] = (12, 24, 36)) -> None:
        super().__init__(ASPP(in_channels, atrous_rates), *_normed(256, 256, 3), nn.Conv2d(256, num_classes, 1))


FCN_ResNet50_Weights: Any = weights_enum("FCN_ResNet50", 35_322_218, 152.717, coco="fcn_resnet50_coco-1167a1af")
FCN_ResNet101_Weights: Any = weights_enum("FCN_ResNet101", 54_314_346, 232.738, coco="fcn_resnet101_coco-7ecb50ca")
DeepLabV3_ResNet50_Weights: Any = weights_enum(
    "DeepLabV3_ResNet50", 42_004_074, 178.722, coco="deeplabv3_resnet50_coco-cd0a2569"
)
DeepLabV3_ResNet101_Weights: Any = weights_enum(
    "DeepLabV3_ResNet101", 60_996_202, 258.743, coco="deeplabv3_resnet101_coco-586e9e4e"
)
DeepLabV3_MobileNet_V3_Large_Weights: Any = weights_enum(
    "DeepLabV3_MobileNet_V3_Large", 11_029_328, 10.452, coco="deeplabv3_mobilenet_v3_large-fc3c493d"
)


def _with_features(
    network: type, features: Any, weights: Any, progress: bool, options: dict[str, Any], resnet: bool = True
) -> Any:
    """A network on the features of a classifier."""
    backbone, classes, auxiliary = (options.pop(name) for name in ("weights_backbone", "num_classes", "aux_loss"))
    if weights is not None:  # the published ones have both classifiers
        given = {name: v for name, v in (("num_classes", classes), ("aux_loss", auxiliary)) if v is not None}
        given = expect(expect(given, "num_classes", len(weights.meta["categories"])), "aux_loss", True)
        backbone, classes, auxiliary = None, given["num_classes"], True
        state = weights.get_state_dict(progress=progress)
    classes = 21 if classes is None else classes
    dilated = {"replace_stride_with_dilation": [False, True, True]} if resnet else {"dilated": True}
    try:
        model = features(weights=backbone, progress=progress, **dilated)
    except RuntimeError as error:
        raise RuntimeError(
            f"{error}\nThis network begins with the weights of a classifier, {backbone!r}; weights_backbone=None does "
            "without them"
        ) from error
    if resnet:
        outputs, places = (2048, 1024), ("layer4", "layer3")
    else:
        model = model.features
        # Where an image is halved: the last such place, and the one four before the end, as torchvision has it.
        halved = [0, *[i for i, b in enumerate(model) if getattr(b, "_is_cn", False)], len(model) - 1]
        places = (str(halved[-1]), str(halved[-4]))
        outputs = tuple(model[int(place)].out_channels for place in places)
    layers = {places[0]: "out", **({places[1]: "aux"} if auxiliary else {})}
    head = FCNHead if network is FCN else DeepLabHead
    backbone = IntermediateLayers(model, layers)
    auxiliary = FCNHead(outputs[1], classes) if auxiliary else None  # drawn first, as torchvision does
    whole = network(backbone, head(outputs[0], classes), auxiliary)
    if weights is not None:
        whole.load_state_dict(state)
    return whole


@builder(FCN_ResNet50_Weights, weights_backbone=ResNet50_Weights)
def fcn_resnet50(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
) -> FCN:
    """FCN on ResNet-50.

    Parameters
    ----------
    weights : FCN_ResNet50_Weights, optional
    progress : bool
        Show how downloads go.
    num_classes : int, optional
        21 by default, Pascal VOC's.
    aux_loss : bool, optional
        Whether there is an auxiliary classifier; published weights have it.
    weights_backbone : ResNet50_Weights, optional
        Of the classifier whose features it takes; None draws them at random.
    """
    options = {"num_classes": num_classes, "aux_loss": aux_loss, "weights_backbone": weights_backbone}
    return _with_features(FCN, resnet50, weights, progress, options)


@builder(FCN_ResNet101_Weights, weights_backbone=ResNet101_Weights)
def fcn_resnet101(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet101_Weights.IMAGENET1K_V1,
) -> FCN:
    """FCN on ResNet-101; see :func:`fcn_resnet50`."""
    options = {"num_classes": num_classes, "aux_loss": aux_loss, "weights_backbone": weights_backbone}
    return _with_features(FCN, resnet101, weights, progress, options)


@builder(DeepLabV3_ResNet50_Weights, weights_backbone=ResNet50_Weights)
def deeplabv3_resnet50(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
) -> DeepLabV3:
    """DeepLabv3 on ResNet-50; see :func:`fcn_resnet50`."""
    options = {"num_classes": num_classes, "aux_loss": aux_loss, "weights_backbone": weights_backbone}
    return _with_features(DeepLabV3, resnet50, weights, progress, options)


@builder(DeepLabV3_ResNet101_Weights, weights_backbone=ResNet101_Weights)
def deeplabv3_resnet101(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet101_Weights.IMAGENET1K_V1,
) -> DeepLabV3:
    """DeepLabv3 on ResNet-101; see :func:`fcn_resnet50`."""
    options = {"num_classes": num_classes, "aux_loss": aux_loss, "weights_backbone": weights_backbone}
    return _with_features(DeepLabV3, resnet101, weights, progress, options)


@builder(DeepLabV3_MobileNet_V3_Large_Weights, weights_backbone=MobileNet_V3_Large_Weights)
def deeplabv3_mobilenet_v3_large(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
) -> DeepLabV3:
    """DeepLabv3 on the larger MobileNet v3; see :func:`fcn_resnet50`."""
    options = {"num_classes": num_classes, "aux_loss": aux_loss, "weights_backbone": weights_backbone}
    return _with_features(DeepLabV3, mobilenet_v3_large, weights, progress, options, resnet=False)
