"""The results of a study: tables of its runs, trained parameters, and predictions with them."""

from nnstudy.results.results import Results as Results
from nnstudy.results.results import load as load
