"""A second engine, for tests: the definitions of losses in the place of kernels."""

from functools import partial

import torch

from onepass.runtime import eager
from onepass.runtime.cpu.engine import definition, obstacle


class Toy:
    """Takes the calls that the CPU engine takes, and counts them."""

    def __init__(self):
        self.calls = 0

    def obstacle(self, call, tensors):
        return obstacle(call, tensors)

    def value(self, call, tensors):
        self.calls += 1
        return definition(call, [tensor.detach() for tensor in tensors])

    def values(self, call, tensors):
        return self.value(call, tensors), None

    def value_and_gradients(self, call, tensors, needs_grad, upstream=None):
        value = self.value(call, tensors)
        upstream = torch.ones_like(value) if upstream is None else upstream
        return value, self.gradients(call, tensors, needs_grad, upstream, None)

    def gradients(self, call, tensors, needs_grad, upstream, lost):
        loss = partial(eager.evaluate, call)
        return eager.gradients_of(loss, tensors, needs_grad, upstream, differentiable=False)

    def scaled(self, call, gradients, upstream):
        return gradients if upstream == 1 else None

    def definition(self, call, tensors):
        return definition(call, tensors)

    def runner(self, call, tensors, otherwise):
        return otherwise

    def recipe(self, call, tensors, given):
        return None
