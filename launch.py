"""Runs a study: python launch.py --config=configs/lr_sweep.py, which is `nnstudy launch`."""

import sys

if __name__ == '__main__':
    try:
        from nnstudy import commands
    except KeyboardInterrupt:
        sys.exit('interrupted')
    commands.script(['launch', *sys.argv[1:]])
