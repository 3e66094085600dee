"""Models to and from ONNX files, by the onnx package.

:func:`export` records one forward pass (``trace.py``), and has each function written as operators (``graph.py``,
``writers/``). :func:`load` makes a Module of a file, whose nodes are computed by functions (``nodes.py``,
``readers/``).
"""

from .exporting import TrainingMode, export
from .loading import Network, load

__all__ = ["Network", "TrainingMode", "export", "load"]
