"""Attention of several heads, and a transformer of it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..checks import integer, number
from ..creation import empty, full, zeros
from ..functions import cat, triu, where
from . import functional as F
from . import init
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalisation import LayerNorm
from .parameter import Parameter, parameter_dtype

__all__ = [
    "MultiheadAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


class NonDynamicallyQuantizableLinear(Linear):
    """A :class:`Linear` under the name that torch shows for it here."""


class MultiheadAttention(Module):
    """Attention of several heads side by side (Vaswani et al., 2017).

    Parameters
    ----------
    embed_dim, num_heads : int
        Each head takes embed_dim / num_heads of the features.
    dropout : float
        Of the attention, in training.
    bias : bool
        Whether the projections learn biases.
    add_bias_kv : bool
        Whether one more key and value, the same for all images, are learned.
    add_zero_attn : bool
        Whether there are one more key and value of zeros.
    kdim, vdim : int, optional
        Features of keys and values; embed_dim by default.
    batch_first : bool
        Take and return (N, L, features) instead of (L, N, features).
    device, dtype
        Of the parameters.

    Attributes
    ----------
    in_proj_weight : Parameter (3 embed_dim, embed_dim), or None with kdim or vdim
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter, or None without
    in_proj_bias : Parameter (3 embed_dim,) or None
    bias_k, bias_v : Parameter (1, 1, embed_dim), or None without add_bias_kv
    out_proj : Linear
    """

    add_zero_attn: bool
    dropout: Any
    embed_dim: int
    head_dim: int
    kdim: int
    num_heads: int
    out_proj: NonDynamicallyQuantizableLinear
    vdim: int

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.embed_dim = e = integer(embed_dim, "embed_dim", 1)
        self.num_heads = integer(num_heads, "num_heads", 1)
        self.kdim = e if kdim is None else integer(kdim, "kdim", 1)
        self.vdim = e if vdim is None else integer(vdim, "vdim", 1)
        self.dropout = number(dropout, "dropout", 0, 1)
        self.batch_first = batch_first
        self.head_dim = e // num_heads
        if self.head_dim * num_heads != e:
            raise AssertionError(f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}")
        dtype = parameter_dtype(device, dtype)
        same = self.kdim == self.vdim == e
        sizes = {"q": (e, e), "k": (e, self.kdim), "v": (e, self.vdim)}
        self.register_parameter("in_proj_weight", Parameter(empty(3 * e, e, dtype=dtype)) if same else None)
        for name, size in sizes.items():
            self.register_parameter(f"{name}_proj_weight", None if same else Parameter(empty(*size, dtype=dtype)))
        self.register_parameter("in_proj_bias", Parameter(empty(3 * e, dtype=dtype)) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(e, e, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, e, dtype=dtype)) if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _projections(self) -> tuple[list[Tensor], list[Tensor | None]]:
        e = self.embed_dim
        if self.in_proj_weight is None:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        else:
            weights = [self.in_proj_weight[i * e : (i + 1) * e] for i in range(3)]
        bias = self.in_proj_bias
        return weights, [None if bias is None else bias[i * e : (i + 1) * e] for i in range(3)]

    def _more(self, heads: Tensor, bias: Tensor | None) -> Tensor:
        """Keys or values (N, num_heads, S, head_dim) with those that are always there."""
        size = heads.shape[0], self.num_heads, 1, self.head_dim
        if bias is not None:
            heads = cat([heads, bias.reshape(1, *size[1:]).expand(*size)], 2)
        return cat([heads, zeros(*size, dtype=heads.dtype)], 2) if self.add_zero_attn else heads

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """What the queries find.

        Parameters
        ----------
        query : (L, N, embed_dim) or (L, embed_dim)
        key : (S, N, kdim) or (S, kdim)
        value : (S, N, vdim) or (S, vdim)
        key_padding_mask : (N, S) or (S,), optional
            Bools that are True for keys to be left out, or floats that are added.
        need_weights : bool
            Also return the attention.
        attn_mask : (L, S) or (N * num_heads, L, S), optional
            The same for pairs of queries and keys.
        average_attn_weights : bool
            Return its mean over the heads.
        is_causal : bool
            A hint that attn_mask is the causal one, which must be given.

        Returns
        -------
        output : of the query's size
        attention : (N, L, S), (N, num_heads, L, S) or without N; or None
        """
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise AssertionError(
                "query should be unbatched 2D or batched 3D tensor, and key and value as it, but received "
                f"{query.ndim}-D query, {key.ndim}-D key and {value.ndim}-D value"
            )
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        single = query.ndim == 2
        if single:
            q, k, v = (t.unsqueeze(0) for t in (query, key, value))
        else:
            q, k, v = (t if self.batch_first else t.transpose(0, 1) for t in (query, key, value))
        n, length, source = q.shape[0], q.shape[1], k.shape[1]
        heads = [
            F.linear(t, w, b).reshape(n, -1, self.num_heads, self.head_dim).transpose(1, 2)
            for t, w, b in zip((q, k, v), *self._projections(), strict=True)
        ]
        mask = None if attn_mask is None else _additive(attn_mask, q)
        if mask is not None and mask.ndim == 3:
            mask = mask.reshape(n, self.num_heads, length, source)
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask, q).reshape(n, 1, 1, source)
            mask = padding if mask is None else mask + padding
        heads[1], heads[2] = self._more(heads[1], self.bias_k), self._more(heads[2], self.bias_v)
        if mask is not None:
            mask = F.pad(mask, (0, heads[1].shape[2] - source))
        dropped = self.dropout if self.training else 0.0
        attention = None
        if need_weights:
            scores = (heads[0] * self.head_dim**-0.5) @ heads[1].transpose(-2, -1)
            attention = F.softmax(scores if mask is None else scores + mask, -1)
            attention = F.dropout(attention, dropped, bool(dropped))
            found = attention @ heads[2]
            attention = attention.mean(1) if average_attn_weights else attention
        else:
            found = F.scaled_dot_product_attention(*heads, mask, dropped)
        output = self.out_proj(found.transpose(1, 2).reshape(n, length, self.embed_dim))
        if single:
            return output.squeeze(0), None if attention is None else attention.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), attention


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as floats that are added: bools say what is left out."""
    if mask.dtype == np.bool_:
        return where(mask, full((), -np.inf, dtype=like.dtype), full((), 0, dtype=like.dtype))
    if mask.dtype.kind != "f":
        raise AssertionError(f"only bool and floating types of masks are supported, got {mask.dtype}")
    return mask.to(like.dtype)


