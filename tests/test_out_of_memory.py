"""Every allocation of every operation fails in turn: a MemoryError, nothing lost, and the next call is right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux") or not COMPILER, reason="needs Linux and a C compiler"),
    pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer has its own malloc"),
]


@pytest.fixture(scope="module")
def failing_malloc(tmp_path_factory):
    shared = tmp_path_factory.mktemp("malloc") / "failing_malloc.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", HERE / "native/failing_malloc.c", "-o", shared], check=True)
    return shared


# Without Python's own allocator, its objects are allocated by malloc too and fail in their turn.
@pytest.mark.parametrize("python_malloc", ["pymalloc", "malloc"])
def test_each_allocation_fails_in_turn(failing_malloc, python_malloc):
    environment = {"LD_PRELOAD": str(failing_malloc), "PYTHONMALLOC": python_malloc, "FASTCONV_NUM_THREADS": "1"}
    # Counting its lines would need memory too.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, HERE / "out_of_memory.py"], env=inherited | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(" ", 2) for line in done.stdout.splitlines()]
    assert len(lines) >= 25
    for name, allocations, errors in lines:
        assert int(errors) > 0 or name == "empty_cache", f"none of {allocations} allocations of {name} failed"
