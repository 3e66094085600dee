"""All that is compiled: CONTRIBUTING.md has the map.

What it cannot run with is told here, in a sentence, before an import below would fail in its own words.
"""

import sys as _sys
from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec

if _sys.version_info < (3, 11):  # noqa: UP036  (who runs the sources, which pip did not install)
    raise ImportError("fastconv needs Python 3.11 or later; this is Python " + _sys.version.split()[0])

# Python started in a clone finds these sources before the package that pip installed.
if _find_spec(f"{__name__}.runtime") is None:
    raise ImportError(
        f"{__path__[0]} holds the sources of fastconv, not compiled for this Python. Either start Python in another "
        "folder, where it finds the fastconv that pip installed, or compile here, with: pip install -e ."
    )

for _name in ("_interpreters", "_xxsubinterpreters"):  # Python's own modules, by their names since 3.13 and before
    try:
        _interpreters = _import_module(_name)
    except ImportError:
        continue
    if _interpreters.get_current() != _interpreters.get_main():
        raise ImportError(
            "fastconv works in Python's main interpreter only, and this is a subinterpreter: its compiled modules keep "
            "threads and memory for the whole process. Use processes instead; under mod_wsgi, set "
            "WSGIApplicationGroup %{GLOBAL}."
        )
    break

import numpy as _numpy  # noqa: E402  (after the sentences above)

if int(_numpy.__version__.split(".")[0]) < 2:
    raise ImportError(
        f"fastconv needs NumPy 2.0 or later; {_numpy.__path__[0]} holds {_numpy.__version__}. "
        "Get a newer one with: pip install -U numpy"
    )
