"""What is said where the package cannot be built, or was not."""

import os
import shutil
import subprocess
import sys
import textwrap
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


def run_python(*arguments, cwd, **variables):
    """Python in a process of its own, with the modules that there are here."""
    path = os.pathsep.join([str(variables.pop("first", Path(fastconv.__file__).parents[1])), *sys.path])
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | {"PYTHONPATH": path})


@pytest.mark.parametrize("options", ["-W error", "-X dev -W error", "-O", "-OO"], ids=str)
def test_import_with_pythons_options(tmp_path, options):
    modules = "fastconv, fastconv.nn, fastconv.vision, fastconv.pytorch, fastconv.app.cli"
    code = f"import sys; sys.path[:] = {sys.path!r}; import {modules}; print(fastconv.ones(2, 3).sum().item())"
    done = run_python(*options.split(), "-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("6.0\n", "")


def interpreters():
    try:
        import _interpreters
    except ImportError:
        return pytest.importorskip("_xxsubinterpreters").__name__
    return _interpreters.__name__


@pytest.mark.parametrize("first", [True, False], ids=["in the main interpreter before", "in none before"])
def test_subinterpreters_are_refused(tmp_path, first):
    code = f"""
        import {interpreters()} as interpreters
        {"import fastconv" if first else ""}
        one = interpreters.create()
        try:
            problem = interpreters.run_string(one, "import fastconv")
        except Exception as error:
            problem = error
        print(problem)
        import fastconv
        print(fastconv.ones(2).sum().item())
    """
    done = run_python("-c", textwrap.dedent(code), cwd=tmp_path)
    assert "fastconv works in Python's main interpreter only" in done.stdout
    assert done.stdout.splitlines()[-1] == "2.0"


@pytest.mark.parametrize("change", ["numpy.__version__ = '1.26.4'", "sys.version_info = (3, 10, 13, 'final', 0)"])
def test_old_versions_are_refused_in_a_sentence(tmp_path, change):
    done = run_python("-c", f"import numpy, sys; {change}; import fastconv", cwd=tmp_path)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(
        f"ImportError: fastconv needs {'NumPy 2.0' if 'numpy.' in change else 'Python 3.11'} or later"
    )


@pytest.mark.parametrize("name, words", [("numpy", 'pip install "numpy>=2"'), ("Cython", '"Cython>=3.1"')])
def test_building_with_what_is_too_old_or_missing(tmp_path, name, words):
    """A package of that name that stands before the real one."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools", "77")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("__version__ = '1.26.4'")
    done = run_python("setup.py", "build_ext", cwd=ROOT, first=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
