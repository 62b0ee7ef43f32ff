"""`launch.py --config=configs/lr_sweep.py` up to the first segment that has trained something."""

import os
import runpy
import sys

from benchmarks import workloads
from nnstudy.machine import progress


def main() -> None:
    advance = progress.Display.advance

    def stop(self: progress.Display, cost: float, text: str) -> None:
        advance(self, cost, text)
        if cost:
            os._exit(0)

    progress.Display.advance = stop  # type: ignore[method-assign]
    launch = workloads.ROOT / 'launch.py'
    sys.argv = [str(launch), '--config=configs/lr_sweep.py', *sys.argv[1:]]
    runpy.run_path(str(launch), run_name='__main__')


if __name__ == '__main__':
    main()
