"""All that is compiled: CONTRIBUTING.md has the map."""

from importlib.util import find_spec as _find_spec

# Python started in a clone finds these sources before the package that pip installed.
if _find_spec(f"{__name__}.runtime") is None:
    raise ImportError(
        f"{__path__[0]} holds the sources of fastconv, not compiled for this Python. Either start Python in another "
        "folder, where it finds the fastconv that pip installed, or compile here, with: pip install -e ."
    )
