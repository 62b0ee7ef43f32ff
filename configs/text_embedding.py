"""Text: embeddings, pooled or read word by word, padded before or after (study E6).

    python launch.py --config=configs/text_embedding.py           # 8 seeds, about 5 minutes
    python launch.py --config=configs/text_embedding.py:quick     # 2 seeds, 1,000 messages, 30 s

Asked: does it matter on which side a text is padded, and do the learnt vectors of words differ from
one-hot vectors, any two of which are equally far apart?

Set: SMS spam: 5,574 messages, ham or spam, tokenised, as rows of integers in order of appearance,
padded to the longest training message, 189 words, `before` or `after` the text; an embedding N x T
-> N x T x 16.

Ours: batch 64, the direction in E6a, and the nets: the mean or the maximum of the vectors over the
words, or all of them flattened, and a dense layer; or an LSTM that reads the whole row, or passes
over the padding (`masked`). The set has no splits: it is shuffled in a fixed order, 4,459 messages
(80%) to train on and 1,115 to test.
"""

import numpy as np
from scipy.spatial import distance

import nnstudy
from nnstudy import Claim, Quantity

PICTURE = 'metric_vs_text.padding'
VARIANTS = {
    'quick': {
        'split.train': 'train[:1000]',
        'split.test': 'test[:500]',
        'text.length': 40,
        'epochs': 3,
        'num_seeds': 2,
    }
}

MEAN, MAX, FLATTEN = (
    {'model.name': 'embedding', 'model.pooling': way} for way in ('mean', 'max', 'flatten')
)
MASKED, LSTM = ({'model.name': 'recurrent', 'model.masked': masked} for masked in (True, False))
BLIND = (MEAN, MAX, MASKED)  # to padding; to the others it is a word

NUM_WORDS = 500  # whose vectors are compared


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='sms_spam', num_seeds=8)
    config.split.update(train='train', validation=None)
    config.text.vocabulary = 'appearance'
    config.model.name = 'embedding'
    config.optimizer.update(name='adam', learning_rate=0.01)
    return config


def sweep():
    sides = nnstudy.choice('text.padding', ['before', 'after'])
    return nnstudy.grid([*BLIND, LSTM, FLATTEN], sides)


def claims():
    def of(metric, net, padding='before'):
        return Quantity(metric).where(net, {'text.padding': padding})

    yield Claim(
        'E6a: Padding before or after matters: an LSTM that reads it ends with a lower test loss '
        'if it is before the text (that way round: ours)',
        of('test_loss', LSTM, 'before') < of('test_loss', LSTM, 'after'),
    )
    yield Claim(
        'E6b: Where padding is passed over its side does not matter: test losses of the mean, the '
        'maximum and the masked LSTM differ by less than 0.001 (ours)',
        [of('padding_difference', net) < 1e-3 for net in BLIND],
    )
    yield Claim(
        'E6c: One-hot vectors are equally far apart, learnt ones are not: the relative spread of '
        'their distances is above that of random vectors such as they begin as (ours)',
        [of('distance_spread', net) > of('random_spread', net) for net in (MEAN, LSTM)],
    )


def measure(results):
    runs = results.runs
    net = [field for field in results.swept if field != 'text.padding']
    by_net = runs.groupby([*net, 'seed'], dropna=False)['test_loss']
    random = (
        np.random.default_rng(seed).uniform(-0.05, 0.05, (NUM_WORDS, 16)) for seed in runs['seed']
    )
    rows, _ = results.net(0).examples('train')
    counts = np.bincount(rows.ravel())
    counts[0] = 0  # pads
    frequent = np.argsort(-counts, kind='stable')[:NUM_WORDS]
    learnt = (results.params(run, 'final')['Embed_0']['embedding'] for run in runs['run'])
    return {
        'padding_difference': by_net.transform(lambda losses: losses.max() - losses.min()),
        'distance_spread': [_spread(vectors[frequent]) for vectors in learnt],
        'random_spread': [_spread(vectors) for vectors in random],
    }


def _spread(vectors):
    """Returns the standard deviation of the distances of [N, D], relative to their mean."""
    distances = distance.pdist(vectors)
    return distances.std() / distances.mean()
