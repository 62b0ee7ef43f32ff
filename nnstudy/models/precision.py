"""The precision of a network's arithmetic. Parameters and what is made of outputs stay float32."""

from typing import Any

import jax
import jax.numpy as jnp

from nnstudy.models import Model, Variables
from nnstudy.spec.fields import Precision


def within(model: Model, precision: Precision | None) -> Model:
    """Returns the model with arithmetic of a precision.

    TensorFloat-32 has products of numbers with 10 bits after the point, added up in float32. With
    bfloat16 parameters and activations are rounded to 7 bits, and statistics of a layer are not.
    None leaves products as JAX has them on the device.
    Variables and outputs are float32 in any case, and so are their gradients, the statistics of
    batches and the loss.
    """

    def rounded(tree: Any) -> Any:
        if precision != 'bfloat16':
            return tree
        return jax.tree.map(
            lambda leaf: leaf.astype(jnp.bfloat16) if leaf.dtype == jnp.float32 else leaf, tree
        )

    def apply(variables: Variables, x: jax.Array, **options: Any) -> tuple[jax.Array, Variables]:
        inner = {**variables, 'params': rounded(variables['params'])}
        # It says what XLA may do to the products of float32; their gradients keep it.
        with jax.default_matmul_precision('float32' if precision == 'bfloat16' else precision):
            outputs, updates = model.apply(inner, rounded(x), **options)
        updates = {
            name: jax.tree.map(lambda new, old: new.astype(old.dtype), update, variables[name])
            for name, update in updates.items()
        }
        return outputs.astype(jnp.float32), updates

    return Model(model.init, apply)
