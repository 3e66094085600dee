"""The methods of tensors, a class a family; :class:`fastconv.Tensor` is made of them.

What is also a function of the package is computed in :mod:`fastconv.functions`.
"""

from .arithmetic import Arithmetic
from .conversion import Conversion
from .draws import Draws
from .elementary import Elementary
from .elements import Elements
from .operators import Operators
from .reductions import Reductions
from .shapes import Shapes

__all__ = ["Arithmetic", "Conversion", "Draws", "Elementary", "Elements", "Operators", "Reductions", "Shapes"]
