"""A classifier of texts: an embedding of the words, pooled over the text."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy import errors
from nnstudy.data import text
from nnstudy.models import layers
from nnstudy.spec.ranges import Count


class Embedding(nn.Module):
    """A vector for each token, pooling over the text, and dense layers.

    Inputs are token ids `[B, T]` in [0, num_tokens), see `nnstudy.data.text`.

    Attributes:
      num_outputs: width of the last layer.
      num_tokens: number of different tokens, the padding included.
      width: size of the vectors, D.
      pooling: 'mean' or 'max' over the tokens of a text that are no padding, `[B, D]`, zero for an
        empty text; or 'flatten', where each place in the text has weights of its own, `[B, T * D]`,
        and padding is a token like any other.
      dense_widths: widths of the hidden dense layers.
      activation: of the hidden dense layers.
      kernel_init: name of the dense layers' initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    num_tokens: int
    width: Count = 16
    pooling: Literal['mean', 'max', 'flatten'] = 'mean'
    dense_widths: tuple[Count, ...] = (16,)
    activation: str = 'relu'
    kernel_init: str = 'glorot_uniform'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        tokens = check_tokens(self, x)
        x = vectors(tokens, self.num_tokens, self.width)
        is_word = (tokens != text.PADDING)[..., None]
        if self.pooling == 'mean':
            x = x.sum(axis=1, where=is_word) / jnp.maximum(is_word.sum(axis=1), 1)
        elif self.pooling == 'max':
            x = jnp.where(is_word, x, -jnp.inf).max(axis=1)
            x = jnp.where(is_word.any(axis=1), x, 0)
        else:
            x = x.reshape(x.shape[0], -1)
        for width in self.dense_widths:
            x = layers.dense(x, width, activation=self.activation, kernel_init=self.kernel_init)
        return layers.dense(x, self.num_outputs, kernel_init=self.kernel_init)


def check_tokens(module: nn.Module, x: jax.Array) -> jax.Array:
    """Returns token ids, int32 `[B, T]`; raises UserError if x cannot be rows of some."""
    if x.ndim != 2:
        raise errors.UserError(
            f'{type(module).__name__} takes texts of at least 1 token, [B, T], not inputs of shape '
            f'{x.shape[1:]}'
        )
    return x.astype(jnp.int32)


def vectors(tokens: jax.Array, num_tokens: int, width: int) -> jax.Array:
    """Returns a learnt vector for each token `[B, T]` -> `[B, T, width]`, see `layers`."""
    return nn.Embed(num_tokens, width, embedding_init=_uniform)(tokens)


def _uniform(key, shape, dtype):
    return jax.random.uniform(key, shape, dtype, -0.05, 0.05)  # as Keras does
