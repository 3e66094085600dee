"""What is said where the package cannot be built, or was not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).resolve().parents[1]


def test_sources_that_are_not_compiled_say_what_to_do(tmp_path):
    shutil.copytree(
        Path(fastconv.__file__).parent, tmp_path / "fastconv", ignore=shutil.ignore_patterns("*.so", "*.pyd")
    )
    command = [sys.executable, "-c", "import fastconv"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(
        f"ImportError: {tmp_path / 'fastconv' / '_native'} holds the sources of fastconv, not compiled"
    )
    assert "pip install -e ." in said


@pytest.mark.parametrize("changes", [{"CC": "cl"}, {"CC": "no-such-compiler -O2"}, {"PATH": ""}], ids=str)
def test_without_a_compiler_the_build_stops_at_once(changes):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools", "77")
    environment = {name: value for name, value in os.environ.items() if name != "CC"} | changes
    command = [sys.executable, "setup.py", "build_ext"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 1
    assert done.stdout == ""
    first, debian, windows = done.stderr.splitlines()
    assert first.startswith("fastconv needs GCC or Clang and Python's headers")
    assert changes.get("CC", "") in first
    assert "apt install" in debian and "dnf install" in debian and "xcode-select" in debian
    assert "MSVC" in windows
