"""``torch.utils.model_zoo``, what :mod:`fastconv.hub` was before."""

from ..hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
