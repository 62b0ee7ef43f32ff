"""Studies of how neural networks train: every point times every seed in one compiled call.

import nnstudy
nnstudy.setup()
config = nnstudy.default_config()
results = nnstudy.run(config, nnstudy.logspace('optimizer.learning_rate', 1e-4, 10.0, 13))
results.runs       # a table, one row per run
"""

import re
import sys

if sys.argv[:1] == ['-m'] and re.search(r' -m ?nnstudy\.', ' '.join(sys.orig_argv)):
    # `python -m nnstudy.report.plots` would do nothing, with exit code 0.
    print('error: no command; python -m nnstudy --help lists the commands', file=sys.stderr)
    sys.exit(2)

from nnstudy import data, models
from nnstudy.data import Dataset
from nnstudy.errors import UserError
from nnstudy.machine.devices import setup
from nnstudy.results import Results, load
from nnstudy.running.study import rerun, run
from nnstudy.spec.claims import Claim, Quantity, Reference
from nnstudy.spec.config import default_config
from nnstudy.spec.sweep import chain, choice, grid, log_uniform, logspace, zip_
from nnstudy.training import losses, metrics, optimizers, schedules
from nnstudy.training.run import make_keys
from nnstudy.training.steps import make_train
