"""Quantile regression: predict the value below which a given share of the targets lies.

Koenker and Bassett (1978), doi:10.2307/1913643.
"""

import torch
from torch import Tensor

import onepass

LEVEL = onepass.Domain("a level", low=0, high=1, low_open=True, high_open=True, inside=0.5)


@onepass.pointwise(level=LEVEL)
def quantile_loss(input: Tensor, target: Tensor, *, level: float = 0.5) -> Tensor:
    """Pulls up with strength `level`, down with 1 - level: at rest at that quantile."""
    error = target - input
    return torch.maximum(level * error, (level - 1) * error)


def main() -> None:
    """Fit three constants to one sample; each comes to rest at its quantile."""
    target = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).exp()
    for level in (0.1, 0.5, 0.9):
        loss = onepass.nn.PointwiseLoss(quantile_loss, level=level)
        constant = torch.ones((), requires_grad=True)
        optimizer = torch.optim.SGD([constant], lr=1.0)
        for _ in range(300):
            optimizer.zero_grad()
            loss(constant, target).backward()
            optimizer.step()
        fitted, exact = constant.item(), target.quantile(level).item()
        print(f"level {level}: fitted {fitted:.3f}, quantile {exact:.3f}")


if __name__ == "__main__":
    main()
