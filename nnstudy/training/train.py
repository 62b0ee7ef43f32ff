"""Training of ONE run, as pure functions: no runs axis, no files, no printing.

A `Training` holds what is static. Its functions take what each run has of its own:

    training = make_training(config)
    state = training.init(keys, hparams, data)
    state, outputs = training.segment(state, keys, hparams, data, start, stop, evaluate)

`make_train(config)` composes them to a whole training. Models, losses, optimizers and schedules
are called inside the traced code, with the run's hparams as arguments.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax
from ml_collections import ConfigDict

from nnstudy import errors, models
from nnstudy.data import augmentation
from nnstudy.data.device import Data
from nnstudy.spec import components
from nnstudy.spec import config as config_lib
from nnstudy.spec import hparams as hparams_lib
from nnstudy.training import (
    diagnostics,
    histograms,
    losses,
    metrics,
    optimizers,
    regularization,
    schedules,
)
from nnstudy.training import resolve as sections

EVAL_BATCH_SIZE = 256  # examples of one forward pass of an evaluation

Keys = dict[str, jax.Array]
HParams = Mapping[str, jax.Array | np.ndarray]


class Best(struct.PyTreeNode):
    """The variables at the best evaluation so far, by validation, or by test if there is none."""

    variables: Any
    score: jax.Array  # float32 [], the larger the better
    step: jax.Array  # int32 []


class TrainState(struct.PyTreeNode):
    """What a run carries from step to step.

    Attributes:
      variables: the model's, `'params'` among them.
      opt_state: state of the optax transform.
      schedule: state of the schedule, `()` for most.
      order: the order of the training examples in this epoch, int32 [num_train]; None where it is
        not shuffled. A function of the data key and the epoch, kept because sorting anew in every
        step would cost more than the step.
      loss_sum: sum of the examples' losses over the mini-batches since the last evaluation.
      num_examples: number of those examples.
      frozen_at: the step from which on nothing changes, because the loss was not finite or the
        run was stopped; -1 while it is alive.
      stopped: whether it was stopped, by target or patience (`config.stop`).
      best: see `Best`.
    """

    variables: Any
    opt_state: Any
    schedule: Any
    order: jax.Array | None
    loss_sum: jax.Array
    num_examples: jax.Array
    frozen_at: jax.Array
    stopped: jax.Array
    best: Best


def make_keys(seed: int | jax.Array, data_seed: int | jax.Array | None = None) -> Keys:
    """Returns the random keys of a run: `{'init': ..., 'data': ...}`, both from its seed.

    `jax.vmap(make_keys)` gives those of several runs. With `data_seed` the order of the data is
    that of another seed than the initial weights.
    """
    init_key, data_key = jax.random.split(jax.random.key(seed))
    if data_seed is not None:
        data_key = make_keys(data_seed)['data']
    return {'init': init_key, 'data': data_key}


def data_keys(keys: Keys) -> jax.Array:
    """Returns three keys of a run: of the order of examples, of each step, of augmentation."""
    return jax.random.split(keys['data'], 3)


@dataclasses.dataclass(frozen=True)
class Training:
    """The static part of training a run: equal ones are the same program.

    Attributes:
      config: static fields by dotted name.
      key: what they are compared by, see `nnstudy.spec.hparams.static_key`.
      model: what makes the model, see `nnstudy.models.make`.
      loss: see `nnstudy.training.losses`.
      optimizer: of optax, see `nnstudy.training.optimizers.make`.
      schedule: see `nnstudy.training.schedules`.
    """

    config: Mapping[str, Any] = dataclasses.field(compare=False)
    key: tuple[tuple[str, str], ...]
    model: Callable[..., Any]
    loss: Callable[..., jax.Array]
    optimizer: Callable[..., optax.GradientTransformation]
    schedule: Callable[..., schedules.Rate | schedules.Schedule]

    @property
    def is_library_code(self) -> bool:
        """Whether all components came with nnstudy or optax."""
        parts = (self.model, self.loss, self.optimizer, self.schedule)
        return all(components.is_library_code(part) for part in parts)

    def kept(self, function: Any) -> Callable[..., Any]:
        """Returns a `functools.lru_cache` function of a `Training` as it is to be called with this.

        A user's component may read a global that changes between two studies: what was made with
        one is not kept.
        """
        return function if self.is_library_code else function.__wrapped__

    def make_keys(self, seed: jax.Array) -> Keys:
        """Returns the random keys of the run with a seed, int [], see `config.data_seeds`."""
        num = self.config['data_seeds']
        return make_keys(seed) if num is None else make_keys(seed // num, seed % num)

    def init(self, keys: Keys, hparams: HParams, data: Data) -> TrainState:
        """Returns the state before the first step."""
        inputs = data.normalized(jnp.asarray(data.inputs[:1]))
        variables = dict(self._model(hparams, data).init(keys['init'], inputs))
        params = variables['params']
        if 'init_scale' in hparams:
            is_kernel = regularization.make_mask()(params)
            params = variables['params'] = jax.tree.map(
                lambda leaf, chosen: hparams['init_scale'] * leaf if chosen else leaf,
                params,
                is_kernel,
            )
        schedule = self._schedule(hparams, data)
        return TrainState(
            variables=variables,
            opt_state=self._optimizer(hparams, jnp.float32(0)).init(params),
            schedule=schedule.init(),
            order=jnp.arange(data.num_train) if self._shuffles(data) else None,
            loss_sum=jnp.float32(0),
            num_examples=jnp.float32(0),
            frozen_at=jnp.int32(-1),
            stopped=jnp.asarray(False),
            best=Best(variables, score=jnp.float32(-jnp.inf), step=jnp.int32(0)),
        )

    def segment(
        self,
        state: TrainState,
        keys: Keys,
        hparams: HParams,
        data: Data,
        start: jax.Array,
        stop: jax.Array,
        evaluate: jax.Array,
        log_size: int = 0,
    ) -> tuple[TrainState, dict[str, Any]]:
        """Trains from step `start` to before step `stop`, then evaluates if asked to.

        Args:
          state: after step `start - 1`.
          keys: see `make_keys`.
          hparams: the dynamic fields, float32 [] each.
          data: what to train and evaluate on.
          start: int32 [].
          stop: int32 []; both may be traced, one program serves segments of every length.
          evaluate: bool [].
          log_size: number of rows of the log of single steps; enough for `stop - start` steps at
            one row every `config.log_every_steps`.

        Returns:
          The state, and `{'metrics': ..., 'log': ..., 'is_over': ...}`: the metrics of the
          evaluation (NaN without one); batch loss and metric of single steps, float32 [log_size]
          each, the first of them for the first step of the segment that `log_every_steps` divides;
          and whether the run is frozen, bool []. A frozen run has NaN for what only training has.
        """
        log_every = self.config['log_every_steps'] or 1
        first_row = (start + log_every - 1) // log_every
        names = ('batch_loss', 'batch_' + metrics.metric_name(data.is_classification))
        empty = {name: jnp.full([log_size + 1], jnp.nan) for name in names if log_size}

        def body(step, carry):
            state, _, log = carry
            alive = state.frozen_at < 0
            state, loss, metric, of_grads = self.step(state, keys, hparams, data, step, stop)
            if log:
                # Steps that are not logged go to a last row, which is cut off.
                row = jnp.where(step % log_every == 0, step // log_every - first_row, log_size)
                row = jnp.where(step < stop, row, log_size)
                log = {
                    name: log[name].at[row].set(jnp.where(alive, value, jnp.nan))
                    for name, value in zip(names, (loss, metric), strict=True)
                }
            return state, of_grads, log

        carry = (state, self._of_no_grads(state.variables['params']), empty)
        # The evaluation before the first step has the gradient of that step, which is not taken.
        state, of_grads, log = lax.fori_loop(start, jnp.maximum(stop, 1), body, carry)

        def evaluated(state: TrainState):
            return self._evaluated(state, keys, hparams, data, stop, of_grads)

        def not_evaluated(state: TrainState):
            shapes = jax.eval_shape(evaluated, state)[1]
            return state, jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)

        state, row = lax.cond(evaluate, evaluated, not_evaluated, state)
        log = jax.tree.map(lambda rows: rows[:-1], log)
        return state, {'metrics': row, 'log': log, 'is_over': state.frozen_at >= 0}

    def evaluate(
        self, variables: models.Variables, hparams: HParams, data: Data
    ) -> dict[str, jax.Array]:
        """Returns loss and metrics of every split in evaluation mode, as float32 [] each.

        Metrics that are arrays stay arrays. The training split counts with its first
        `eval_train_examples`. One loop goes through the batches of all splits, so that the forward
        pass is compiled once.
        """
        model = self._model(hparams, data)
        measured = metrics.select(self.config['metrics'], data)
        # Numbers to predict are measured from the first label on, for sums of squares that do not
        # lose the digits in which large labels differ.
        origin = 0 if data.is_classification else jnp.asarray(data.labels[:1])

        def statistics(outputs: jax.Array, labels: jax.Array) -> list[jax.Array]:
            loss = self._loss(hparams, data, outputs, labels, train=False)
            shifted = self._predictions(data, outputs) - origin, labels - origin
            return [loss, *(metric.statistics(*shifted) for metric in measured.values())]

        total = sum(size for _, size in data.sizes)
        batch_size = min(EVAL_BATCH_SIZE, total)
        batches = []  # (split, first example that counts, first that does not)
        counts, begin = [], 0
        for split, (name, size) in enumerate(data.sizes):
            counts.append(size)
            if name == 'train':
                counts[-1] = min(size, self.config['eval_train_examples'] or size)
            end = begin + counts[-1]
            batches += [
                (split, low, min(low + batch_size, end)) for low in range(begin, end, batch_size)
            ]
            begin += size
        table = jnp.asarray(np.array(batches, np.int32))

        def body(sums, batch):
            split, low, high = batch
            # A slice that would pass the end is moved back; what does not count is masked.
            offset = jnp.minimum(low, total - batch_size)
            rows = offset + jnp.arange(batch_size)
            inputs = lax.dynamic_slice_in_dim(data.inputs, offset, batch_size)
            labels = lax.dynamic_slice_in_dim(data.labels, offset, batch_size)
            outputs, _ = model.apply(variables, data.normalized(inputs), train=False, rng=None)
            # As one array, because many small ones are slow to carry.
            parts = [part.reshape(batch_size, -1) for part in statistics(outputs, labels)]
            counted = ((rows >= low) & (rows < high))[:, None]
            added = jnp.where(counted, jnp.concatenate(parts, axis=1), 0).sum(axis=0)
            return sums.at[split].add(added), None

        one = jnp.zeros([1, losses.num_outputs(self.config['loss.name'], data)])
        shapes = [part.shape[1:] for part in jax.eval_shape(statistics, one, data.labels[:1])]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        sums, _ = lax.scan(body, jnp.zeros([len(counts), ends[-1]]), table)
        row = {}
        for (name, _), count, columns in zip(data.sizes, counts, sums, strict=True):
            loss, *parts = jnp.split(columns, ends[:-1])
            mean_loss = loss[0] / count
            row[f'{name}_loss'] = mean_loss
            for (metric, measure), part, shape in zip(
                measured.items(), parts, shapes[1:], strict=True
            ):
                value = measure.value(part.reshape(shape), jnp.float32(count))
                # Outputs that are not finite predict nothing, but argmax would say class 0.
                row[f'{name}_{metric}'] = jnp.where(jnp.isfinite(mean_loss), value, jnp.nan)
        return row

    def diagnose(
        self, variables: models.Variables, keys: Keys, hparams: HParams, data: Data
    ) -> dict[str, jax.Array]:
        """Returns the diagnostics that are asked for, float32 [], see `diagnostics`."""

        def objective(params, rows, mask):
            examples = data.inputs[rows], data.labels[rows], mask
            return self._objective(variables, hparams, data, *examples, rng=None)(params)[0]

        count = diagnostics.num_examples(self.config['diagnostic_examples'], data.num_train)
        key = jax.random.fold_in(keys['init'], 1)
        return {
            name: diagnostics.DIAGNOSTICS[name](objective, variables['params'], count, key)
            for name in self.config['diagnostics']
        }

    def step(
        self,
        state: TrainState,
        keys: Keys,
        hparams: HParams,
        data: Data,
        step: jax.Array,
        stop: jax.Array,
    ) -> tuple[TrainState, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Takes step number `step` of gradient descent.

        From `stop` on, and once the run is frozen, it changes nothing.

        Returns:
          The state; loss and metric of the mini-batch, float32 []; and, from the last step before
          `stop` on, what is measured of its gradient by name (before, zeros): the norm, float32 [],
          and histograms.
        """
        epoch, batch = jnp.divmod(step, steps_per_epoch(self.config, data.num_train))
        order_key, step_key, augmentation_key = data_keys(keys)
        if state.order is not None:
            order_key = jax.random.fold_in(order_key, epoch)
            order = lax.cond(
                batch == 0,
                lambda: jax.random.permutation(order_key, data.num_train),
                lambda: state.order,
            )
            state = state.replace(order=order)
        rows, inputs, labels, mask = self._batch(state.order, data, batch)
        if strengths := self._arguments('augmentation', hparams):
            inputs = inputs.astype(jnp.float32)
            inputs = augmentation.augment(
                augmentation_key, epoch, rows, inputs, strengths, data.max_value
            )

        rng = jax.random.fold_in(step_key, step)
        objective = self._objective(state.variables, hparams, data, inputs, labels, mask, rng)
        params = state.variables['params']
        (value, (loss, metric, updates)), grads = jax.value_and_grad(objective, has_aux=True)(
            params
        )
        rate = self._schedule(hparams, data).rate(state.schedule, jnp.asarray(step))

        def updated() -> tuple[Any, Any]:
            deltas, opt_state = self._optimizer(hparams, rate).update(
                grads,
                state.opt_state,
                params,
                value=value,
                grad=grads,
                value_fn=lambda params: objective(params)[0],
            )
            new_params = optax.apply_updates(params, deltas)
            penalties = self._arguments('regularization', hparams)
            if 'proximal_l1' in penalties:
                threshold = rate * penalties['proximal_l1']
                new_params = regularization.shrink(new_params, self._regularised(), threshold)
            return {**state.variables, 'params': new_params, **updates}, opt_state

        alive = (state.frozen_at < 0) & (step < stop)
        finite = jnp.isfinite(value)
        old = state.variables, state.opt_state
        if self.config['batch_size'] > 1:
            # One pass over parameters and moments less than with a choice element by element.
            variables, opt_state = lax.cond(alive & finite, updated, lambda: old)
        else:
            # The gradients are outer products, which the update makes as it needs them; a branch
            # would have them written out.
            variables, opt_state = _where(alive & finite, updated(), old)
        # Only an evaluation asks for it, and it takes a pass over all gradients.
        of_grads = lax.cond(
            step >= stop - 1, lambda: self._of_grads(grads), lambda: self._of_no_grads(grads)
        )
        num_examples = jnp.where(alive, len(inputs) if mask is None else mask.sum(), 0)
        state = state.replace(
            variables=variables,
            opt_state=opt_state,
            loss_sum=state.loss_sum + jnp.where(alive, loss * num_examples, 0),
            num_examples=state.num_examples + num_examples,
            frozen_at=jnp.where(alive & ~finite, step, state.frozen_at),
        )
        return state, loss, metric, of_grads

    def _evaluated(
        self,
        state: TrainState,
        keys: Keys,
        hparams: HParams,
        data: Data,
        step: jax.Array,
        of_grads: Mapping[str, jax.Array],
    ) -> tuple[TrainState, dict[str, Any]]:
        """Returns the state after an evaluation before step `step`, and what it measured."""
        row = self.evaluate(state.variables, hparams, data)
        row['batch_loss'] = state.loss_sum / state.num_examples  # NaN before the first step
        schedule = self._schedule(hparams, data)
        watched = schedule.observe(state.schedule, row[f'{data.selection_split}_loss'])
        of_training = {
            **self.diagnose(state.variables, keys, hparams, data),
            'learning_rate': schedule.rate(watched, jnp.asarray(step)),
            **of_grads,
        }
        alive = state.frozen_at < 0
        row |= {name: jnp.where(alive, value, jnp.nan) for name, value in of_training.items()}
        if self.config['histograms']:
            row['params_histogram'] = histograms.count(state.variables['params'])
        best = _better(state.best, state.variables, self._score(row, data), step)
        stops = alive & self._is_over(row, best, hparams, data, step)
        state = state.replace(
            schedule=watched,
            loss_sum=jnp.float32(0),
            num_examples=jnp.float32(0),
            frozen_at=jnp.where(stops, step, state.frozen_at),
            stopped=state.stopped | stops,
            best=best,
        )
        return state, row

    def _objective(
        self,
        variables: models.Variables,
        hparams: HParams,
        data: Data,
        inputs: jax.Array,
        labels: jax.Array,
        mask: jax.Array | None,
        rng: jax.Array | None,
    ) -> Callable[[Any], tuple[jax.Array, tuple[jax.Array, jax.Array, models.Variables]]]:
        """Returns what descent lowers, as a function of the parameters.

        It is the mean loss of a batch (of the examples that `mask` counts; None: all) and the
        penalties; beside it come the loss alone, the metric, and the variables that the model
        changed. Without `rng` the model is in evaluation mode.
        """
        model = self._model(hparams, data)
        penalties = self._arguments('regularization', hparams)

        def objective(params):
            outputs, updates = model.apply(
                {**variables, 'params': params},
                data.normalized(inputs),
                train=rng is not None,
                rng=rng,
                mask=mask,
            )
            loss = _mean(self._loss(hparams, data, outputs, labels, train=True), mask)
            predictions = self._predictions(data, outputs)
            metric = _mean(self._metric(data).statistics(predictions, labels), mask)
            penalty = regularization.penalty(params, self._regularised(), penalties)
            return loss + penalty, (loss, metric, updates)

        return objective

    def _of_grads(self, grads: Any) -> dict[str, jax.Array]:
        """Returns what an evaluation measures of a gradient."""
        measured = {'l2_grads': optax.tree.norm(grads)}
        if self.config['histograms']:
            measured['grads_histogram'] = histograms.count(grads)
        return measured

    def _of_no_grads(self, grads: Any) -> dict[str, jax.Array]:
        """Returns zeros of the same shapes."""
        return jax.tree.map(jnp.zeros_like, jax.eval_shape(self._of_grads, grads))

    def _batch(self, order: jax.Array | None, data: Data, batch: jax.Array):
        """Returns numbers, inputs, labels and mask (None: all count) of a batch's examples."""
        batch_size = self.config['batch_size']
        rows = batch * batch_size + jnp.arange(batch_size)
        if batch_size == data.num_train:  # the whole set: its order does not matter
            return rows, data.inputs[:batch_size], data.labels[:batch_size], None
        mask = None
        if data.num_train % batch_size:
            mask = rows < data.num_train
            rows = jnp.minimum(rows, data.num_train - 1)
        if order is not None:
            rows = order[rows]
        return rows, data.inputs[rows], data.labels[rows], mask

    def _loss(self, hparams, data, outputs, labels, train: bool) -> jax.Array:
        """Returns the loss of each example, [B]; an evaluation is without label smoothing."""
        expected = len(labels), losses.num_outputs(self.config['loss.name'], data)
        if outputs.shape != expected:
            name = getattr(self.model, '__name__', self.model)
            raise errors.UserError(
                f'model {name!r} gives outputs of shape {outputs.shape} for {len(labels)} '
                f'examples; the data need {expected}'
            )
        arguments = self._arguments('loss', hparams)
        if not train:
            arguments.pop('label_smoothing', None)
        return self.loss(outputs, labels, **arguments)

    def _predictions(self, data: Data, outputs: jax.Array) -> jax.Array:
        """Returns what metrics compare with the labels: scores of classes, or numbers."""
        if data.is_classification:
            return outputs
        return losses.predicted_values(self.config['loss.name'], outputs)

    def _metric(self, data: Data) -> metrics.Metric:
        """Returns the metric that is measured on mini-batches too."""
        return next(iter(metrics.select((), data).values()))

    def model_arguments(self, hparams: HParams, data: Data) -> dict[str, Any]:
        """Returns what the model is called with, of the config and of the data."""
        arguments = self._arguments('model', hparams)
        arguments['num_outputs'] = losses.num_outputs(self.config['loss.name'], data)
        if models.takes_tokens(self.model):
            arguments['num_tokens'] = data.num_tokens
        return arguments

    def _model(self, hparams: HParams, data: Data) -> models.Model:
        return models.make(self.model, **self.model_arguments(hparams, data))

    def _optimizer(self, hparams: HParams, learning_rate: jax.Array):
        arguments = self._arguments('optimizer', hparams) | {'learning_rate': learning_rate}
        return optimizers.make(self.optimizer, arguments, self._regularised())

    def _regularised(self) -> regularization.Mask:
        fields = (self.config[f'regularization.{name}'] for name in ('include', 'exclude'))
        return regularization.make_mask(*fields)

    def _schedule(self, hparams: HParams, data: Data) -> schedules.Schedule:
        return schedules.make(
            self.schedule,
            self._arguments('schedule', hparams),
            hparams['optimizer.learning_rate'],
            steps_per_epoch(self.config, data.num_train),
            self.config['epochs'],
        )

    def _arguments(self, section: str, hparams: HParams) -> dict[str, Any]:
        component = getattr(self, section, None)  # closed sections have none
        return components.arguments(section, self.config, hparams, component)

    def _shuffles(self, data: Data) -> bool:
        return bool(self.config['shuffle']) and self.config['batch_size'] < data.num_train

    def _is_over(
        self,
        row: Mapping[str, jax.Array],
        best: Best,
        hparams: HParams,
        data: Data,
        step: jax.Array,
    ) -> jax.Array:
        """Returns whether an evaluation ends the run before its last step, bool []."""
        config, epoch = self.config, steps_per_epoch(self.config, data.num_train)
        is_over = jnp.asarray(False)
        if 'stop.target' in hparams:
            metric, target = config['stop.metric'], hparams['stop.target']
            measured = metrics.select(config['metrics'], data).get(metric.partition('_')[2])
            rises = measured is not None and measured.higher_is_better  # a loss is none of them
            is_over |= row[metric] > target if rises else row[metric] < target
        if config['stop.patience'] is not None:
            most = config['stop.patience'] * config['eval_every'] * epoch
            is_over |= step - best.step >= most
        return is_over & (step < config['epochs'] * epoch)

    def _score(self, row: Mapping[str, jax.Array], data: Data) -> jax.Array:
        """Returns what the best evaluation has most of: accuracy, or minus the loss.

        NaN where the loss is not finite; nothing is better for it.
        """
        if data.is_classification:
            return row[f'{data.selection_split}_accuracy']
        return -row[f'{data.selection_split}_loss']


