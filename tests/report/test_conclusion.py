"""How verdicts and printed numbers are written."""

import math

import pandas as pd
import pytest

from nnstudy.analysis import judging
from nnstudy.report import conclusion
from nnstudy.spec.claims import Extreme, Inequality, Quantity


@pytest.mark.parametrize(
    ('fields', 'verdict', 'text'),
    [
        ({}, 'holds, mostly', '964 of 1,000 seeds; at least 94% of all'),
        (
            {'ties': 2},
            'holds, mostly',
            '964 of 1,000 seeds, 2 ties; at least 94% of those without a tie',
        ),
        (
            {'conditions': 2},
            'holds, mostly',
            '964 of 1,000 seeds; each condition at least 94% of all',
        ),
        ({'of': 'median', 'reliability': None}, 'holds', '964 of 1,000 seeds; of medians'),
        ({'of': 'some', 'reliability': None}, 'holds', '964 of 1,000 seeds; one is enough'),
        ({'of': 'fact', 'reliability': None}, 'holds', 'a fact'),
        (
            {'of': 'fact', 'reliability': None, 'beforehand': False},
            'holds (worded afterwards)',
            'a fact',
        ),
        (
            {'verdict': 'does not hold', 'wins': 3, 'share_high': 0.0123},
            'does not hold, mostly',
            '3 of 1,000 seeds; at most 2% of all',
        ),
        (
            {'verdict': 'undecided', 'reliability': None, 'n': 3, 'wins': 3, 'seeds_needed': 5},
            'undecided',
            '3 of 3 seeds; 94 to 98%; 5 would decide (80%)',
        ),
    ],
)
def test_verdicts(fields, verdict, text):
    row = {'claim': 'X1', 'statement': 'a is below b', 'verdict': 'holds', 'of': 'seed', 'n': 1000}
    row |= {
        'reliability': 'mostly',
        'beforehand': True,
        'wins': 964,
        'ties': 0,
        'losses': 36,
        'seeds_needed': None,
    }
    row |= {'conditions': 1, 'share_low': 0.948, 'share_high': 0.9711, **fields}
    (row,) = conclusion.claims_text(pd.DataFrame([row])).to_dict('records')
    assert (row['verdict'], row['true of']) == (verdict, text)


def test_printed_numbers():
    row = {'reference': 'MSE', 'printed': 1028.62, 'n': 20, 'median': 1027.5, 'min': 23.7}
    placed = pd.DataFrame(
        [
            {**row, 'max': math.inf, 'quantile': q, 'p_value': p}
            for q, p in ((0.7, 0.6), (0.0, 2 / 21))
        ]
    )
    inside, outside = conclusion.references_text(placed).to_numpy().tolist()
    assert inside == ['MSE', '1,028.62', '1028 [23.7, ∞]', 20, '0.70', '0.6']
    assert outside[-2:] == ['0.00 (outside)', '0.095']


def test_numbers():
    texts = [judging.number(value) for value in (3.0, 61706.0, 0.12345, -math.inf, math.nan)]
    assert texts == ['3', '61,706', '0.1235', '−∞', '–']


def test_conditions_write_themselves():
    a = Quantity('a')
    assert Inequality('<', (a, 3)).written(['a: 1', '3']) == 'a: 1 < 3'
    text = Extreme('lowest', a, ({'batch_size': 4},)).written([f'p{i}' for i in range(9)])
    assert text == 'lowest: p0; p1; p2; p3, and 5 more'
