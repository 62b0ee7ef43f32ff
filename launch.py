"""Runs a study from the command line: python launch.py --config=configs/lr_sweep.py"""

import os
import sys

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

if __name__ == '__main__':
    try:
        from nnstudy import cli

        code = cli.main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.stdout.flush()
    if code == INTERRUPTED:
        # Devices may be at work still; an orderly exit would take the memory from under them.
        os._exit(code)
    sys.exit(code)
