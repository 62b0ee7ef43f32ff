"""Classifiers of texts: a vector for each word, which are pooled, or read by a recurrent cell."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy.data import text
from nnstudy.models import layers
from nnstudy.spec.values import Count


class TextNet(layers.DenseHead, kw_only=True):
    """A network for texts: `[B, T]` token ids below `num_tokens`, see `nnstudy.data.text`."""

    num_tokens: int  # number of different tokens, the padding included
    width: Count = 16  # size of the vectors, D
    activation: str = 'relu'  # of the hidden dense layers

    def vectors(self, tokens: jax.Array) -> jax.Array:
        """Returns a learnt vector for each token, `[B, T]` -> `[B, T, D]`, at first as in Keras."""
        uniform = functools.partial(jax.random.uniform, minval=-0.05, maxval=0.05)
        return nn.Embed(self.num_tokens, self.width, embedding_init=uniform)(tokens)


class Embedding(TextNet):
    """A vector for each token, pooling over the text, and dense layers."""

    # 'mean' or 'max' over the tokens of a text that are not padding, `[B, D]`, zero for an empty
    # text; or 'flatten', where each place in the text has weights of its own, `[B, T * D]`, and
    # padding is a token like any other.
    pooling: Literal['mean', 'max', 'flatten'] = 'mean'
    dense_widths: tuple[Count, ...] = (16,)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        tokens = x.astype(jnp.int32)
        x = self.vectors(tokens)
        is_word = (tokens != text.PADDING)[..., None]
        if self.pooling == 'mean':
            x = x.sum(axis=1, where=is_word) / jnp.maximum(is_word.sum(axis=1), 1)
        elif self.pooling == 'max':
            x = jnp.where(is_word, x, -jnp.inf).max(axis=1)
            x = jnp.where(is_word.any(axis=1), x, 0)
        return self.head(x, self.activation, train)


class Recurrent(TextNet):
    """A vector for each token, a long short-term memory (LSTM) that reads them, and dense layers.

    The dense layers get the state after the last token (Hochreiter and Schmidhuber, Neural
    Computation 9(8), 1997; with a forget gate). Padding is a token like any other, so it matters on
    which side it is: behind a text it is what the cell has read last. `kernel_init` is of the
    cell's input kernels too; its recurrent kernels are orthogonal.
    """

    state_width: Count = 32  # size of the cell's state, H
    # Whether padding is passed over, on whichever side it is; of an empty text the state is zero,
    # as before the first token.
    masked: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        tokens = x.astype(jnp.int32)
        is_word = tokens != text.PADDING
        lengths = is_word.sum(axis=1) if self.masked else None
        if self.masked:  # the words first, in their order: the cell stops after the last of them
            order = jnp.argsort(~is_word, axis=1, stable=True)
            tokens = jnp.take_along_axis(tokens, order, axis=1)
        x = self.vectors(tokens)  # [B, T, D]
        kernel_init = self.initializers(fan_in=self.width)['kernel_init']
        cell = nn.LSTMCell(self.state_width, kernel_init=kernel_init, param_dtype=x.dtype)
        (_, x), _ = nn.RNN(cell, return_carry=True)(x, seq_lengths=lengths)  # [B, H]
        if self.masked:
            x = jnp.where(is_word.any(axis=1, keepdims=True), x, 0)
        return self.head(x, self.activation, train)


MODELS = {'embedding': Embedding, 'recurrent': Recurrent}
