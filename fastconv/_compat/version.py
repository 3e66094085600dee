"""``torch.version``: the torch whose names and answers these are, and that there is no GPU."""

__all__ = ["__version__", "cuda", "hip", "xpu"]

__version__ = "2.13.0"
cuda = hip = xpu = None
