"""Multi-layer perceptrons."""

import jax
from flax import linen as nn

from nnstudy import errors
from nnstudy.models import initializers


class MLP(nn.Module):
    """Dense layers on the flattened input.

    Attributes:
      num_outputs: width of the last layer.
      widths: widths of the hidden layers; `()` is linear (softmax) regression.
      activation: of the hidden layers; one name, or a tuple with one name a layer.
      output_activation: of the last layer; None for logits or a linear output.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    widths: tuple[int, ...] = (64, 64)
    activation: str | tuple[str, ...] = 'relu'
    output_activation: str | None = None
    kernel_init: str = 'glorot_uniform'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not all(type(width) is int and width > 0 for width in self.widths):
            raise errors.UserError(
                f'config.model.widths must be positive whole numbers, not {self.widths!r}'
            )
        names = self.activation
        if isinstance(names, str):
            names = (names,) * len(self.widths)
        if len(names) != len(self.widths):
            raise errors.UserError(
                f'config.model.activation must be one name or one for each of the '
                f'{len(self.widths)} hidden layers, not {self.activation!r}'
            )
        x = x.reshape(x.shape[0], -1)
        for width, name in zip(self.widths, names, strict=True):
            x = nn.Dense(width, **initializers.layer(self.kernel_init, x.shape[-1]))(x)
            x = initializers.activation(name)(x)
        x = nn.Dense(self.num_outputs, **initializers.layer(self.kernel_init, x.shape[-1]))(x)
        return initializers.activation(self.output_activation or 'identity')(x)
