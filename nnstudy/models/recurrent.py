"""A classifier of texts that reads them word by word: an embedding, and a recurrent cell."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy.data import text
from nnstudy.models import embedding, initializers, layers
from nnstudy.spec.ranges import Count


class Recurrent(nn.Module):
    """A vector for each token, a long short-term memory (LSTM) that reads them, and dense layers.

    Inputs are token ids `[B, T]` in [0, num_tokens), see `nnstudy.data.text`. The dense layers get
    the state after the last token (Hochreiter and Schmidhuber, Neural Computation 9(8), 1997; with
    a forget gate). Padding is a token like any other, so it matters on which side it is: behind a
    text it is what the cell has read last.

    Attributes:
      num_outputs: width of the last layer.
      num_tokens: number of different tokens, the padding included.
      width: size of the vectors, D.
      state_width: size of the cell's state, H.
      masked: whether padding is passed over, on whichever side it is; of an empty text the state is
        zero, as before the first token.
      dense_widths: widths of the hidden dense layers.
      activation: of the hidden dense layers.
      kernel_init: name of the initialiser of the dense layers and of the cell's input kernels, see
        nnstudy.models.initializers; its recurrent kernels are orthogonal.
    """

    num_outputs: int
    num_tokens: int
    width: Count = 16
    state_width: Count = 32
    masked: bool = False
    dense_widths: tuple[Count, ...] = ()
    activation: str = 'relu'
    kernel_init: str = 'glorot_uniform'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        tokens = embedding.check_tokens(self, x)
        is_word = tokens != text.PADDING
        lengths = is_word.sum(axis=1) if self.masked else None
        if self.masked:  # the words first, in their order: the cell stops after the last of them
            order = jnp.argsort(~is_word, axis=1, stable=True)
            tokens = jnp.take_along_axis(tokens, order, axis=1)
        x = embedding.vectors(tokens, self.num_tokens, self.width)  # [B, T, D]
        cell = nn.LSTMCell(
            self.state_width,
            kernel_init=initializers.layer(self.kernel_init, fan_in=self.width)['kernel_init'],
            param_dtype=x.dtype,
        )
        (_, x), _ = nn.RNN(cell, return_carry=True)(x, seq_lengths=lengths)  # [B, H]
        if self.masked:
            x = jnp.where(is_word.any(axis=1, keepdims=True), x, 0)
        for width in self.dense_widths:
            x = layers.dense(x, width, activation=self.activation, kernel_init=self.kernel_init)
        return layers.dense(x, self.num_outputs, kernel_init=self.kernel_init)
