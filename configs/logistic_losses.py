"""Losses of a fitted logistic regression, and of a net that knows nothing yet (exercises B1, B3).

    python launch.py --config=configs/logistic_losses.py             # about 10 s
    python launch.py --config=configs/logistic_losses.py:quick       # the same

Asked: in which order are four losses of the fitted probabilities, and what are the losses of a
uniform guess between five classes (B3)?

Set: ten points in one dimension and two classes; logistic regression with the penalty of C = 1,
which is 0.5 w² + the sum of the log losses with a free intercept. Squared loss, cross-entropy (1e-5
is added inside the logarithm), zero-one, and hinge with labels -1 and 1 and the score 2 (p - 0.5).

Ours: L-BFGS. The points were recovered from the printed probabilities. The fit is convex, so one
seed is enough.
"""

import numpy as np
from pictures import fitted_curve

import nnstudy
from nnstudy import Claim, Quantity, Reference
from nnstudy.training import losses

PICTURE = 'fitted_curve'
VARIANTS = {'quick': {}}

X = 0.1 * np.array([0, 3, 10, 14, 16, 18, 19, 23, 28, 31])
Y = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1])

PRINTED = {
    'p': (0.133, 0.178, 0.325, 0.433, 0.490, 0.547, 0.576, 0.682, 0.792, 0.843),
    'squared': (0.018, 0.032, 0.106, 0.321, 0.240, 0.205, 0.331, 0.101, 0.043, 0.025),
    'cross_entropy': (0.142, 0.195, 0.394, 0.837, 0.674, 0.603, 0.857, 0.382, 0.233, 0.170),
    'zero_one': (0, 0, 0, 1, 0, 0, 1, 0, 0, 0),
    'hinge': (0.265, 0.355, 0.651, 1.134, 0.980, 0.905, 1.151, 0.635, 0.415, 0.313),
}
PRINTED_MEANS = {'squared': 0.1421, 'cross_entropy': 0.4487, 'zero_one': 0.2, 'hinge': 0.6805}


def get_config():
    config = nnstudy.default_config()
    config.update(normalization=None, batch_size=len(X), epochs=30)
    config.split.update(train='train', validation=None)
    config.model.name = 'linear'
    config.loss.name = 'binary_cross_entropy'
    config.optimizer.update(name='lbfgs', learning_rate=1.0)
    config.regularization.l2 = 0.05  # 0.5 w² beside a sum of ten losses; here it is their mean
    return config


def get_data():
    inputs = X[:, None].astype(np.float32)
    # Nothing is predicted here: the points to test on are the same.
    return nnstudy.Dataset('ten_points', {'train': (inputs, Y), 'test': (inputs.copy(), Y)})


def measure(results):
    (run,) = results.runs['run']
    p = results.predict(run, 'train', 'final').probabilities[:, 1].astype(np.float64)
    uniform, label = np.full((1, 5), 0.2), np.array([0])
    columns = {
        'uniform_cross_entropy': losses.softmax_cross_entropy(np.log(uniform), label),
        'uniform_squared': losses.squared_error(uniform, np.eye(5)[label], reduction='sum'),
    }
    for name, values in {'p': p, **_losses(p)}.items():
        columns |= {f'{name}_{place}': [value] for place, value in enumerate(values, start=1)}
        columns[f'{name}_mean'] = [values.mean()]
    return {name: np.asarray(values, np.float64) for name, values in columns.items()}


def _losses(p):
    """Returns the losses of each point, as the document defines them, from probabilities [10]."""
    score = 2 * (p - 0.5)
    return {
        'squared': np.square(p - Y),
        'cross_entropy': -np.log(np.where(Y, p, 1 - p) + 1e-5),
        'zero_one': np.asarray(losses.zero_one(score[:, None], Y), np.float64),
        'hinge': np.asarray(losses.binary_hinge(score[:, None], Y), np.float64),
    }


def claims():
    squared, cross_entropy, zero_one, hinge = (Quantity(f'{name}_mean') for name in PRINTED_MEANS)
    guess, squared_guess = Quantity('uniform_cross_entropy'), Quantity('uniform_squared')
    yield Claim(
        'B1: In order: squared, zero-one, cross-entropy, hinge',
        (squared < zero_one, zero_one < cross_entropy, cross_entropy < hinge),
        of='fact',
    )
    yield Claim(
        'B3: At a uniform prediction of 5 classes cross-entropy is 1.6 and the squared error 0.8',
        (guess > 1.55, guess < 1.65, squared_guess > 0.7999, squared_guess < 0.8001),
        of='fact',
    )


def references():
    for name, value in PRINTED_MEANS.items():
        yield Reference(f'{name.replace("_", " ")}, mean', value, Quantity(f'{name}_mean'), 4)
    for name, printed in PRINTED.items():
        words, digits = name.replace('_', ' '), 0 if name == 'zero_one' else 3
        for i, value in enumerate(printed, start=1):
            yield Reference(f'{words}, point {i}', value, Quantity(f'{name}_{i}'), digits)
    yield Reference('cross-entropy of a guess', 1.6, Quantity('uniform_cross_entropy'), 1)
    yield Reference('squared error of a guess', 0.8, Quantity('uniform_squared'), 1)


def pictures(results):
    return {'fitted_curve': fitted_curve.fitted(results, X, Y)}
