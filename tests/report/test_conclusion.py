"""How verdicts and printed numbers are written."""

import math

import pandas as pd
import pytest

from nnstudy.analysis import judging
from nnstudy.report import conclusion
from nnstudy.spec.claims import Extreme, Inequality, Quantity


@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({}, '964 of 1,000 seeds'),
        ({'of': 'median'}, '964 of 1,000 seeds; 50% of resampled medians'),
        ({'of': 'some'}, '964 of 1,000 seeds; one is enough'),
        ({'of': 'fact'}, 'a fact'),
        (
            {'verdict': 'undecided', 'n': 3, 'successes': 3, 'seeds_needed': 5},
            '3 of 3 seeds; 5 would decide',
        ),
    ],
)
def test_true_of(fields, text):
    row = {'claim': 'X1', 'statement': 'a is below b', 'verdict': 'holds', 'of': 'seed', 'n': 1000}
    row |= {'successes': 964, 'resampled_medians': 0.5, 'seeds_needed': None, **fields}
    (row,) = conclusion.claims_text(pd.DataFrame([row])).to_dict('records')
    assert row['true of'] == text


def test_printed_numbers():
    row = {'reference': 'MSE', 'printed': 1028.62, 'n': 20, 'median': 1027.5, 'min': 23.7}
    placed = pd.DataFrame([{**row, 'max': math.inf, 'quantile': q} for q in (0.7, 0.0)])
    inside, outside = conclusion.references_text(placed).to_numpy().tolist()
    assert inside == ['MSE', '1,028.62', '1028 [23.7, ∞]', 20, '0.70']
    assert outside[-1] == '0.00 (outside)'


def test_numbers():
    texts = [judging.number(value) for value in (3.0, 61706.0, 0.12345, -math.inf, math.nan)]
    assert texts == ['3', '61,706', '0.1235', '−∞', '–']


def test_conditions_write_themselves():
    a = Quantity('a')
    assert Inequality('<', (a, 3)).written(['a: 1', '3']) == 'a: 1 < 3'
    text = Extreme('lowest', a, ({'batch_size': 4},)).written([f'p{i}' for i in range(9)])
    assert text == 'lowest: p0; p1; p2; p3, and 5 more'