def make_training(config: Mapping[str, Any]) -> Training:
    """Returns the static part of a resolved config, see `nnstudy.training.resolve`."""
    used = {
        field: value
        for field, value in config.items()
        if not hparams_lib.is_dynamic(field, value) and not field.startswith(_NOT_OF_THE_PROGRAM)
    }
    return Training(
        used,
        hparams_lib.static_key(used),
        **sections.chosen(config),
    )


# Static fields that shape data or execution, and not what is done with them.
_NOT_OF_THE_PROGRAM = (
    *('dataset', 'split.', 'normalization', 'image_size', 'text.'),
    *('seed', 'num_seeds', 'execution.', 'halving.'),
)


def steps_per_epoch(config: Mapping[str, Any], num_train: int) -> int:
    """Returns the number of mini-batches of an epoch; the last one may be short."""
    return math.ceil(num_train / config['batch_size'])


def evaluation_steps(config: Mapping[str, Any], num_train: int) -> np.ndarray:
    """Returns the steps before which a run is evaluated: 0, every `eval_every` epochs, the last.

    With `eval_in_first_epoch` as many more lie evenly within the first epoch, fewer if it has fewer
    steps.

    Args:
      config: fields by dotted name.
      num_train: number of training examples.

    Returns:
      int32 [E], increasing; the last one is the number of steps of the run.
    """
    epochs = [*range(0, config['epochs'], config['eval_every']), config['epochs']]
    first = steps_per_epoch(config, num_train)
    steps = np.array(epochs, np.int32) * first
    early = np.linspace(0, first, (config['eval_in_first_epoch'] or 0) + 2).round()
    return np.union1d(steps, early[1:-1].astype(np.int32))


