"""A loss with a parameter of its own."""

import torch
from torch import nn


class Scaled(nn.MSELoss):
    """Has a parameter, which it shows to whoever keeps its copy."""

    copies = ()

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def __deepcopy__(self, memo):
        copied = Scaled()
        copied.load_state_dict(self.state_dict())
        Scaled.copies += (copied,)
        return copied

    def forward(self, input, target):
        return super().forward(self.scale * input, target)
