"""fastconv.optimize() against other engines on whole networks: python benchmarks/compare_inference.py

Each engine that is installed (fastconv as it is and optimized, ONNX Runtime, OpenVINO, MNN, torch with torchvision)
runs in a process of its own on the same weights and images, and they take turns. The median of the turns' ratios is
printed, the time of the engine by that of ``fastconv.optimize()``: above 1 the engine is slower. Errors are norm-wise,
against fastconv's model in float64. Weights are random, batch norms have random statistics.

    --networks resnet18,vgg16   of fastconv.vision.models
    --images 1,16 --size 224 --threads 1 --repeats 5 --engines onnxruntime,openvino
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENGINES = ("optimize", "fastconv", "onnxruntime", "openvino", "mnn", "torch", "torch channels_last")
NETWORKS = ("resnet18", "resnet50", "vgg16", "mobilenet_v2")
LEAST_S = 0.02  # a sample repeats its call until it lasts this long


# ---- engines: functions of a folder and a number of threads that return a call --------------------------------------


def _fastconv(folder: Path, threads: int, optimized: bool) -> Callable[[np.ndarray], np.ndarray]:
    import fastconv

    fastconv.set_num_threads(threads)
    about = json.loads((folder / "about.json").read_text())
    model = getattr(fastconv.vision.models, about["network"])().eval()
    with np.load(folder / "weights.npz") as weights:
        model.load_state_dict({name: fastconv.from_numpy(weights[name]) for name in weights.files})
    if optimized:
        model = fastconv.optimize(model)

    def call(x: np.ndarray) -> np.ndarray:
        with fastconv.no_grad():
            return model(fastconv.from_numpy(x)).numpy()

    return call


def _onnxruntime(folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _openvino(folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(folder / "model.onnx", "CPU", options).create_infer_request()
    return lambda x: next(iter(request.infer([x], share_inputs=True).values()))


def _mnn(folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import MNN

    path = folder / "model.mnn"
    if not path.exists():
        command = [sys.executable, "-c", "from MNN.tools.mnnconvert import main; main()", "-f", "ONNX"]
        command += ["--modelFile", str(folder / "model.onnx"), "--MNNModel", str(path)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    config = {"backend": "CPU", "numThread": threads, "precision": "high"}
    runtime = MNN.nn.create_runtime_manager((config,))
    net = MNN.nn.load_module_from_file(str(path), ["x"], ["y"], runtime_manager=runtime)
    F = MNN.expr

    def call(x: np.ndarray) -> np.ndarray:
        image = F.convert(F.const(x, list(x.shape), F.NCHW), F.NC4HW4)
        return net.forward(image).read().reshape(len(x), -1).copy()

    return call


def _torch(folder: Path, threads: int, last: bool) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    try:
        import torchvision
    except RuntimeError:  # of another release of torch: its own operators are missing, which no network here uses
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor a) -> Tensor")
        globals()["library"] = library
        import torchvision

    torch.set_num_threads(threads)
    about = json.loads((folder / "about.json").read_text())
    model = getattr(torchvision.models, about["network"])().eval()
    with np.load(folder / "weights.npz") as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    layout = torch.channels_last if last else torch.contiguous_format
    model = model.to(memory_format=layout)

    def call(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(x).contiguous(memory_format=layout)).numpy()

    return call


def engine(name: str, folder: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    if name in ("optimize", "fastconv"):
        return _fastconv(folder, threads, name == "optimize")
    if name.startswith("torch"):
        return _torch(folder, threads, "channels_last" in name)
    return {"onnxruntime": _onnxruntime, "openvino": _openvino, "mnn": _mnn}[name](folder, threads)


def serve(name: str, folder: Path, threads: int) -> None:
    """A worker: writes its result, and then times a call whenever a line comes in."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines speak too, in C

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        call, x = engine(name, folder, threads), np.load(folder / "x.npy")
    except ImportError as error:
        return answer(unavailable=str(error))
    np.save(folder / f"{name}.npy", call(x))
    start = time.perf_counter()
    call(x)
    loops = max(1, int(LEAST_S / (time.perf_counter() - start)))
    answer(ready=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(loops):
            call(x)
        answer(seconds=(time.perf_counter() - start) / loops)


# ---- the comparison ------------------------------------------------------------------------------------------------


def write(folder: Path, network: str, images: int, size: int) -> np.ndarray:
    """Write weights, images and the ONNX file; returns the result in float64."""
    import fastconv

    fastconv.manual_seed(0)
    random = np.random.default_rng(0)
    model = getattr(fastconv.vision.models, network)().eval()
    with fastconv.no_grad():
        for module in model.modules():
            if isinstance(module, fastconv.nn.BatchNorm2d):
                module.running_mean.copy_(fastconv.from_numpy(random.normal(0, 0.1, module.num_features)))
                module.running_var.copy_(fastconv.from_numpy(random.uniform(0.5, 1.5, module.num_features)))
    x = random.normal(size=(images, 3, size, size)).astype(np.float32)
    np.savez(folder / "weights.npz", **{name: tensor.numpy() for name, tensor in model.state_dict().items()})
    np.save(folder / "x.npy", x)
    (folder / "about.json").write_text(json.dumps({"network": network}))
    fastconv.onnx.export(
        model, (fastconv.from_numpy(x),), str(folder / "model.onnx"), input_names=["x"], output_names=["y"]
    )
    with fastconv.no_grad():
        return model.double()(fastconv.from_numpy(x.astype(np.float64))).numpy()


def compare(
    network: str, images: int, size: int, threads: int, repeats: int, engines: list[str]
) -> list[dict[str, Any]]:
    """A row for each engine: its seconds, its time by ours, its error."""
    from fastconv.app.contenders import Unavailable, Worker, alternate, median_ratio  # not for other engines' workers

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact = write(folder, network, images, size)
        with contextlib.ExitStack() as stack:
            workers = []
            for kind in engines:
                command = [__file__, "--serve", kind, "--folder", name, "--threads", str(threads)]
                try:
                    workers.append(stack.enter_context(Worker(kind, command, threads, still=True)))
                except Unavailable as error:
                    print(f"left out: {error}", file=sys.stderr)
            times = dict(zip([worker.name for worker in workers], alternate(workers, repeats), strict=True))
        rows = []
        for kind in times:
            y = np.load(folder / f"{kind}.npy").astype(np.float64)
            rows.append({
                "network": network, "images": images, "threads": threads, "engine": kind,
                "ms": 1e3 * statistics.median(times[kind]), "ratio": median_ratio(times[kind], times["optimize"]),
                "error": float(np.linalg.norm(y - exact) / np.linalg.norm(exact)),
            })  # fmt: skip
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--images", default="1")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--json", help="write the rows there too")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, Path(options.folder), options.threads)
        return
    engines = ["optimize", *[name for name in options.engines.split(",") if name != "optimize"]]
    print("| network | images | threads | engine | ms | time by optimize's | error |\n|---|---|---|---|---|---|---|")
    every = []
    for network in options.networks.split(","):
        for images in map(int, options.images.split(",")):
            for row in compare(network, images, options.size, options.threads, options.repeats, engines):
                every.append(row)
                print(
                    f"| {row['network']} | {row['images']} | {row['threads']} | {row['engine']} | {row['ms']:.1f} "
                    f"| {row['ratio']:.2f} | {row['error']:.1e} |",
                    flush=True,
                )
    if options.json:
        Path(options.json).write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
