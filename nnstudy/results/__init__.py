"""The results of a study: tables of its runs, trained parameters, and predictions with them."""

from nnstudy.results.results import Results, load
