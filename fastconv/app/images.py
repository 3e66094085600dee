"""Images as people have them, brought to one form: upright, 8 bits a channel, grey or RGB."""

import io
import os
from typing import Any

import numpy as np

from fastconv.vision._pillow import pillow, to_image
from fastconv.vision.datasets.folder import leads_back

__all__ = ["EightBit", "is_hidden", "is_image_name", "open_image", "prepared", "visible_files"]

# How the names of images end, in any case.
EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".heic", ".heif"),
}
# How many times as long as wide images may be: of longer ones the middle is taken before they are brought to size.
LONGEST = 16


class EightBit:
    """A Pillow image as it is meant to be seen, in RGB or grey, of 8 bits a channel.

    The orientation that a camera noted (EXIF) is applied; 16 bits become 8 by division by 257; floats are taken to lie
    in [0, 1] or, where one is larger, in [0, 255]; what is transparent lies on white.

    Parameters
    ----------
    channels : int
        3 for RGB, 1 for grey.
    """

    def __init__(self, channels: int = 3) -> None:
        self.channels = channels

    def __call__(self, image: Any) -> Any:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            image = to_image(_eight_bits(np.asarray(image)))
        elif "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            image = pillow().alpha_composite(pillow().new("RGBA", image.size, "white"), image)
        return image.convert("RGB" if self.channels == 3 else "L")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(channels={self.channels})"


class Middle:
    """The middle of a Pillow image that is more than LONGEST times as long as wide.

    Of one of 60,000 x 1 pixels, resized by its short side to 224, the other would have 13 million.
    """

    def __call__(self, image: Any) -> Any:
        longest = LONGEST * min(image.size)
        width, height = (min(side, longest) for side in image.size)
        if (width, height) == image.size:
            return image
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of integers of up to 16 bits, or of floats, as uint8."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values) * (255 if values.max(initial=0) <= 1 else 1)
    elif values.dtype.itemsize == 2 or values.max(initial=0) > 255:
        values = values / 257
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def open_image(source: str | os.PathLike[str] | bytes, channels: int = 3) -> Any:
    """The image in a file, or in the bytes of one, as :class:`EightBit` makes it.

    Raises
    ------
    RuntimeError
        If it is damaged or no image; the message says which file.
    """
    name = "the image" if isinstance(source, bytes) else os.fspath(source)
    if not isinstance(source, bytes) and not os.path.isfile(source):  # a pipe would be waited for
        what = "is no file" if os.path.exists(source) else "leads nowhere" if os.path.islink(source) else "is not there"
        raise RuntimeError(f"{name}: {what}")
    image_module = pillow()
    try:
        with image_module.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return EightBit(channels)(image)
    except Exception as error:  # Pillow's readers raise errors of many kinds
        if not (len(source) if isinstance(source, bytes) else os.path.getsize(source)):
            raise RuntimeError(f"{name}: is empty") from error
        if isinstance(error, image_module.UnidentifiedImageError):
            if os.path.splitext(name)[1].lower() in (".heic", ".heif"):
                raise RuntimeError(f"{name}: is HEIC, which Pillow does not read; save it as JPEG") from error
            raise RuntimeError(f"{name}: is no image") from error
        raise RuntimeError(f"{name}: is damaged: {error}") from error


def prepared(about: dict[str, Any], whole: bool = False) -> Any:
    """The transform from any Pillow image to what a run's network takes.

    Parameters
    ----------
    about : dict
        ``mean`` and ``std`` of the pixels, by channel; ``image_size``, and whether images are squeezed to it
        (``squeezed``) or the middle of them, as large as can be, is taken.
    whole : bool
        Whether to leave out the last steps, so that a Pillow image of the same part comes out.
    """
    from fastconv.vision import transforms

    size = about["image_size"]
    steps: list[Any] = [EightBit(len(about["mean"]))]
    steps += (
        [transforms.Resize((size, size))]
        if about["squeezed"]
        else [Middle(), transforms.Resize(size), transforms.CenterCrop(size)]
    )
    if not whole:
        steps += [transforms.ToTensor(), transforms.Normalize(about["mean"], about["std"])]
    return transforms.Compose(steps)


def is_image_name(path: str) -> bool:
    """Whether a file's name ends like an image's."""
    return os.path.splitext(path)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that programs keep for themselves: ``.ipynb_checkpoints``, ``__MACOSX``."""
    return name.startswith(".") or name == "__MACOSX"


def visible_files(root: str) -> list[str]:
    """All files under a folder, in order, but for hidden ones; links to folders are followed, in no circle."""
    found = []
    waiting = [(root, (os.path.realpath(root),))]
    while waiting:
        folder, above = waiting.pop()
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if is_hidden(name):
                continue
            if not os.path.isdir(path):
                found.append(path)
            elif not leads_back(real := os.path.realpath(path), above):
                waiting.append((path, (*above, real)))
    return sorted(found, key=lambda path: (os.path.dirname(path), path))
