"""Image data sets, with torchvision.datasets' names and signatures."""

from fastconv.vision.datasets.caltech import Caltech101
from fastconv.vision.datasets.cifar import CIFAR10, CIFAR100
from fastconv.vision.datasets.digits import Digits
from fastconv.vision.datasets.fake import FakeData
from fastconv.vision.datasets.flowers102 import Flowers102
from fastconv.vision.datasets.folder import DatasetFolder, ImageFolder
from fastconv.vision.datasets.imagenet import ImageNet
from fastconv.vision.datasets.imagenette import Imagenette
from fastconv.vision.datasets.mnist import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST
from fastconv.vision.datasets.oxford_iiit_pet import OxfordIIITPet
from fastconv.vision.datasets.stl10 import STL10
from fastconv.vision.datasets.svhn import SVHN
from fastconv.vision.datasets.vision import ArrayDataset, VisionDataset

__all__ = ["CIFAR10", "CIFAR100", "EMNIST", "KMNIST", "MNIST", "QMNIST", "STL10", "SVHN", "ArrayDataset"]
__all__ += ["Caltech101", "DatasetFolder", "Digits", "FakeData", "FashionMNIST", "Flowers102", "ImageFolder"]
__all__ += ["ImageNet", "Imagenette", "OxfordIIITPet", "VisionDataset"]
