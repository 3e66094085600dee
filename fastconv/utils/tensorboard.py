"""Logs for TensorBoard, by torch.utils.tensorboard's names, on the package `tensorboard`."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._tensor import Tensor

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes scalars, images, histograms and texts into a folder that TensorBoard shows.

    Parameters
    ----------
    log_dir : path, optional
        By default ``runs/<time>_<host>`` and `comment`.
    comment : str
    purge_step : int, optional
        Of torch's interface.
    max_queue, flush_secs : int
        How many events are kept before they are written, and for how long.
    filename_suffix : str

    Raises
    ------
    ImportError
        Where tensorboard is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise ImportError("SummaryWriter needs tensorboard: pip install tensorboard") from None
        if not log_dir:
            log_dir = os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir: str = os.fspath(log_dir)
        self._options = (max_queue, flush_secs, filename_suffix)
        self._open = EventFileWriter
        self._writers = {"": EventFileWriter(self.log_dir, *self._options)}

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def _add(self, step: Any, walltime: float | None, folder: str = "", **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        event = Event(wall_time=time.time() if walltime is None else walltime)
        event.summary.CopyFrom(Summary(value=[Summary.Value(**value)]))
        if step is not None:
            event.step = int(step)
        if folder not in self._writers:
            self._writers[folder] = self._open(os.path.join(self.log_dir, folder), *self._options)
        self._writers[folder].add_event(event)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number: a Python number, or a tensor or array of one element."""
        self._add(global_step, walltime, tag=tag, simple_value=_array(scalar_value).item())

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Numbers in one diagram, each in a folder of its own."""
        for tag, value in tag_scalar_dict.items():
            folder = f"{main_tag.replace('/', '_')}_{tag}"
            self._add(global_step, walltime, folder, tag=main_tag, simple_value=_array(value).item())

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "auto",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How the elements of a tensor or an array are spread, in bins as :func:`numpy.histogram` takes them."""
        from tensorboard.compat.proto.summary_pb2 import HistogramProto

        x = _array(values).astype(np.float64).ravel()
        if not x.size:
            raise ValueError("The input has no element.")
        counts, edges = np.histogram(x, "auto" if bins == "tensorflow" else bins)
        histogram = HistogramProto(
            min=x.min(),
            max=x.max(),
            num=x.size,
            sum=x.sum(),
            sum_squares=x @ x,
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._add(global_step, walltime, tag=tag, histo=histogram)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture: uint8, or floats in [0, 1], whose dimensions `dataformats` names."""
        x = _ordered(img_tensor, dataformats, "HWC")
        self._add_picture(tag, x.reshape(*x.shape[:2], -1), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Pictures side by side."""
        x = _ordered(img_tensor, dataformats, "NHWC")
        self._add_picture(tag, np.concatenate(list(x.reshape(*x.shape[:3], -1)), axis=1), global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, which is closed then."""
        figure.canvas.draw()
        self._add_picture(tag, np.asarray(figure.canvas.buffer_rgba())[..., :3], global_step, walltime)
        if close:
            import matplotlib.pyplot as plt

            plt.close(figure)

    def _add_picture(self, tag: str, x: np.ndarray, step: int | None, walltime: float | None) -> None:
        """A picture (H, W, C)."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        from ..vision._pillow import to_image

        if x.dtype != np.uint8:
            x = (np.clip(x, 0, 1) * 255).astype(np.uint8)
        file = io.BytesIO()
        to_image(x[..., 0] if x.shape[-1] == 1 else x).save(file, "PNG")
        height, width, channels = x.shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())
        self._add(step, walltime, tag=tag, image=image)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """A text in Markdown."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        text = TensorProto(dtype="DT_STRING", string_val=[text_string.encode()], tensor_shape=shape)
        self._add(global_step, walltime, tag=f"{tag}/text_summary", metadata=metadata, tensor=text)

    def flush(self) -> None:
        """Write what is kept."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write what is kept, and close the files."""
        for writer in self._writers.values():
            writer.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _array(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _ordered(value: Any, axes: str, order: str) -> np.ndarray:
    """An array whose dimensions are `axes`, with them in this order."""
    x = _array(value)
    if x.ndim != len(axes):
        raise ValueError(f"size of input tensor and input format are different: {list(x.shape)} and {axes!r}")
    return x.transpose([axes.index(axis) for axis in order if axis in axes])
