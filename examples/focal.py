"""Focal loss: yes or no where most examples are easy, as in object detection.

Lin, Goyal, Girshick, He and Dollár (2017), doi:10.1109/ICCV.2017.324.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import onepass


@onepass.pointwise(target=onepass.PROBABILITY, gamma=onepass.NONNEGATIVE, alpha=onepass.PROBABILITY)
def focal_loss(input: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Cross entropy of a logit whose gradient fades where the answer is already right."""
    yes, no = torch.sigmoid(input), torch.sigmoid(-input)
    positive = alpha * target * no**gamma * F.logsigmoid(input)
    negative = (1 - alpha) * (1 - target) * yes**gamma * F.logsigmoid(-input)
    return -(positive + negative)


def main() -> None:
    """How much an easy negative and a missed positive pull, with and without focus."""
    target = torch.tensor([0.0, 1.0])
    for gamma in (0.0, 2.0, 5.0):
        input = torch.tensor([-3.0, -3.0], requires_grad=True)
        loss = onepass.nn.PointwiseLoss(focal_loss, reduction="sum", gamma=gamma)
        loss(input, target).backward()
        easy, missed = input.grad.tolist()
        print(f"gamma {gamma}: easy {easy:.6f}, missed {missed:.6f}: 1 : {-missed / easy:.0f}")


if __name__ == "__main__":
    main()
