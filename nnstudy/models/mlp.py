"""Linear models and multi-layer perceptrons."""

import functools
from typing import Literal

import jax
from flax import linen as nn

from nnstudy import errors
from nnstudy.models import layers
from nnstudy.spec.ranges import Count, DropRate, Fraction, NonNegative


class Linear(nn.Module):
    """A linear function of the flattened input: softmax, logistic or linear regression.

    Attributes:
      num_outputs: number of outputs.
      output_activation: of the outputs; None for logits or a linear output.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    output_activation: str | None = None
    kernel_init: str = 'glorot_uniform'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        activation = self.output_activation or 'identity'
        return layers.dense(
            x, self.num_outputs, activation=activation, kernel_init=self.kernel_init
        )


class MLP(nn.Module):
    """Dense layers on the flattened input.

    Attributes:
      num_outputs: width of the last layer.
      widths: widths of the hidden layers; `()` makes it linear.
      activation: of the hidden layers; one name, or a tuple with one name a layer.
      output_activation: of the last layer; None for logits or a linear output.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
      batch_norm: of the hidden layers, 'before' or 'after' the activation; None for none.
      batch_norm_momentum: None for 0.9; see nnstudy.models.layers.Norm.
      batch_norm_epsilon: None for 1e-5.
      dropout: rate after each hidden layer; None for none.
    """

    num_outputs: int
    widths: tuple[Count, ...] = (64, 64)
    activation: str | tuple[str, ...] = 'relu'
    output_activation: str | None = None
    kernel_init: str = 'glorot_uniform'
    batch_norm: Literal['before', 'after'] | None = None
    batch_norm_momentum: Fraction | None = None
    batch_norm_epsilon: NonNegative | None = None
    dropout: DropRate | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        for field in ('batch_norm', 'dropout'):
            if not self.widths and getattr(self, field) is not None:
                raise errors.UserError(
                    f'config.model.{field} is for hidden layers, and config.model.widths is ()'
                )
        names = self.activation
        if isinstance(names, str):
            names = (names,) * len(self.widths)
        if len(names) != len(self.widths):
            raise errors.UserError(
                f'config.model.activation must be one name or one for each of the '
                f'{len(self.widths)} hidden layers, not {self.activation!r}'
            )
        norm = layers.norm_of(self, train, mask)
        dense = functools.partial(layers.dense, kernel_init=self.kernel_init)
        x = x.reshape(x.shape[0], -1)
        for width, name in zip(self.widths, names, strict=True):
            x = dense(x, width, activation=name, norm=norm)
            x = layers.dropout(self, x, self.dropout, train)
        return dense(x, self.num_outputs, activation=self.output_activation or 'identity')
