"""Every notebook runs from its first cell to its last."""

import os

import nbclient
import nbformat
import pytest
from small import ROOT

NOTEBOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
# The kernel's client starts an event loop of its own.
@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::ResourceWarning')
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get('outputs') for cell in notebook.cells), 'commit without outputs'
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name='python3', resources={'metadata': {'path': tmp_path}}
    )
    client.execute()
    outputs = [out for cell in notebook.cells for out in cell.get('outputs', [])]
    pictures = [out for out in outputs if 'image/png' in out.get('data', {})]
    assert len(pictures) == 2
    text = ' '.join(out.get('data', {}).get('text/plain', '') for out in outputs)
    assert 'bootstrap 95% interval' in text
