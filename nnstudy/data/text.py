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
from collections.abc import Iterable, Mapping

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


def token_ids(
    texts: Mapping[str, Iterable[str]], options: fields.Text
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the texts of each split as rows of token ids, and how many ids there may be.

    The V words of the vocabulary and the length T are those of the split `'train'`. In the order
    `'frequency'` the most frequent word is first, and of equally frequent ones that which appeared
    first. Rows are int32 `[N, T]`, 0 to V + 1.

    Raises:
      errors.UserError: there is no word in the training texts.
    """
    words = {name: [tokenize(text) for text in part] for name, part in texts.items()}
    counts = collections.Counter(itertools.chain.from_iterable(words['train']))
    ranked = counts if options.vocabulary == 'appearance' else dict(counts.most_common())
    known = list(ranked)[: options.vocabulary_size]
    if not known:
        raise errors.UserError('config.split.train: there is no word in the training texts')
    ids = {word: number for number, word in enumerate(known, start=1)}
    length = options.length or max(len(text) for text in words['train'])
    rows = {name: np.full((len(part), length), PADDING, np.int32) for name, part in words.items()}
    for name, part in words.items():
        for row, text in zip(rows[name], part, strict=True):
            kept = text[-length:] if options.truncation == 'before' else text[:length]
            begin = length - len(kept) if options.padding == 'before' else 0
            row[begin : begin + len(kept)] = [ids.get(word, len(ids) + 1) for word in kept]
    return rows, len(ids) + 2  # padding, and one for all other words
