"""A classifier of texts that reads them word by word: an embedding, and a recurrent cell."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy.data import text
from nnstudy.models import embedding, initializers
from nnstudy.spec.values import Count


class Recurrent(embedding.TextNet):
    """A vector for each token, a long short-term memory (LSTM) that reads them, and dense layers.

    The dense layers get the state after the last token (Hochreiter and Schmidhuber, Neural
    Computation 9(8), 1997; with a forget gate). Padding is a token like any other, so it matters on
    which side it is: behind a text it is what the cell has read last. `kernel_init` is of the
    cell's input kernels too; its recurrent kernels are orthogonal.

    Attributes:
      state_width: size of the cell's state, H.
      masked: whether padding is passed over, on whichever side it is; of an empty text the state is
        zero, as before the first token.
    """

    state_width: Count = 32
    masked: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        tokens = self.tokens(x)
        is_word = tokens != text.PADDING
        lengths = is_word.sum(axis=1) if self.masked else None
        if self.masked:  # the words first, in their order: the cell stops after the last of them
            order = jnp.argsort(~is_word, axis=1, stable=True)
            tokens = jnp.take_along_axis(tokens, order, axis=1)
        x = self.vectors(tokens)  # [B, T, D]
        cell = nn.LSTMCell(
            self.state_width,
            kernel_init=initializers.layer(self.kernel_init, fan_in=self.width)['kernel_init'],
            param_dtype=x.dtype,
        )
        (_, x), _ = nn.RNN(cell, return_carry=True)(x, seq_lengths=lengths)  # [B, H]
        if self.masked:
            x = jnp.where(is_word.any(axis=1, keepdims=True), x, 0)
        return self.head(x, self.activation, train)


MODELS = {'recurrent': Recurrent}
