"""Studies of how neural networks train: every point times every seed in one compiled call.

import nnstudy
nnstudy.setup()
config = nnstudy.default_config()
results = nnstudy.run(config, nnstudy.logspace('optimizer.learning_rate', 1e-4, 10.0, 13))
results.runs       # a table, one row a run
"""

from nnstudy import data, models
from nnstudy.config import default_config, options
from nnstudy.data import Dataset
from nnstudy.devices import setup
from nnstudy.errors import UserError
from nnstudy.results import Results, load
from nnstudy.stages import run
from nnstudy.sweep.spec import chain, choice, grid, log_uniform, logspace, zip_
from nnstudy.train import make_keys, make_train
from nnstudy.winner import rerun

__all__ = [
    'Dataset',
    'Results',
    'UserError',
    'chain',
    'choice',
    'data',
    'default_config',
    'grid',
    'load',
    'log_uniform',
    'logspace',
    'make_keys',
    'make_train',
    'models',
    'options',
    'rerun',
    'run',
    'setup',
    'zip_',
]
