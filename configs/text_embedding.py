"""Text: embeddings, pooled or read word by word, padded before or after (study E6).

    python launch.py --config=configs/text_embedding.py           # 8 seeds, about 5 minutes
    python launch.py --config=configs/text_embedding.py:quick     # 2 seeds, 1,000 messages, 30 s

SMS spam: 5,574 messages, ham or spam, tokenised, as rows of integers in order of appearance, padded
to the longest training message, 189 words, `before` or `after` the text. An embedding N x T ->
N x T x 16, then its mean or its maximum over the words, or all of it flattened, and a dense layer;
or an LSTM that reads the whole row, or passes over the padding (`masked`). Adam at 0.01, batch 64.

What comes out: test loss and accuracy of each net for both sides of padding (a net that always says
ham has 87.8%), and how far apart the learnt vectors are.

The picture: all nets have 98 to 99%, on whatever side the padding is, but one: the LSTM that has to
read the padding after the text always says ham (87.8%).

Columns of the table of runs, beside the usual ones:

- `padding_difference`: how much the test loss differs from that of the other side, same seed;
- `distance_spread`: the standard deviation of the distances between the vectors of the 500 most
  frequent words, relative to their mean; of one-hot vectors it is 0, any two are sqrt(2) apart;
- `random_spread`: the same of as many random vectors, as they are initialised.

Ours: everything but the steps from text to vectors, so the nets, and the direction in E6a, which is
about the LSTM: the flattened embedding reads padding, too, but each place has weights of its own.
The set has no splits: it is shuffled in a fixed order, 4,459 messages (80%) to train on and 1,115
to test.
"""

import numpy as np
from scipy.spatial import distance

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.results import predictions as predict

PICTURE = 'metric_vs_text.padding'

# Those in which padding is no word and those in which it is one.
BLIND = {
    'mean': {'model.name': 'embedding', 'model.pooling': 'mean'},
    'max': {'model.name': 'embedding', 'model.pooling': 'max'},
    'masked LSTM': {'model.name': 'recurrent', 'model.masked': True},
}
LSTM = {'model.name': 'recurrent', 'model.masked': False}
FLATTEN = {'model.name': 'embedding', 'model.pooling': 'flatten'}

NUM_WORDS = 500  # whose vectors are compared


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'sms_spam'
    config.split.train = 'train[:1000]' if quick else 'train'
    config.split.validation = None
    config.split.test = 'test[:500]' if quick else 'test'
    config.text.vocabulary = 'appearance'
    config.text.length = 40 if quick else None
    config.model.name = 'embedding'
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 0.01
    config.batch_size = 64
    config.epochs = 3 if quick else 10
    config.num_seeds = 2 if quick else 8
    return config


def sweep(config):
    del config
    nets = [*BLIND.values(), LSTM, FLATTEN]
    return nnstudy.grid(nets, nnstudy.choice('text.padding', ['before', 'after']))


def claims():
    def of(metric, net, padding='before'):
        return Quantity(metric).where(net, {'text.padding': padding})

    return [
        Claim(
            'E6a',
            'Padding before or after matters: an LSTM that reads it ends with a lower test loss if '
            'it is before the text (that way round: ours)',
            of('test_loss', LSTM, 'before') < of('test_loss', LSTM, 'after'),
        ),
        Claim(
            'E6b',
            'Where padding is passed over its side does not matter: test losses of the mean, the '
            'maximum and the masked LSTM differ by less than 0.001 (ours)',
            [of('padding_difference', net) < 1e-3 for net in BLIND.values()],
        ),
        Claim(
            'E6c',
            'One-hot vectors are equally far apart, learnt ones are not: the relative spread of '
            'their distances is above that of random vectors such as they begin as (ours)',
            [
                of('distance_spread', net) > of('random_spread', net)
                for net in (BLIND['mean'], LSTM)
            ],
        ),
    ]


def measure(results):
    runs = results.runs
    net = [field for field in results.swept if field != 'text.padding']
    by_net = runs.groupby([*net, 'seed'], dropna=False)['test_loss']
    random = (
        np.random.default_rng(seed).uniform(-0.05, 0.05, (NUM_WORDS, 16)) for seed in runs['seed']
    )
    rows, _ = predict.net(results, 0).examples('train')
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
