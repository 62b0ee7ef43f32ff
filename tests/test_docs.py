"""What docs/parts.md says there is, is there, and all of it."""

import inspect
import re

import pytest
from small import ROOT

from nnstudy import commands, data, models
from nnstudy.data import device
from nnstudy.models import layers
from nnstudy.spec import config as config_lib
from nnstudy.spec import values
from nnstudy.training import diagnostics, losses, metrics, optimizers, schedules

TEXT = (ROOT / 'docs' / 'parts.md').read_text()
NAMES = set(re.findall(r'[\w.]+', ' '.join(re.findall(r'`([^`]+)`', TEXT))))


@pytest.mark.parametrize(
    'registry',
    [
        data.DATASETS,
        device.NORMALIZATIONS,
        models.MODELS,
        layers.KERNEL_INITS,
        layers.ACTIVATIONS,
        losses.LOSSES,
        metrics.METRICS,
        diagnostics.DIAGNOSTICS,
        schedules.SCHEDULES,
    ],
)
def test_all_parts_are_listed(registry):
    assert set(registry) <= NAMES


@pytest.mark.parametrize(
    ('registry', 'given'),
    [
        (models.MODELS, {'num_outputs', 'num_tokens'}),
        (losses.LOSSES, {'outputs', 'labels'}),
        (schedules.SCHEDULES, set(schedules.RESERVED)),
    ],
)
def test_all_fields_of_parts_are_listed(registry, given):
    for part in registry.values():
        assert values.signature(part).keys() - given <= NAMES


def test_what_is_listed_is_there():
    """Names in the first column of a table, and optimizers by name."""
    known = {
        *data.DATASETS, *models.MODELS, *losses.LOSSES, *schedules.SCHEDULES,
        'csv:FILE', 'csv:FILE#COLUMN', 'tfds:NAME',
    }  # fmt: skip
    first = [line.split('|')[1] for line in TEXT.splitlines() if line.startswith('| `')]
    for cell in first:
        assert set(re.findall(r'`([^`]+)`', cell)) <= known
    section = TEXT[TEXT.index('The tables always have') : TEXT.index('`config.histograms')]
    assert set(re.findall(r'`(\w+)`', section)) == metrics.METRICS.keys()
    section = TEXT[TEXT.index('## Optimizers') : TEXT.index('## Schedules')]
    listed = re.findall(
        r'`(\w+)`', section[section.index('as fields') : section.index('Every one')]
    )
    fields = {'momentum', 'nesterov'}
    assert set(listed) - fields <= optimizers.OPTIMIZERS.keys()
    assert fields <= inspect.signature(optimizers.OPTIMIZERS['sgd']).parameters.keys()


def test_all_fields_of_closed_sections_are_listed():
    fields = config_lib.flatten(config_lib.default_config())
    for section in ('augmentation', 'regularization', 'text'):
        for field in fields:
            if field.startswith(section + '.'):
                assert NAMES & {field.partition('.')[2], field, '.' + field.partition('.')[2]}


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    lines = re.findall(r'^ {4}python launch\.py (.*)$', TEXT, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert commands.main(['launch', *dict.fromkeys([*line.split(), '--dry_run'])]) == 0, line
        assert 'working directory' in capsys.readouterr().out
