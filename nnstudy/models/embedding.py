"""Classifiers of texts: a vector for each word, pooled over the text."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy import errors
from nnstudy.data import text
from nnstudy.models import layers
from nnstudy.spec.values import Count


class TextNet(layers.DenseHead, kw_only=True):
    """A network for texts, rows `[B, T]` of token ids in [0, num_tokens), see `nnstudy.data.text`.

    Attributes:
      num_tokens: number of different tokens, the padding included.
      width: size of the vectors, D.
      activation: of the hidden dense layers.
    """

    num_tokens: int
    width: Count = 16
    activation: str = 'relu'

    def tokens(self, x: jax.Array) -> jax.Array:
        """Returns the token ids, int32 `[B, T]`; raises UserError if x cannot be rows of some."""
        if x.ndim != 2:
            raise errors.UserError(
                f'{type(self).__name__} takes texts of at least 1 token, [B, T], not inputs of '
                f'shape {x.shape[1:]}'
            )
        return x.astype(jnp.int32)

    def vectors(self, tokens: jax.Array) -> jax.Array:
        """Returns a learnt vector for each token, `[B, T]` -> `[B, T, D]`."""
        return nn.Embed(self.num_tokens, self.width, embedding_init=_uniform)(tokens)


class Embedding(TextNet):
    """A vector for each token, pooling over the text, and dense layers.

    Attributes:
      pooling: 'mean' or 'max' over the tokens of a text that are not padding, `[B, D]`, zero for an
        empty text; or 'flatten', where each place in the text has weights of its own, `[B, T * D]`,
        and padding is a token like any other.
    """

    pooling: Literal['mean', 'max', 'flatten'] = 'mean'
    dense_widths: tuple[Count, ...] = (16,)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        tokens = self.tokens(x)
        x = self.vectors(tokens)
        is_word = (tokens != text.PADDING)[..., None]
        if self.pooling == 'mean':
            x = x.sum(axis=1, where=is_word) / jnp.maximum(is_word.sum(axis=1), 1)
        elif self.pooling == 'max':
            x = jnp.where(is_word, x, -jnp.inf).max(axis=1)
            x = jnp.where(is_word.any(axis=1), x, 0)
        return self.head(x, self.activation, train)


def _uniform(key, shape, dtype):
    return jax.random.uniform(key, shape, dtype, -0.05, 0.05)  # as Keras does


MODELS = {'embedding': Embedding}
