"""What the peers have in common: runs one after the other, for as long as a timing needs.

Knows no framework.
"""

import time
from collections.abc import Callable

from benchmarks.problem import Problem


class Timer:
    """Times a peer's loop.

    A run or a few of them, as many as fill `seconds`; since they are trained one after the other,
    what one costs does not depend on how many there are.

    Args:
      problem: what is trained.
      train: trains so many epochs, and returns when they are done.
      seconds: of a repeat, at least.
    """

    def __init__(self, problem: Problem, train: Callable[[int], None], seconds: float):
        self._problem, self._train = problem, train
        train(1)  # everything is compiled and allocated
        began = time.perf_counter()
        train(problem.epochs)
        self._runs = max(1, round(seconds / (time.perf_counter() - began)))

    def repeat(self) -> tuple[int, float]:
        """Returns run-steps and seconds."""
        epochs = self._runs * self._problem.epochs
        began = time.perf_counter()
        self._train(epochs)
        seconds = time.perf_counter() - began
        return epochs * self._problem.steps_per_epoch, seconds
