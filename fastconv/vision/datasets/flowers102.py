"""The 102 flowers of Oxford, from their folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.vision.datasets._files import chosen, fetch, fetch_archive, has_md5, load_mat
from fastconv.vision.datasets.folder import pil_loader
from fastconv.vision.datasets.vision import VisionDataset

__all__ = ["Flowers102"]

NAMES = """
    pink primrose; hard-leaved pocket orchid; canterbury bells; sweet pea; english marigold; tiger lily; moon
    orchid; bird of paradise; monkshood; globe thistle; snapdragon; colt's foot; king protea; spear thistle; yellow
    iris; globe-flower; purple coneflower; peruvian lily; balloon flower; giant white arum lily; fire lily;
    pincushion flower; fritillary; red ginger; grape hyacinth; corn poppy; prince of wales feathers; stemless
    gentian; artichoke; sweet william; carnation; garden phlox; love in the mist; mexican aster; alpine sea holly;
    ruby-lipped cattleya; cape flower; great masterwort; siam tulip; lenten rose; barbeton daisy; daffodil; sword
    lily; poinsettia; bolero deep blue; wallflower; marigold; buttercup; oxeye daisy; common dandelion; petunia;
    wild pansy; primula; sunflower; pelargonium; bishop of llandaff; gaura; geranium; orange dahlia; pink-yellow
    dahlia?; cautleya spicata; japanese anemone; black-eyed susan; silverbush; californian poppy; osteospermum;
    spring crocus; bearded iris; windflower; tree poppy; gazania; azalea; water lily; rose; thorn apple; morning
    glory; passion flower; lotus; toad lily; anthurium; frangipani; clematis; hibiscus; columbine; desert-rose; tree
    mallow; magnolia; cyclamen; watercress; canna lily; hippeastrum; bee balm; ball moss; foxglove; bougainvillea;
    camellia; mallow; mexican petunia; bromelia; blanket flower; trumpet creeper; blackberry lily
"""


class Flowers102(VisionDataset):
    """8,189 photographs of flowers of 102 kinds (M.-E. Nilsback, A. Zisserman, 2008).

    The folder is ``root/flowers-102``, with ``jpg``, ``imagelabels.mat`` and ``setid.mat`` in it.
    SciPy reads the latter two.

    Parameters
    ----------
    root : path
    split : {'train', 'val', 'test'}
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    download : bool
        Fetch the files (350 MB) if they are not there.
    loader : callable
        Reads an image, given its path.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If there is no such split.
    RuntimeError
        If the files are not there, damaged or foreign.
    """

    loader: Any

    home = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    _archive = ("102flowers.tgz", "52808999861908f626f3c1f4e79d11fa")
    _tables = (
        ("imagelabels.mat", "e0620be6f572b9609742df49c70aed4d"),
        ("setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
    )
    classes: Sequence[str] = tuple(" ".join(NAMES.split()).split("; "))

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
        loader: Callable[..., Any] = pil_loader,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._split = chosen(split, "split", ("train", "val", "test"))
        self._folder = Path(self.root, "flowers-102")
        self.loader = loader
        self.classes = list(type(self).classes)
        if self._missing() and download:
            self.download()
        if self._missing():
            raise RuntimeError(
                f"Dataset not found: Flowers102 needs {', '.join(map(str, self._missing()))}. "
                "You can use download=True to download it"
            )
        table, sets = (self._folder / name for name, _ in self._tables)
        labels = self._integers(table, "labels") - 1
        numbers = self._integers(sets, {"train": "trnid", "val": "valid", "test": "tstid"}[split])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise RuntimeError(f"{table}: labels are from 1 to {len(self.classes)}, these go up to {labels.max() + 1}")
        if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(labels):
            raise RuntimeError(f"{sets}: names images that are not among the {len(labels)} with labels")
        self._labels: list[int] = labels[numbers - 1].tolist()
        names = [f"image_{number:05d}.jpg" for number in numbers.tolist()]
        self._image_files: list[Path] = [self._folder / "jpg" / name for name in names]

    def _missing(self) -> list[Path]:
        paths = [self._folder / name for name, _ in self._tables]
        return [path for path in [self._folder / "jpg", *paths] if not path.exists()]

    @staticmethod
    def _integers(path: Path, name: str) -> np.ndarray:
        content = load_mat(path)
        try:
            return np.ravel(content[name]).astype(np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise RuntimeError(f"{path} has no list of integers {name!r}: {error}") from None

    def __len__(self) -> int:
        return len(self._image_files)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = self.loader(self._image_files[index]), self._labels[index]
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    def download(self) -> None:
        """Fetch what is not there as it was published, and unpack the photographs."""
        name, md5 = self._archive
        fetch_archive(f"{self.home}{name}", self._folder, md5)
        for name, md5 in self._tables:
            if not has_md5(self._folder / name, md5):
                fetch(f"{self.home}{name}", self._folder / name, md5)

    def extra_repr(self) -> str:
        return f"split={self._split}"
