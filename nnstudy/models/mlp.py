"""Linear models and multi-layer perceptrons."""

import jax
from flax import linen as nn

from nnstudy import errors
from nnstudy.models import layers
from nnstudy.spec.values import Count, DropRate


class Linear(layers.Net):
    """A linear function of the flattened input: softmax, logistic or linear regression."""

    output_activation: str | None = None  # of the outputs; None for logits or a linear output

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        return self.dense(x, self.num_outputs, activation=self.output_activation or 'identity')


class MLP(layers.NormedNet):
    """Dense layers on the flattened input."""

    widths: tuple[Count, ...] = (64, 64)  # widths of the hidden layers; `()` makes it linear
    # Of the hidden layers; one name, or a tuple with one name a layer.
    activation: str | tuple[str, ...] = 'relu'
    output_activation: str | None = None  # of the last layer; None for logits or a linear output
    dropout: DropRate | None = None  # rate after each hidden layer; None for none

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, mask: layers.Mask = None) -> jax.Array:
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
        norm = self.norm(train, mask)
        x = x.reshape(x.shape[0], -1)
        for width, name in zip(self.widths, names, strict=True):
            x = self.dense(x, width, activation=name, norm=norm)
            x = self.drop(x, self.dropout, train)
        return self.dense(x, self.num_outputs, activation=self.output_activation or 'identity')


MODELS = {'linear': Linear, 'mlp': MLP}
