"""The process that a side runs in: answers a line of JSON for each line of JSON.

    python -m benchmarks.worker SIDE [CORES]

A side is a module with

    VERSIONS    packages by name, and their versions; maybe also the 'device'
    prepare(**request) -> Trainer

    class Trainer:
        losses            of single steps, from the given weights and batches
        compile_seconds   what the first step took that the later ones do not; None: nothing to wait
        settings          what to say of how it trains
        repeat() -> (run-steps, seconds)     trains and measures, once

and that of nnstudy has `matmul_rate() -> flops per second` beside.

While it waits, a worker uses no core. Imports the standard library only; a peer's interpreter has
no nnstudy.
"""

import importlib
import json
import os
import sys
import time
from typing import Any, TextIO

MODULES = {
    'nnstudy': 'benchmarks.sides.sweep',
    'pytorch': 'benchmarks.sides.pytorch',
    'keras': 'benchmarks.sides.keras_fit',
    'jax': 'benchmarks.sides.jax_loop',
}


def main() -> None:
    side, *cores = sys.argv[1:]
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores[0])])
    # What libraries print goes to the log, not between the answers.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    try:
        module = importlib.import_module(MODULES[side])
    except ModuleNotFoundError as error:
        _answer(answers, {'missing': error.name})
        return
    _answer(answers, {'versions': module.VERSIONS})
    trainer: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop('do')
        if do == 'prepare':
            trainer = None  # lets go of what was there
            trainer = module.prepare(**request)
            about = ('losses', 'compile_seconds', 'settings')
            _answer(answers, {name: getattr(trainer, name) for name in about})
        elif do == 'time':
            used = time.process_time()
            run_steps, seconds = trainer.repeat()
            used = time.process_time() - used
            _answer(answers, {'run_steps': run_steps, 'seconds': seconds, 'process_seconds': used})
        elif do == 'matmul':
            _answer(answers, {'flops_per_second': module.matmul_rate()})
        else:
            _answer(answers, module.convolutions())


def _answer(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + '\n')
    answers.flush()


if __name__ == '__main__':
    main()
