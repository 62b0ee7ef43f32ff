import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from nnstudy.data import text

# Study E6, with the ids that its document prints.
SENTENCES = ['I like eggs and ham.', 'I love chocolate and bunnies.', 'I hate onions.']
WORDS = [text.tokenize(sentence) for sentence in SENTENCES]


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


def test_ids_by_appearance():
    words = text.vocabulary(WORDS, 'appearance')
    after = text.encode(WORDS, words, 5)
    assert after.tolist() == [[1, 2, 3, 4, 5], [1, 6, 7, 4, 8], [1, 9, 10, 0, 0]]
    before = text.encode(WORDS, words, 5, padding='before')
    assert before.tolist() == [[1, 2, 3, 4, 5], [1, 6, 7, 4, 8], [0, 0, 1, 9, 10]]
    assert after.dtype == np.int32


def test_ids_by_frequency():
    """`i` three times, `and` twice; the rest once, as they appear: the ids of Keras' Tokenizer."""
    words = text.vocabulary(WORDS)
    assert words[:5] == ['i', 'and', 'like', 'eggs', 'ham']
    assert text.encode(WORDS, words, 5).tolist() == [
        [1, 3, 4, 2, 5],
        [1, 6, 7, 2, 8],
        [1, 9, 10, 0, 0],
    ]


def test_limited_vocabulary_and_unknown_words():
    words = text.vocabulary(WORDS, size=2)
    assert words == ['i', 'and']
    assert text.encode(WORDS, words, 5)[1].tolist() == [1, 3, 3, 2, 3]
    assert text.vocabulary(WORDS, 'appearance', 3) == ['i', 'like', 'eggs']
    assert text.vocabulary(WORDS, size=99) == text.vocabulary(WORDS)


def test_truncation():
    words = text.vocabulary(WORDS, 'appearance')
    assert text.encode(WORDS, words, 2).tolist() == [[1, 2], [1, 6], [1, 9]]
    last = text.encode(WORDS, words, 2, truncation='before')
    assert last.tolist() == [[4, 5], [4, 8], [9, 10]]
    assert text.encode([[]], words, 2).tolist() == [[0, 0]]


_TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


@hypothesis.given(_TEXTS)
def test_words_are_words(texts):
    for one in texts:
        words = text.tokenize(one)
        assert all(word.replace("'", '').isalnum() for word in words)
        assert text.tokenize(' '.join(words)) == words


_ALPHABET = st.sampled_from(['a', 'b', 'c', 'dd', 'e1', "f'f"])
_SENTENCES = st.lists(st.lists(_ALPHABET, max_size=6), min_size=1, max_size=6)


@hypothesis.given(
    _SENTENCES,
    _SENTENCES,
    st.sampled_from(('frequency', 'appearance')),
    st.none() | st.integers(1, 5),
    st.integers(1, 8),
    st.sampled_from(('before', 'after')),
    st.sampled_from(('before', 'after')),
)
def test_encode(train, other, order, size, length, padding, truncation):
    words = text.vocabulary(train, order, size)
    assert len(set(words)) == len(words) <= (size or 6)
    rows = text.encode(other, words, length, padding, truncation)
    assert rows.shape == (len(other), length)
    meaning = dict(enumerate(words, start=1))
    for row, sentence in zip(rows.tolist(), other, strict=True):
        kept = min(len(sentence), length)
        tokens = row[:kept] if padding == 'after' else row[length - kept :]
        padded = row[kept:] if padding == 'after' else row[: length - kept]
        assert padded == [text.PADDING] * (length - kept)
        assert all(1 <= token <= len(words) + 1 for token in tokens)
        expected = sentence[:length] if truncation == 'after' else sentence[-length:]
        assert [meaning.get(token) for token in tokens] == [
            word if word in words else None for word in expected
        ]


@hypothesis.given(_SENTENCES)
def test_vocabulary_agrees_with_scikit_learn(sentences):
    counter = CountVectorizer(analyzer=lambda sentence: sentence)
    if not any(sentences):
        return
    counts = np.asarray(counter.fit_transform(sentences).sum(axis=0))[0]
    expected = {word: counts[column] for word, column in counter.vocabulary_.items()}
    words = text.vocabulary(sentences)
    assert set(words) == set(expected)
    frequencies = [expected[word] for word in words]
    assert frequencies == sorted(frequencies, reverse=True)
    # Among equally frequent words, that which appeared first comes first.
    appeared = text.vocabulary(sentences, 'appearance')
    groups = collections.defaultdict(list)
    for word in words:
        groups[expected[word]].append(appeared.index(word))
    assert all(places == sorted(places) for places in groups.values())