def _activation(activation: Any) -> Any:
    """The function that a name stands for, or a callable itself."""
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return getattr(F, activation)


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, and two linear layers, each with a shortcut and layer norm.

    Parameters
    ----------
    d_model, nhead : int
        Features and heads.
    dim_feedforward : int
        Features between the two linear layers.
    dropout : float
    activation : {"relu", "gelu"} or callable
        Between them.
    layer_norm_eps : float
    batch_first : bool
        Take and return (N, L, features) instead of (L, N, features).
    norm_first : bool
        Normalise before, instead of after, each of the two.
    bias : bool
        Whether biases are learned.
    device, dtype
        Of the parameters.
    """

    dropout: Dropout
    dropout1: Dropout
    dropout2: Dropout
    linear1: Linear
    linear2: Linear
    norm1: LayerNorm
    norm2: LayerNorm
    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **place)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(L, N, d_model) to the same; masks as of :class:`MultiheadAttention`."""

        def attend(x):
            y, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
            return self.dropout1(y)

        def feed(x):
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + feed(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + feed(x))


class TransformerEncoder(Module):
    """Layers one after the other, each a copy of the given one.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
    num_layers : int
    norm : Module, optional
        Applied to the result.
    enable_nested_tensor, mask_check : bool
        Say how torch computes padded sequences; here they do nothing.
    """

    layers: ModuleList
    norm: Module | None

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.num_layers = integer(num_layers, "num_layers")
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """(L, N, d_model) to the same; masks as of :class:`MultiheadAttention`."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoderLayer(Module):
    """Attention of a sequence to itself and to another, and two linear layers, each with a shortcut and layer norm.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype
        As of :class:`TransformerEncoderLayer`.
    """

    dropout: Dropout
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout
    linear1: Linear
    linear2: Linear
    multihead_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **place)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **place)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """(L, N, d_model), with `memory` (S, N, d_model), to the same; masks as of :class:`MultiheadAttention`."""

        def attend(x):
            y, _ = self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)
            return self.dropout1(y)

        def remember(x):
            y, _ = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal
            )
            return self.dropout2(y)

        def feed(x):
            return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = tgt + attend(self.norm1(tgt))
            x = x + remember(self.norm2(x))
            return x + feed(self.norm3(x))
        x = self.norm1(tgt + attend(tgt))
        x = self.norm2(x + remember(x))
        return self.norm3(x + feed(x))


class TransformerDecoder(Module):
    """Layers one after the other, each a copy of the given one.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer
    num_layers : int
    norm : Module, optional
        Applied to the result.
    """

    layers: ModuleList
    norm: Module | None

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.num_layers = integer(num_layers, "num_layers")
        self.layers = ModuleList([copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """(L, N, d_model), with `memory` (S, N, d_model), to the same; masks as of :class:`MultiheadAttention`."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder of one sequence and a decoder of another that attends to its result (Vaswani et al., 2017).

    Parameters
    ----------
    d_model, nhead : int
        Features and heads.
    num_encoder_layers, num_decoder_layers : int
    dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype
        As of :class:`TransformerEncoderLayer`.
    custom_encoder, custom_decoder : Module, optional
        In the place of those that are made.
    """

    decoder: Module
    encoder: Module

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*sizes, **place)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm)
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*sizes, **place)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm)
        self.decoder = custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """(S, N, d_model) and (L, N, d_model) to the latter; masks as of :class:`MultiheadAttention`."""
        batch = 0 if self.batch_first else 1
        if src.ndim == tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(
                f"the batch number of src and tgt must be equal, got {list(src.shape)} and {list(tgt.shape)}"
            )
        if not src.shape[-1] == tgt.shape[-1] == self.d_model:
            raise RuntimeError(
                f"the feature number of src and tgt must be equal to d_model={self.d_model}, got {list(src.shape)} and "
                f"{list(tgt.shape)}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """A mask (sz, sz) by which no element attends to a later one: -inf above the diagonal, and else 0."""
        return triu(full((sz, sz), -np.inf, dtype=dtype, device=device), 1)
