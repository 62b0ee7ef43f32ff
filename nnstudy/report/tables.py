"""Tables of text, for a terminal and as Markdown."""

import sys
from collections.abc import Collection, Hashable, Mapping
from typing import Literal

import pandas as pd
from rich import box
from rich import table as rich_table
from rich.console import Console

from nnstudy.machine import processes

WIDTH = 120  # characters of a line where the output is no terminal


def console() -> Console:
    """Returns the console of commands, for text without markup; only the first process prints."""
    width = None if sys.stdout.isatty() else WIDTH
    return Console(soft_wrap=True, width=width, quiet=not processes.is_first(), markup=False)


def printed(
    table: pd.DataFrame,
    title: str | None = None,
    right: Collection[str] = (),
    styles: Mapping[Hashable, str] = {},
) -> rich_table.Table:
    """Returns a table, ready for `rich.console.Console.print`; cells are written by `str`.

    The columns `right` are aligned to the right. Styles, such as `'bold'`, are of some rows by
    their index.
    """
    rendered = rich_table.Table(
        title=title, title_justify='left', box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for header in table:
        flush: Literal['left', 'right'] = 'right' if header in right else 'left'
        rendered.add_column(str(header), justify=flush, vertical='bottom')
    for index, *row in table.itertuples():
        rendered.add_row(*map(str, row), style=styles.get(index))
    return rendered


def markdown(table: pd.DataFrame) -> str:
    """Returns a table in Markdown."""
    cells = table.astype(str).replace({r'\|': r'\\|', '\n': ' '}, regex=True)
    header, *rows = (f'| {" | ".join(row)} |' for row in [list(table), *cells.to_numpy().tolist()])
    return '\n'.join([header, '|' + '---|' * len(table.columns), *rows])
