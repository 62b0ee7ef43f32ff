"""What a trained run says of examples: `predict(results, run)`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnstudy import config as config_lib
from nnstudy import errors, hparams, losses, models, train
from nnstudy.data import device
from nnstudy.results import Results
from nnstudy.sweep import plan as plan_lib


class Predictions(NamedTuple):
    """The outputs of a run for N examples.

    Attributes:
      inputs: as stored: [N, H, W, C] or [N, F], uint8 or float32; int32 [N, T] for texts.
      labels: int32 [N] (classification) or float32 [N, K] (regression).
      outputs: scores of the classes or numbers, float32 [N, K].
    """

    inputs: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """The predicted class of each example, int [N]."""
        return np.asarray(losses.predicted_class(jnp.asarray(self.outputs)))

    @property
    def probabilities(self) -> np.ndarray:
        """Of each class, where scores are logits: softmax, or sigmoid of one; float32 [N, K]."""
        if self.outputs.shape[-1] > 1:
            return np.asarray(jax.nn.softmax(self.outputs, axis=-1))
        positive = np.asarray(jax.nn.sigmoid(self.outputs))
        return np.concatenate([1 - positive, positive], axis=-1)


def predict(
    results: Results, run: int, split: str = 'test', which: str = 'best', num: int | None = None
) -> Predictions:
    """Returns what a run says of the examples of a split, in evaluation mode.

    Args:
      results: of the study, with the data set or the directory of its files.
      run: the run's number.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters at the `'best'` evaluation, or the `'final'` ones.
      num: of so many first examples; None for all.

    Raises:
      UserError: there is no such run, split or kind of parameters, or the data are not there.
    """
    variables = results.variables(run, which)
    apply, data = model_of(results, run)
    splits = dict(data.sizes)
    if split not in splits:
        raise errors.unknown('split', split, splits)
    names = list(splits)
    start = sum(splits[name] for name in names[: names.index(split)])
    rows = slice(start, start + min(splits[split], num or splits[split]))
    inputs, labels = np.asarray(data.inputs[rows]), np.asarray(data.labels[rows])
    batches = [
        np.asarray(apply(variables, inputs[i : i + train.EVAL_BATCH_SIZE]))
        for i in range(0, len(inputs), train.EVAL_BATCH_SIZE)
    ]
    return Predictions(inputs, labels, np.concatenate(batches))


def model_of(results: Results, run: int):
    """Returns `apply(variables, inputs) -> outputs` of a run's model, jitted, and its data.

    Inputs are as stored, outputs those of evaluation mode.
    """
    row = results.runs.loc[results.runs['run'] == run]
    if row.empty:
        raise errors.UserError(f'no run {run!r}: there are {len(results.runs)} runs')
    config = config_lib.unflatten(config_lib.flatten(results.config))
    point = results.points[int(row['point'].iloc[0])]
    plan = plan_lib.make(config, [point], data=results.data, data_dir=results.data_dir)
    group = plan.groups[0]
    data: device.Data = group.data
    values = hparams.from_config(group.config)
    training = train.make_training(group.config)
    model = models.make(training.model, **training.model_arguments(values, data))

    @jax.jit
    def apply(variables, inputs):
        return model.apply(variables, data.normalized(inputs), train=False, rng=None)[0]

    return apply, data
