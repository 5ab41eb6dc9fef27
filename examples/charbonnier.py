"""Charbonnier's loss, common in image restoration: absolute error without its corner.

Charbonnier, Blanc-Féraud, Aubert and Barlaud (1994), doi:10.1109/ICIP.1994.413553.
"""

import torch
from torch import Tensor

import onepass


@onepass.pointwise(eps=onepass.POSITIVE)
def charbonnier_loss(input: Tensor, target: Tensor, *, eps: float = 0.001) -> Tensor:
    """Absolute error whose gradient passes through 0 smoothly, within about eps of the target."""
    error = input - target
    return torch.sqrt(error * error + eps * eps)


def main() -> None:
    """One element on its target, one close to it, one far off; then the kernel that ran."""
    target = torch.zeros(3)
    input = torch.tensor([0.0, 0.001, 2.0], requires_grad=True)
    loss = onepass.nn.PointwiseLoss(charbonnier_loss, reduction="sum")
    value = loss(input, target)
    value.backward()
    print(f"{loss!r} = {value.item():.4f}, its gradient {input.grad}")
    print(charbonnier_loss.source("cpu"))


if __name__ == "__main__":
    main()
