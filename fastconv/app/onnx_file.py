"""``fastconv export``: the network of a training run as an ONNX file."""

import json

from fastconv.app.predict import read_run

__all__ = ["export"]


def export(run: str, path: str, best: bool = False, opset_version: int | None = None) -> None:
    """Write the network of the run in the folder `run` to `path`; arguments and errors as of :func:`load_run`.

    Its input "images" is a batch of any size, as the run's transform makes it; its output are the classes' scores. The
    file's metadata says in JSON what the classes are (``classes``) and the transform (``transform``): images are
    squeezed to the size (height, width), or the middle of them, as large as can be, is brought to it; their pixels are
    divided by the scale, and normalised by each channel's mean and deviation.
    """
    from fastconv import onnx

    (model, classes, _), about = read_run(run, best)
    size = [about["image_size"]] * 2
    transform = {"size": size, "squeezed": about["squeezed"], "scale": 255, "mean": about["mean"], "std": about["std"]}
    onnx.export(
        model,
        (None, len(about["mean"]), *size),
        path,
        input_names=["images"],
        output_names=["scores"],
        opset_version=opset_version,
        metadata={"classes": json.dumps(classes), "transform": json.dumps(transform)},
    )
