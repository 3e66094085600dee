"""Programs written for torch, one of each family, under ``fastconv run``: they print what they print under torch.

What torch 2.13 makes of them is in ``programs/expected.json``; ``programs/record.py`` writes it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastconv.app.checking import check

PROGRAMS = Path(__file__).parent / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_it_prints_what_it_prints_under_torch(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fastconv", "run", str(PROGRAMS / f"{name}.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(EXPECTED[name])
    for line, expected in zip(lines, EXPECTED[name], strict=True):
        for word, wanted in zip(line.split(), expected.split(), strict=True):
            assert word == wanted or abs(float(word) - float(wanted)) <= 1e-3 * max(1, abs(float(wanted))), line


@pytest.mark.parametrize("name", EXPECTED)
def test_it_lacks_nothing(name):
    assert check([str(PROGRAMS / f"{name}.py")]) == []
