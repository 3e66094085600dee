"""Image data sets, with torchvision.datasets' names and signatures."""

from fastconv.vision.datasets.cifar import CIFAR10
from fastconv.vision.datasets.digits import Digits
from fastconv.vision.datasets.fake import FakeData
from fastconv.vision.datasets.folder import ImageFolder
from fastconv.vision.datasets.mnist import MNIST, FashionMNIST
from fastconv.vision.datasets.vision import ArrayDataset, VisionDataset

__all__ = ["CIFAR10", "MNIST", "ArrayDataset", "Digits", "FakeData", "FashionMNIST"]
__all__ += ["ImageFolder", "VisionDataset"]
