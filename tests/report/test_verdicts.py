"""How verdicts and printed numbers are written."""

import io
import math

import pytest
from rich.console import Console

from nnstudy import Claim, Quantity, Reference
from nnstudy.analysis.judging import Side, Verdict
from nnstudy.analysis.references import Placed
from nnstudy.report import verdicts

A, B = Quantity('a'), Quantity('b')


def make(conditions=A < B, of='seed', **fields):
    sides = [[Side('a', 1.0, 0.5, 2.0), Side('b', 3.0, 3.0, 3.0)]]
    defaults = {
        'claim': Claim('X1', 'a is below b', conditions, of),
        'verdict': 'holds',
        'n': 1000,
        'successes': 964,
        'resampled': 1.0,
        'p_value': 1e-9,
        'needed': None,
        'sides': sides,
    }
    return Verdict(**{**defaults, **fields})


@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({}, '964 of 1,000 seeds'),
        ({'of': 'median', 'resampled': 0.5}, '964 of 1,000 seeds; 50% of resampled medians'),
        ({'of': 'some'}, '964 of 1,000 seeds; one is enough'),
        ({'of': 'fact'}, 'a fact'),
        (
            {'verdict': 'undecided', 'n': 3, 'successes': 3, 'needed': 5},
            '3 of 3 seeds; 5 would decide',
        ),
    ],
)
def test_true_of(fields, text):
    (row,) = verdicts.claims_text(verdicts.verdicts([make(**fields)])).to_dict('records')
    assert row['true of'] == text


def test_evidence():
    assert verdicts.evidence(make()) == 'a: 1 [0.5, 2] < b: 3'
    number = [[Side('a', 1, 0.5, 2), Side('3', 3, 3, 3)]]
    assert verdicts.evidence(make(sides=number)) == 'a: 1 [0.5, 2] < 3'
    many = [[Side(f'p{i}', i, i, math.inf) for i in range(9)]]
    text = verdicts.evidence(make(A.lowest_at({'batch_size': 4}), sides=many))
    assert text.startswith('lowest: p0: 0 [0, ∞]; ')
    assert text.endswith('and 5 more')


def test_tables():
    placed = Placed(Reference('MSE', 28.62, A), 20, 27.5, 23.7, 615.9, quantile=0.7)
    console = Console(width=120, file=io.StringIO())
    console.print(verdicts.claims_table(verdicts.verdicts([make()])))
    console.print(verdicts.references_table(verdicts.places([placed])))
    text = console.file.getvalue()
    assert 'a is below b' in text
    assert '27.5 [23.7, 615.9]' in text
    assert verdicts.verdicts([make()]).iloc[0]['successes'] == 964
    assert verdicts.places([placed]).iloc[0]['quantile'] == 0.7
