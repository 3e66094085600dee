"""Weight norm and spectral norm, by torch.nn.utils.parametrizations' names."""

from .norms import parametrized_spectral_norm as spectral_norm
from .norms import parametrized_weight_norm as weight_norm

__all__ = ["spectral_norm", "weight_norm"]
