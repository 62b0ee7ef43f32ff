import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from nnstudy.data import text
from nnstudy.spec.fields import Text

# Study E6, with the ids that its document prints.
SENTENCES = ['I like eggs and ham.', 'I love chocolate and bunnies.', 'I hate onions.']


@pytest.mark.parametrize(
    ('sentence', 'expected'),
    [
        ('I like eggs and ham.', ['i', 'like', 'eggs', 'and', 'ham']),
        ("Don't... 'stop' rock'n'roll dogs' ''", ["don't", 'stop', "rock'n'roll", 'dogs']),
        ('WIN £1,000 now!!txt2win', ['win', '1', '000', 'now', 'txt2win']),
        ('snake_case a-b\tc\nd', ['snake', 'case', 'a', 'b', 'c', 'd']),
        ('Não é um café', ['não', 'é', 'um', 'café']),
        ('Na\u0303o e\u0301', ['não', 'é']),  # accents as characters of their own
        ('it’s', ["it's"]),
        (':-) ... ', []),
        ('', []),
    ],
)
def test_tokenize(sentence, expected):
    assert text.tokenize(sentence) == expected


def ids(texts, other=None, **options):
    """Returns the rows of some texts, and the highest id; the vocabulary is of the first ones."""
    rows, num = text.token_ids({'train': texts, 'other': other or texts}, Text(**options))
    assert rows['train'].dtype == rows['other'].dtype == np.int32
    return rows['other'].tolist(), num - 1


def words(texts, **options):
    """Returns the vocabulary, in order: the words by their ids."""
    rows, unknown = ids(texts, length=99, **options)
    found = {
        number: word
        for row, one in zip(rows, texts, strict=True)
        for number, word in zip(row, text.tokenize(one), strict=False)
    }
    return [found[number] for number in range(1, unknown)]


def test_ids_by_appearance():
    after, _ = ids(SENTENCES, vocabulary='appearance')
    assert after == [[1, 2, 3, 4, 5], [1, 6, 7, 4, 8], [1, 9, 10, 0, 0]]
    before, unknown = ids(SENTENCES, vocabulary='appearance', padding='before')
    assert before == [[1, 2, 3, 4, 5], [1, 6, 7, 4, 8], [0, 0, 1, 9, 10]] and unknown == 11


def test_ids_by_frequency():
    """`i` three times, `and` twice; the rest once, as they appear: the ids of Keras' Tokenizer."""
    rows, _ = ids(SENTENCES)
    assert rows == [[1, 3, 4, 2, 5], [1, 6, 7, 2, 8], [1, 9, 10, 0, 0]]


def test_limited_vocabulary_and_unknown_words():
    assert words(SENTENCES, vocabulary_size=2) == ['i', 'and']
    assert ids(SENTENCES, vocabulary_size=2)[0][1] == [1, 3, 3, 2, 3]
    assert words(SENTENCES, vocabulary='appearance', vocabulary_size=3) == ['i', 'like', 'eggs']
    assert words(SENTENCES, vocabulary_size=99) == words(SENTENCES)


def test_truncation():
    options = {'vocabulary': 'appearance', 'length': 2}
    assert ids(SENTENCES, **options)[0] == [[1, 2], [1, 6], [1, 9]]
    assert ids(SENTENCES, **options, truncation='before')[0] == [[4, 5], [4, 8], [9, 10]]
    assert ids(SENTENCES, [''], **options)[0] == [[0, 0]]


_TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


@hypothesis.given(_TEXTS)
def test_words_are_words(texts):
    for one in texts:
        found = text.tokenize(one)
        assert all(word.replace("'", '').isalnum() for word in found)
        assert text.tokenize(' '.join(found)) == found


_ALPHABET = st.sampled_from(['a', 'b', 'c', 'dd', 'e1', "f'f"])
_SENTENCES = st.lists(st.lists(_ALPHABET, max_size=6), min_size=1, max_size=6)


@hypothesis.given(
    _SENTENCES.filter(any),
    _SENTENCES,
    st.sampled_from(('frequency', 'appearance')),
    st.none() | st.integers(1, 5),
    st.integers(1, 8),
    st.sampled_from(('before', 'after')),
    st.sampled_from(('before', 'after')),
)
def test_encode(train, other, order, size, length, padding, truncation):
    texts = [' '.join(sentence) for sentence in train]
    known = words(texts, vocabulary=order, vocabulary_size=size)
    assert len(set(known)) == len(known) <= (size or 6)
    options = {'vocabulary': order, 'vocabulary_size': size, 'length': length}
    options |= {'padding': padding, 'truncation': truncation}
    rows, unknown = ids(texts, [' '.join(sentence) for sentence in other], **options)
    assert unknown == len(known) + 1
    meaning = dict(enumerate(known, start=1))
    for row, sentence in zip(rows, other, strict=True):
        kept = min(len(sentence), length)
        tokens = row[:kept] if padding == 'after' else row[length - kept :]
        padded = row[kept:] if padding == 'after' else row[: length - kept]
        assert len(row) == length and padded == [text.PADDING] * (length - kept)
        assert all(1 <= token <= unknown for token in tokens)
        expected = sentence[:length] if truncation == 'after' else sentence[-length:]
        assert [meaning.get(token) for token in tokens] == [
            word if word in known else None for word in expected
        ]


@hypothesis.given(_SENTENCES.filter(any))
def test_vocabulary_agrees_with_scikit_learn(sentences):
    counter = CountVectorizer(analyzer=lambda sentence: sentence)
    counts = np.asarray(counter.fit_transform(sentences).sum(axis=0))[0]
    expected = {word: counts[column] for word, column in counter.vocabulary_.items()}
    texts = [' '.join(sentence) for sentence in sentences]
    known = words(texts)
    assert set(known) == set(expected)
    frequencies = [expected[word] for word in known]
    assert frequencies == sorted(frequencies, reverse=True)
    # Among equally frequent words, that which appeared first comes first.
    appeared = words(texts, vocabulary='appearance')
    groups = collections.defaultdict(list)
    for word in known:
        groups[expected[word]].append(appeared.index(word))
    assert all(places == sorted(places) for places in groups.values())
