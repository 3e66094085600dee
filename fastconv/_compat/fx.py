"""``torch.fx.wrap``, with which model libraries mark functions for a tracer that is not here."""

__all__ = ["wrap"]


def wrap(fn_or_name):
    """`fn_or_name` itself."""
    return fn_or_name
