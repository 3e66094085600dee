"""Logs for TensorBoard, by torch.utils.tensorboard's names, on the package `tensorboard`."""

from __future__ import annotations

import io
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import enable_grad
from ..nn import Module
from .checkpoint import tensors_in

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes scalars, images, histograms, texts and graphs of models into a folder that TensorBoard shows.

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

    def add_graph(
        self, model: Module, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """What a model in evaluation computes with an input, or with a tuple of its arguments.

        Nodes are the operations that the gradient takes, in groups by the names of their modules.

        Parameters
        ----------
        model : Module
        input_to_model : Tensor, or tuple or list of arguments
        verbose : bool
            Print the graph.
        use_strict_trace : bool
            Of torch's interface.
        """
        from tensorboard.compat.proto.event_pb2 import Event

        given = input_to_model if isinstance(input_to_model, (tuple, list)) else (input_to_model,)
        modes = [(module, module.training) for module in model.modules()]
        frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
        try:
            model.eval()
            for parameter in frozen:  # which would leave no trace
                parameter.requires_grad_()
            graph = _graph(model, given)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
            for module, training in modes:
                module.training = training
        if verbose:
            print(graph)
        self._writers[""].add_event(Event(wall_time=time.time(), graph_def=graph.SerializeToString()))

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


def _graph(model: Module, given: Sequence[Any]) -> Any:
    """A GraphDef of ``model(*given)``, from what its results keep for their gradients."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    graph = GraphDef()
    names: dict[Any, str] = {}  # of what has a node
    used: Counter[str] = Counter()

    def add(name: str, op: str, inputs: Iterable[str] = (), tensor: Tensor | None = None) -> str:
        used[name] += 1
        node = NodeDef(name=name if used[name] == 1 else f"{name}_{used[name]}", op=op, input=inputs)
        if tensor is not None:
            shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in tensor.shape])
            node.attr["_output_shapes"].CopyFrom(AttrValue(list=AttrValue.ListValue(shape=[shape])))
        graph.node.append(node)
        return str(node.name)

    arguments = list(given)
    with enable_grad():
        for i, x in enumerate(arguments):
            if isinstance(x, Tensor) and x.is_floating_point():
                # A copy of a leaf, which the model may write to as it may to `x`.
                arguments[i] = x = x.detach().requires_grad_().clone()
                names[x.grad_fn] = add(f"input/{i}", "IO Node", tensor=x)
        results = list(tensors_in(model(*arguments)))
    weights = {id(p): name.replace(".", "/") for name, p in model.named_parameters()}
    for i, result in enumerate(results):
        waiting = [result.grad_fn]
        while waiting:
            node = waiting[-1]
            if node is None or node in names:
                waiting.pop()
                continue
            before = [source for source, _ in node.next_functions if source is not None]
            missing = [source for source in before if source not in names]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                names[node] = add(weights.get(id(leaf), "constant"), "Parameter", tensor=leaf)
                continue
            op = node.name().removesuffix("Backward0")
            variables = [id(getattr(source, "variable", None)) for source in before]
            scope = next((weights[v].rpartition("/")[0] for v in variables if v in weights), "")
            names[node] = add(f"{scope}/{op}" if scope else op, op, [names[source] for source in before])
        inputs = [] if result.grad_fn is None else [names[result.grad_fn]]
        add(f"output/{i}", "IO Node", inputs, result)
    graph.versions.producer = 22
    return graph


def _array(value: Any) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _ordered(value: Any, axes: str, order: str) -> np.ndarray:
    """An array whose dimensions are `axes`, with them in this order."""
    x = _array(value)
    if x.ndim != len(axes):
        raise ValueError(f"size of input tensor and input format are different: {list(x.shape)} and {axes!r}")
    return x.transpose([axes.index(axis) for axis in order if axis in axes])
