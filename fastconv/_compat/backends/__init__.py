"""``torch.backends``: libraries that torch may compute with, and fastconv does not."""

from . import cuda, cudnn, mkl, mkldnn, mps

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps"]