def make_train(config: ConfigDict) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """Returns the whole training of a run as one pure function, to be jitted and vmapped at will.

        train = jax.jit(jax.vmap(nnstudy.make_train(config), in_axes=(0, 0, None)))
        state, history = train(keys, hparams, data)

    Args:
      config: see `nnstudy.default_config`.

    Returns:
      `train(keys, hparams, data) -> (state, history)`: keys from `make_keys`; hparams a dict of
      any of the config's float fields by dotted name, float32 [], the others being as in the
      config; data from `nnstudy.data.prepare`; and history a dict of float32 [E] (int32 [E] for
      `'step'`), one row for each of `evaluation_steps`.

    Raises:
      UserError: a field or its value is wrong.
    """
    fields = sections.resolve(config_lib.flatten(config_lib.complete(config)))
    training = make_training(fields)
    defaults = hparams_lib.from_config(fields)

    def train(keys: Keys, hparams: HParams, data: Data):
        for field in hparams:
            if field not in defaults:
                raise errors.unknown('dynamic field', field, defaults)
        values: dict[str, Any] = {**defaults, **hparams}
        stops = evaluation_steps(training.config, data.num_train)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)

        def interval(state, bounds):
            start, stop = bounds
            state, outputs = training.segment(
                state, keys, values, data, start, stop, evaluate=jnp.asarray(True)
            )
            return state, {'step': stop, **outputs['metrics']}

        return lax.scan(interval, training.init(keys, values, data), (starts, stops))

    return train


def _mean(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns the mean of `[B]`, of those that count."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum()


def _better(best: Best, variables: Any, score: jax.Array, step: jax.Array) -> Best:
    """Returns the better of `best` and a new evaluation; the earlier one if they are equal."""
    new = Best(variables, score.astype(jnp.float32), jnp.asarray(step, jnp.int32))
    return _where(new.score > best.score, new, best)


def _where(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)
