"""Runs a study from the command line: python launch.py --config=configs/lr_sweep.py"""

import sys

from nnstudy import cli

if __name__ == '__main__':
    sys.exit(cli.main())
