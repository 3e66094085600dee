"""``torch.backends.cuda``: flags of products on a GPU. They are kept, and change nothing."""

from types import SimpleNamespace

from .mps import is_built

__all__ = ["is_built", "matmul"]

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=True)
