"""A plain PyTorch loop, in its fastest layout, threads and optimizer."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import problem as problem_lib
from benchmarks.problem import Layers, Problem
from benchmarks.sides import loop

VERSIONS = {'torch': torch.__version__}

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
# What is tried, one after the other; the first value counts until another is faster.
CHOICES: dict[str, tuple[Any, ...]] = {
    'threads': (2, 1),
    'channels_last': (True, False),
    'fused_optimizer': (True, False),
}
TRIALS, TRIAL_SECONDS = 5, 0.1


def prepare(folder: str, seconds: float, compiled: bool = False) -> 'Trainer':
    """Returns the loop of the problem in a folder, a repeat being `seconds` long.

    With `compiled`, the loss is compiled, and kernels are started by CUDA graphs.
    """
    return Trainer(problem_lib.load(Path(folder)), seconds, compiled)


class Trainer:
    """See `benchmarks.worker`."""

    compile_seconds = None

    def __init__(self, problem: Problem, seconds: float, compiled: bool):
        torch.manual_seed(0)
        self.problem = problem
        choices = dict(CHOICES)
        if problem.inputs.ndim != 4:
            choices['channels_last'] = (False,)
        choices['compiled'] = (compiled,)
        choices['device'] = (DEVICE,)
        if DEVICE != 'cpu':
            choices['threads'] = (1,)
        chosen = {name: values[0] for name, values in choices.items()}
        for name, values in choices.items():
            if len(values) == 1:
                continue
            loops = {value: Loop(problem, {**chosen, name: value}) for value in values}
            took: dict[Any, float] = dict.fromkeys(values, math.inf)
            # In turn, and the fastest round of each, since others may use the machine.
            for _ in range(TRIALS):
                for value, candidate in loops.items():
                    took[value] = min(took[value], candidate.trial())
            chosen[name] = min(took, key=lambda value: took[value])
        self.settings = chosen
        self.losses = Loop(problem, chosen).losses()
        self._timer = loop.Timer(problem, Loop(problem, chosen).train, seconds)
        self.repeat = self._timer.repeat


class Loop:
    """Model, optimizer and data of one run, and the loop over its steps."""

    def __init__(self, problem: Problem, settings: dict[str, Any]):
        self.threads, self.device = settings['threads'], settings['device']
        torch.set_num_threads(self.threads)
        self.problem = problem
        # A convolution keeps the layout of its input. Images of one channel would pass for either.
        inputs = torch.from_numpy(problem.inputs)
        is_image = inputs.ndim == 4
        self.inputs = inputs.permute(0, 3, 1, 2) if is_image else inputs
        self.layout = torch.channels_last if settings['channels_last'] else torch.contiguous_format
        self.inputs = self.inputs.contiguous(memory_format=self.layout).to(self.device)
        labels = torch.from_numpy(problem.labels)
        labels = labels if labels.is_floating_point() else labels.long()
        self.labels = labels.to(self.device)
        self.model = _sequential(problem.net, problem.inputs.shape[-1])
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                layer, _, field = name.rpartition('.')
                weight = problem.weights[_weight_name(self.model.get_submodule(layer), field)]
                parameter.copy_(torch.from_numpy(_as_torch(weight, self.model, layer)))
        self.model = self.model.to(self.device, memory_format=self.layout)
        options = dict(problem.optimizer)
        name, rate = options.pop('name'), options.pop('learning_rate')
        fused = settings['fused_optimizer']
        self.optimizer: torch.optim.Optimizer
        if name == 'adam':
            self.optimizer = torch.optim.Adam(
                self.model.parameters(), rate, eps=options['eps'], fused=fused
            )
        else:
            momentum = options['momentum'] or 0.0
            self.optimizer = torch.optim.SGD(
                self.model.parameters(), rate, momentum=momentum, fused=fused
            )
        losses = {
            'squared_error': functional.mse_loss,
            'softmax_cross_entropy': functional.cross_entropy,
        }
        self.loss = losses[problem.loss]
        self.loss_of = self._loss_of
        if settings['compiled']:
            self.loss_of = torch.compile(self._loss_of, mode='reduce-overhead')

    def _loss_of(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model(inputs), labels)

    def step(self, rows: torch.Tensor, augment: bool) -> torch.Tensor:
        """Takes a step on some of the examples; returns their loss before it."""
        inputs, labels = self.inputs[rows], self.labels[rows]
        if augment and self.problem.augmentation:
            inputs = augmented(inputs, **self.problem.augmentation)
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=self.layout)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(inputs, labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def train(self, epochs: int) -> None:
        """Trains on all batches of so many epochs, shuffled."""
        for _ in range(epochs):
            self.model.train()
            order = torch.randperm(self.problem.num_train, device=self.device)
            for rows in order.split(self.problem.batch_size):
                self.step(rows, augment=True)
            if self.problem.evaluates:
                self.evaluate()
        self._wait()

    def _wait(self) -> None:
        if self.device != 'cpu':
            torch.cuda.synchronize()

    def evaluate(self) -> list[tuple[float, float]]:
        """Returns loss and accuracy of every split."""
        self.model.eval()
        measured = []
        with torch.no_grad():
            for rows in self.problem.split_rows():
                outputs, labels = self.model(self.inputs[rows]), self.labels[rows]
                accuracy = (outputs.argmax(1) == labels).float().mean()
                measured.append((self.loss(outputs, labels).item(), accuracy.item()))
        return measured

    def losses(self) -> list[float]:
        """Returns the losses of the given batches, without augmentation and dropout."""
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        order = torch.from_numpy(self.problem.order).to(self.device)
        return [self.step(rows, augment=False).item() for rows in order]

    def trial(self) -> float:
        """Returns seconds of a step."""
        torch.set_num_threads(self.threads)
        batches = self._batches()
        self.model.train()
        self.step(next(batches), augment=True)
        began, steps, seconds = time.perf_counter(), 0, 0.0
        while seconds < TRIAL_SECONDS:
            self.step(next(batches), augment=True)
            self._wait()
            steps, seconds = steps + 1, time.perf_counter() - began
        return seconds / steps

    def _batches(self) -> Iterator[torch.Tensor]:
        while True:
            order = torch.randperm(self.problem.num_train, device=self.device)
            yield from order.split(self.problem.batch_size)


class Residual(nn.Module):
    """activation(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class Branches(nn.Module):
    """The outputs of several modules on the same input, joined along the channels."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class GlobalMean(nn.Module):
    """The mean over the pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def _activations(name: str) -> list[nn.Module]:
    kinds = {'relu': nn.ReLU, 'sigmoid': nn.Sigmoid}
    return [] if name == 'identity' else [kinds[name]()]


def _sequential(layers: Layers, channels: int) -> nn.Sequential:
    """Returns the layers as modules.

    Those with weights carry the name of theirs as `weights_name`, and a dense layer after a
    flattening the shape of what was flattened as `flattened`.
    """
    modules: list[nn.Module] = []
    flattened = None
    for layer in layers:
        op = layer['op']
        if op == 'conv':
            padding = layer['size'] // 2 if layer['padding'] == 'SAME' else 0
            modules.append(nn.Conv2d(channels, layer['features'], layer['size'], padding=padding))
            modules[-1].weights_name = layer['name']
            channels = layer['features']
            if layer['norm']:
                norm = layer['norm']
                modules.append(nn.BatchNorm2d(channels, norm['epsilon'], 1 - norm['momentum']))
                modules[-1].weights_name = norm['name']
            modules += _activations(layer['activation'])
        elif op == 'dense':
            modules.append(nn.Linear(channels, layer['features']))
            modules[-1].weights_name = layer['name']
            modules[-1].flattened, flattened = flattened, None
            channels = layer['features']
            modules += _activations(layer['activation'])
        elif op in ('max_pool', 'avg_pool'):
            size, stride = layer['size'], layer['stride']
            if stride == 1:
                modules.append(nn.MaxPool2d(size, 1, padding=size // 2))
            else:
                kind = nn.MaxPool2d if op == 'max_pool' else nn.AvgPool2d
                modules.append(kind(size, stride, ceil_mode=True))
        elif op == 'flatten':
            modules.append(nn.Flatten())
            flattened = layer['shape']
            channels = math.prod(flattened)
        elif op == 'global_mean':
            modules.append(GlobalMean())
        elif op == 'dropout':
            modules.append(nn.Dropout(layer['rate']))
        elif op == 'residual':
            body = _sequential(layer['body'], channels)
            modules.append(Residual(body, _sequential(layer['shortcut'], channels)))
            channels = layer['body'][-1]['features']
        elif op == 'branches':
            branches = layer['branches']
            modules.append(Branches(*(_sequential(branch, channels) for branch in branches)))
            channels = sum(branch[-1]['features'] for branch in branches)
    return nn.Sequential(*modules)


def _weight_name(module: nn.Module, field: str) -> str:
    """Returns the name that a problem has for a parameter."""
    names = {'weight': 'kernel', 'bias': 'bias'}
    if isinstance(module, nn.BatchNorm2d):
        names['weight'] = 'scale'
    return f'{module.weights_name}/{names[field]}'


def _as_torch(weight: np.ndarray, model: nn.Module, layer: str) -> np.ndarray:
    """Returns a weight in PyTorch's order of axes: outputs first, and channels before pixels."""
    if weight.ndim == 4:
        return weight.transpose(3, 2, 0, 1)
    if weight.ndim == 2:
        flattened = model.get_submodule(layer).flattened
        if flattened:
            shaped = weight.reshape(*flattened, -1).transpose(2, 0, 1, 3)
            weight = shaped.reshape(weight.shape)
        return weight.T
    return weight


def augmented(
    images: torch.Tensor, horizontal_flip: float, shift: float, rotation: float
) -> torch.Tensor:
    """Returns a batch `[B, C, H, W]` after random flips, shifts and rotations, bilinear.

    Args:
      images: the batch.
      horizontal_flip: its probability.
      shift: at most, as a share of the side.
      rotation: at most, in degrees.
    """
    num, device = len(images), images.device
    angle = torch.deg2rad(rotation * (2 * torch.rand(num, device=device) - 1))
    flip = torch.where(torch.rand(num, device=device) < horizontal_flip, -1.0, 1.0)
    # In grid_sample's coordinates an image is two units wide.
    down, right = 2 * shift * (2 * torch.rand(2, num, device=device) - 1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [torch.stack([cos * flip, -sin * flip, right], 1), torch.stack([sin, cos, down], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode='bilinear', align_corners=False)
