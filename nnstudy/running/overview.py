"""A plan as text: what a study will do."""

import math
import time

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy.machine import hlo
from nnstudy.report import labels
from nnstudy.running import plan as plan_lib
from nnstudy.running import program as program_lib
from nnstudy.spec import sweep
from nnstudy.training import steps
from nnstudy.training.run import Run


def headline(plan: plan_lib.Plan) -> str:
    """Returns a line with the numbers of points, seeds, runs, programs, steps and devices."""
    seeds = plan.config.num_seeds
    points = len(plan.points)
    runs = labels.count(points * seeds, 'run')
    if plan.part is not None:
        runs += f', {plan.num_runs:,} of them in {plan.part}'
    parts = [
        f'{labels.count(points, "point")} × {labels.count(seeds, "seed")} = {runs}',
        f'{labels.count(len(plan.groups), "compiled program")}',
        f'{plan.num_run_steps:,} run-steps',
        str(plan.target),
    ]
    return f'{plan.name}: {", ".join(parts)}'


def describe(plan: plan_lib.Plan) -> str:
    """Returns the whole plan: swept fields, groups, memory, and the layers of each model."""
    lines = []
    for field in sweep.swept(plan.points):
        values = list(dict.fromkeys(point[field] for point in plan.points))
        more = f', ... ({len(values)} values)' if len(values) > 12 else ''
        lines.append(f'swept {field}: {", ".join(map(str, values[:12]))}{more}')
    described: dict[str, int] = {}
    for group in plan.groups:
        layout, size, config = group.layout, group.chunk_size(), group.config
        data = (group.data.inputs.nbytes + group.data.labels.nbytes) * plan.target.num_devices
        lines += [
            '',
            f'group {group.index}: {labels.count(len(group.runs), "run")} of '
            f'{labels.count(group.num_steps, "step")} ({labels.count(config.epochs, "epoch")} at '
            f'batch size {config.batch_size}), '
            f'{labels.count(layout.num_params, "parameter")} each',
            f'  examples: {group.data.describe()}',
            f'  layout: {labels.count(math.ceil(len(group.runs) / size), "chunk")} of {size} runs, '
            f'{labels.count(layout.lanes, "lane")} a device, '
            f'at most {labels.count(layout.segment_steps, "step")} a segment',
            f'  memory: about {_gib(size * layout.state_bytes)} for the runs, {_gib(data)} for '
            'the data',
        ]
        layers = layer_table(group)
        first = described.setdefault(layers, group.index)
        lines.append(layers if first == group.index else f'  layers: as in group {first}')
    return '\n'.join(lines)


def compiled(group: plan_lib.Group) -> str:
    """Compiles the program of a group, and returns what XLA made of it."""
    began = time.monotonic()
    program = program_lib.for_group(group)
    seconds = time.monotonic() - began
    text, kind = str(program), group.target.kind
    step, num_collectives = hlo.loop(text, steps.STEP), hlo.collectives(text)
    # Other devices find the way by themselves.
    asked = f', and asks the host {labels.count(step.questions, "question")}'
    return '\n'.join(
        [
            '',
            f'group {group.index}, compiled for {kind.name} in {seconds:.0f} s:',
            f'  chunks of {program.size} runs take {_gib(program.size * group.layout.state_bytes)} '
            f'and {_gib(program.fixed_bytes)} beside',
            f'  a step of a block of {labels.count(group.layout.lanes, "run")} starts '
            f'{labels.count(step.operations, "operation")}, {step.copies:,} of which only copy'
            f'{asked if kind.platform == "cuda" else ""}',
            f'  devices wait for each other in {labels.count(num_collectives, "place")}',
        ]
    )


def layer_table(group: plan_lib.Group) -> str:
    """Returns the layers of a group's model with output shapes and numbers of parameters."""
    run = Run(group.config, {}, group.data)
    model = group.config.model.function(**run.model_arguments)
    inputs = group.data.normalized(jnp.asarray(group.data.inputs[:1]))
    if isinstance(model, nn.Module):
        text = nn.tabulate(
            model,
            jax.random.key(0),
            compute_flops=False,
            console_kwargs={'width': 100, 'force_terminal': False},
        )(inputs)
        return '\n'.join(line.rstrip() for line in text.splitlines() if line.strip())
    from clu import parameter_overview

    variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
    return parameter_overview.get_parameter_overview(variables, include_stats=False)


def _gib(size: float) -> str:
    return f'{size / 2**30:.1f} GiB' if size >= 2**30 else f'{size / 2**20:.1f} MiB'
