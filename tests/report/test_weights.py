import io

import jax
import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from configs.pictures import feature_maps
from nnstudy import errors
from nnstudy.report import examples, weights


@pytest.fixture(scope='module')
def mlp(dataset):
    return nnstudy.run(make_config(epochs=1), data=dataset, quiet=True)


def render(figure):
    figure.savefig(io.BytesIO(), dpi=40)


def test_histograms_of_every_layer(lenet):
    figure = weights.histograms(lenet)
    render(figure)
    layers = ['Conv_0', 'Conv_1', 'Dense_0', 'Dense_1', 'Dense_2']
    kinds = ['weights', 'gradient of weights', 'biases', 'gradient of biases']
    expected = [f'{layer}: {kind}' for layer in layers for kind in kinds]
    assert [panel.get_title() for panel in figure.axes] == expected
    # A histogram at each of the three evaluations, from its epoch upwards.
    bottoms = [min(path.get_paths()[0].vertices[:, 1]) for path in figure.axes[0].collections]
    assert bottoms == pytest.approx([0, 1, 2])
    params = [lenet.params(run, 'final')['Dense_1']['kernel'] for run in range(3)]
    low, high = figure.axes[12].get_xlim()
    inside = np.mean([(low <= w).mean() - (w > high).mean() for w in params])
    assert inside > 0.97
    assert '3 seeds together' in figure.get_supxlabel()


def test_layers_without_biases_and_runs_without_numbers():
    """Batch normalisation, and a run that leaves the finite numbers at once."""
    config = make_config(
        histograms=True, model__batch_norm='before', optimizer__learning_rate=1e30, epochs=1
    )
    results = nnstudy.run(config, data=make_dataset(), quiet=True)
    render(weights.histograms(results))


def test_filters_are_those_of_the_first_convolution(lenet):
    figure = feature_maps.filters(lenet, which='final')
    render(figure)
    kernel = lenet.params(examples.typical(lenet, 0).run, 'final')['Conv_0']['kernel']
    shown = [panel.images[0].get_array() for panel in figure.axes if panel.images]
    assert len(shown) == kernel.shape[-1] == 6
    largest = np.abs(kernel).max()
    np.testing.assert_allclose(shown[2], 0.5 + 0.5 * kernel[..., 2] / largest, rtol=1e-5)
    second = feature_maps.filters(lenet, layer='Conv_1')
    render(second)
    assert '6 channels (their mean)' in second.get_supxlabel()


def test_feature_maps_are_those_of_the_convolutions(lenet):
    net = lenet.net(0)
    variables = lenet.variables(0)
    inputs, _ = net.examples(num=2)
    maps = feature_maps.outputs_of_convolutions(net, variables, inputs)
    assert {name: x.shape for name, x in maps.items()} == {
        'Conv_0': (2, 12, 12, 6),
        'Conv_1': (2, 2, 2, 16),
    }
    conv = variables['params']['Conv_0']
    expected = jax.lax.conv_general_dilated(
        inputs / np.float32(255),
        conv['kernel'],
        (1, 1),
        [(2, 2), (2, 2)],
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    np.testing.assert_allclose(maps['Conv_0'], expected + conv['bias'], rtol=1e-4, atol=1e-5)


def test_feature_maps_of_an_image(lenet):
    figure = feature_maps.feature_maps(lenet, index=3)
    render(figure)
    net = lenet.net(0)
    inputs, labels = net.examples()
    variables = lenet.variables(examples.typical(lenet, 0).run)
    maps = feature_maps.outputs_of_convolutions(net, variables, inputs[3:4])
    shown = [panel.images[0].get_array() for panel in figure.axes if panel.images]
    assert len(shown) == 1 + 6 + 8
    np.testing.assert_allclose(shown[0], inputs[3] / 255, rtol=1e-6)
    of_layer = maps['Conv_0']
    expected = 0.5 + 0.5 * of_layer[0, :, :, 2] / np.abs(of_layer).max()
    np.testing.assert_allclose(shown[3], expected, rtol=1e-4, atol=1e-6)
    assert f'test image 3 ({labels[3]})' in figure.get_suptitle()


def test_mistakes_are_said(lenet, mlp):
    with pytest.raises(errors.UserError, match=r'set config\.histograms=True'):
        weights.histograms(mlp)
    with pytest.raises(errors.UserError, match='no point 3: there are 1, from 0 on'):
        weights.histograms(lenet, 3)
    with pytest.raises(errors.UserError, match="unknown convolution 'Conv_9'"):
        feature_maps.filters(lenet, layer='Conv_9')
    with pytest.raises(errors.UserError, match='known: none'):
        feature_maps.filters(mlp)
    with pytest.raises(errors.UserError, match='feature maps are of convolutions'):
        feature_maps.feature_maps(mlp)
    with pytest.raises(errors.UserError, match='no test image -1'):
        feature_maps.feature_maps(lenet, index=-1)
