"""kill -9 in the middle of training and of writing checkpoints: nothing is lost but the step under way.

    python -m tests.kills --kills 200 --seed 0

A training of a few hundred steps that writes a checkpoint after every step is killed and resumed again and again, every
other time just while a checkpoint is being written. After each kill the checkpoint has to be whole and at most one step
behind; after each whole training the weights have to be, bit for bit, those of one that was never killed. Exit status 1
if they are not.
"""

import argparse
import hashlib
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EPOCHS, IMAGES, BATCH = 6, 320, 8


def child(folder: str, resume: bool) -> None:
    """The training, its steps counted in a file that this process shares."""
    import numpy as np

    import fastconv
    from fastconv import nn, optim
    from fastconv.app import checkpoint, train
    from fastconv.utils.data import DataLoader, TensorDataset

    fastconv.manual_seed(0)
    rng = np.random.default_rng(0)
    images = fastconv.from_numpy(rng.standard_normal((IMAGES, 1, 8, 8), np.float32))
    labels = fastconv.from_numpy(rng.integers(0, 10, IMAGES))
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(576, 10)
    )
    with open(os.path.join(folder, "steps"), "r+b") as file:
        steps = mmap.mmap(file.fileno(), 8)

    class Counting(optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            steps[:] = (int.from_bytes(steps[:], "little") + 1).to_bytes(8, "little")

    loader = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True)
    path = os.path.join(folder, "state.safetensors")
    if resume:
        progress = checkpoint.load_training(path)
        done = len(progress["history"]) * len(loader) + progress["batches"]
        steps[:] = done.to_bytes(8, "little")
    optimizer = Counting(net.parameters(), lr=0.05, momentum=0.9)
    train.fit(net, loader, optimizer, EPOCHS, checkpoint=path, checkpoint_seconds=0.0, resume=resume, verbose=False)
    checkpoint.save(os.path.join(folder, "weights.safetensors"), net.state_dict())


def start(folder: Path, resume: bool) -> subprocess.Popen:
    if not resume:
        for entry in folder.iterdir():
            entry.unlink()
        (folder / "steps").write_bytes(bytes(8))
    program = "import sys; sys.path.insert(0, sys.argv[1]); import kills; kills.child(sys.argv[2], sys.argv[3] == '1')"
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(folder), str(int(resume))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def run(kills: int, seed: int, seconds: float) -> dict:
    from fastconv.app import checkpoint

    rng = random.Random(seed)
    report = {"kills": 0, "while_writing": 0, "before_the_first": 0, "whole_trainings": 0, "one_behind": 0, "bad": []}
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start(folder, resume=False)
        out, _ = process.communicate()
        if process.returncode:
            return report | {"bad": [out]}
        expected = digest(folder)
        state, writing = folder / "state.safetensors", folder / ".state.safetensors.tmp"
        resume = False
        while report["kills"] < kills and time.monotonic() < deadline:
            process = start(folder, resume)
            # Some time to start and to train; then at once, or when a checkpoint is being written.
            begun = (folder / "steps").stat().st_mtime_ns, state.exists() and state.stat().st_mtime_ns
            limit = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < limit:
                if state.exists() and state.stat().st_mtime_ns != begun[1]:
                    break
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.25))
            in_write = report["kills"] % 2 == 0
            while in_write and process.poll() is None and not writing.exists():
                pass
            process.send_signal(signal.SIGKILL)
            out, _ = process.communicate()
            if process.returncode == 0:
                report["whole_trainings"] += 1
                if digest(folder) != expected:
                    report["bad"].append("other weights than a training that was never killed")
                resume = False
                continue
            if process.returncode != -signal.SIGKILL:
                report["bad"].append(f"exit status {process.returncode}: {out}")
                resume = False
                continue
            report["kills"] += 1
            report["while_writing"] += writing.exists()
            if not state.exists():
                report["before_the_first"] += 1
                resume = False
                continue
            resume = True
            try:
                progress = checkpoint.load_training(state)
            except Exception as error:
                report["bad"].append(f"after kill {report['kills']}: {error}")
                resume = False
                continue
            trained = int.from_bytes((folder / "steps").read_bytes(), "little")
            saved = len(progress["history"]) * (IMAGES // BATCH) + progress["batches"]
            report["one_behind"] += saved == trained - 1
            if saved < trained - 1:
                report["bad"].append(
                    f"after kill {report['kills']}: {trained} steps trained, {saved} in the checkpoint"
                )
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options = parser.parse_args()
    report = run(options.kills, options.seed, options.seconds)
    print(json.dumps(report))
    return 1 if report["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
