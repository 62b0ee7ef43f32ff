"""Texts as rows of token ids: the words of a text, a vocabulary, and rows of one length.

A token is a word. With a vocabulary of V words, in a fixed order, ids 1 to V are its words, 0 is
padding and V + 1 stands for every word that is not in it:

    I like eggs and ham.             [1 2 3 4 5]
    I love chocolate and bunnies.    [1 6 7 4 8]
    I hate onions.                   [1 9 10 0 0]

Here the words are in order of appearance. Knows nothing of data sets or devices.
"""

import collections
import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from nnstudy import errors
from nnstudy.spec import fields

PADDING = 0

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def tokenize(text: str) -> list[str]:
    """Returns the words of a text: letters and digits in lower case, with apostrophes inside.

    All else separates words, an apostrophe at either end too: `"'Don't' 3x!"` is `don't` and `3x`.
    """
    # A letter may be written with its accent as a second character, which is no letter by itself.
    text = unicodedata.normalize('NFC', text).lower().replace('’', "'")
    return _TOKEN.findall(text)


def vocabulary(
    texts: Sequence[Sequence[str]], order: str = 'frequency', size: int | None = None
) -> list[str]:
    """Returns the different words of some texts, at most `size` of them.

    In the order `'frequency'` the most frequent word is first, and of equally frequent ones that
    which appeared first; in the order `'appearance'` they are as they appeared.
    """
    counts = collections.Counter(itertools.chain.from_iterable(texts))
    ranked = dict(counts.most_common()) if order == 'frequency' else counts
    return list(ranked)[:size]


def token_ids(
    texts: Mapping[str, np.ndarray], options: fields.Text
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the texts of each split as rows of token ids, and how many ids there may be.

    The vocabulary and the length are those of the split `'train'`.

    Raises:
      errors.UserError: there is no word in the training texts.
    """
    words = {name: [tokenize(text) for text in part] for name, part in texts.items()}
    known = vocabulary(words['train'], options.vocabulary or 'frequency', options.vocabulary_size)
    if not known:
        raise errors.UserError('config.split.train: there is no word in the training texts')
    length = options.length or max(len(text) for text in words['train'])
    sides = options.padding or 'after', options.truncation or 'after'
    rows = {name: encode(part, known, length, *sides) for name, part in words.items()}
    return rows, len(known) + 2  # padding, and one for all other words


def encode(
    texts: Sequence[Sequence[str]],
    words: Sequence[str],
    length: int,
    padding: str = 'after',
    truncation: str = 'after',
) -> np.ndarray:
    """Returns the ids of the words of N texts, int32 `[N, length]` from 0 to V + 1.

    Args:
      texts: the words of each text, see `tokenize`.
      words: the V words of the vocabulary, in order.
      length: of a row.
      padding: where zeros go in a row with fewer words: `'before'` or `'after'` them.
      truncation: where a text with more words loses them: at its end (`'after'`) or its beginning.
    """
    ids = {word: number for number, word in enumerate(words, start=1)}
    rows = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(rows, texts, strict=True):
        kept = text[:length] if truncation == 'after' else text[-length:]
        begin = 0 if padding == 'after' else length - len(kept)
        row[begin : begin + len(kept)] = [ids.get(word, len(words) + 1) for word in kept]
    return rows
