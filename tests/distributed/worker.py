"""One of two ranks: runs every case on sharded tensors and on whole ones, and compares.

Run by matrix.py, once for each rank. Both ranks tell each other what came out before they go on;
after an exception they meet in a new process group, since one of them may still have waited for the
other in the old one.
"""

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, distribute_tensor
from torch.distributed.tensor.parallel import loss_parallel

import onepass
from tests.distributed.cases import CASES, GRID, RIGHT, Call, Case, arguments, numbers, placements

WRONG_VALUE, WRONG_GRADIENT = "wrong value", "wrong gradient"
_PATIENCE = timedelta(seconds=20)  # until a rank that hears nothing gives up
_LIBRARIES: Mapping[str, Any] = {
    "torch": torch.nn.functional,
    "onepass": onepass.functional,
}

Results = tuple[Tensor, list[Tensor | None]]  # the value, and the gradients that were wanted
Distribute = Callable[[str, Tensor], Tensor]


class Rank:
    """This process, and what connects it with the other one."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.store = dist.FileStore(str(folder / "store"), 2)
        self.store.set_timeout(4 * _PATIENCE)
        self.meetings = 0
        self.meshes: dict[bool, DeviceMesh] = {}

    def meet(self) -> None:
        """A new process group."""
        self.leave()
        self.meetings += 1
        store = dist.PrefixStore(f"meeting {self.meetings}", self.store)
        dist.init_process_group(
            "gloo", store=store, rank=self.number, world_size=2, timeout=_PATIENCE
        )
        self.meshes = {}

    def mesh(self, case: Case) -> DeviceMesh:
        """The ranks in a line, or as a grid."""
        if case.on_grid not in self.meshes:
            ranks = torch.arange(2)
            ranks = ranks.reshape(GRID) if case.on_grid else ranks
            self.meshes[case.on_grid] = DeviceMesh("cpu", ranks)
        return self.meshes[case.on_grid]

    def leave(self) -> None:
        """Out of the group: a rank that waits for this one hears of it at once."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def agreed(self, key: str, outcome: str) -> str:
        """The worse of what came out on both ranks."""
        self.store.set(f"{key} {self.number}", outcome)
        other = self.store.get(f"{key} {1 - self.number}").decode()
        return max(outcome, other, key=_severity)


def _severity(outcome: str) -> int:
    """The first cause is worse than that the other rank has gone."""
    if outcome in (RIGHT, WRONG_GRADIENT, WRONG_VALUE):
        return (RIGHT, WRONG_GRADIENT, WRONG_VALUE).index(outcome)
    return 3 if "gloo" in outcome or "onnection" in outcome else 4


def is_exception(outcome: str) -> bool:
    return _severity(outcome) > 2


# A case


def outcome_of(library: str, case: Case, mesh: DeviceMesh) -> str:
    """What became of it on this rank."""
    call = arguments(case)
    value, gradients = _whole(library, case, call)
    try:
        found, slopes = _sharded(library, case, call, mesh)
    except Exception as error:  # noqa: BLE001
        return _described(error)
    if not _is_close(found, value):
        return WRONG_VALUE
    pairs = zip(slopes, gradients, strict=True)
    return RIGHT if all(_is_close(a, b) for a, b in pairs) else WRONG_GRADIENT


def _whole(library: str, case: Case, call: Call) -> Results:
    """The same on tensors that are not distributed, by the definition where it is ours."""
    with onepass.engine("eager"):
        return _results(library, case, call, lambda _, tensor: tensor.clone())


def _sharded(library: str, case: Case, call: Call, mesh: DeviceMesh) -> Results:
    def distribute(name: str, tensor: Tensor) -> Tensor:
        if name in call.plain:
            return tensor
        return _lying(tensor, mesh, placements(case, call, name))

    if not case.under_loss_parallel:
        return _results(library, case, call, distribute)
    failure = None
    with loss_parallel():  # which does not end where an exception goes through it
        try:
            found = _results(library, case, call, distribute)
        except Exception as error:  # noqa: BLE001
            failure = error
    if failure is not None:
        raise failure
    return found


def _results(library: str, case: Case, call: Call, distribute: Distribute) -> Results:
    given = {k: distribute(k, t) for k, t in (call.tensors | call.beside).items()}
    leaves = [given[name].requires_grad_() for name in call.wanted]
    value = getattr(_LIBRARIES[library], case.loss)(**given, **call.options)
    _upstream(case, value).backward()
    gradients = [None if leaf.grad is None else _full(leaf.grad) for leaf in leaves]
    return _full(value.detach()), gradients


def _upstream(case: Case, value: Tensor) -> Tensor:
    """A number that depends on the loss: for each element in another way."""
    if case.reduction != "none":
        return value if case.reduction == "mean" else 0.75 * value
    factors = numbers(10, *value.shape).to(value.dtype)
    if isinstance(value, DTensor):
        placements = [Replicate() if p.is_partial() else p for p in value.placements]
        factors = distribute_tensor(factors, value.device_mesh, placements)
    return (factors * value).sum()


def _lying(tensor: Tensor, mesh: DeviceMesh, placements: list[Placement]) -> Tensor:
    if placements[0].is_partial():
        return DTensor.from_local(tensor / 2, mesh, placements)
    return distribute_tensor(tensor, mesh, placements)


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _is_close(found: Tensor | None, expected: Tensor | None) -> bool:
    if found is None or expected is None:
        return False
    try:
        torch.testing.assert_close(found, expected)
    except AssertionError:
        return False
    return True


def _described(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'without a word'}"[:200]


# All cases


def run(number: int, folder: Path, library: str) -> None:
    """Every case that the folder names."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    named = json.loads((folder / "cases").read_text())
    rank = Rank(number, folder)
    rank.meet()
    with (folder / f"outcomes {number}").open("w") as file:
        for case in CASES:
            if case.name in named:
                outcome = outcome_of(library, case, rank.mesh(case))
                if is_exception(outcome):
                    rank.leave()
                outcome = rank.agreed(case.name, outcome)
                file.write(json.dumps([case.name, outcome]) + "\n")
                file.flush()
                if is_exception(outcome):
                    rank.meet()
    rank.leave()


if __name__ == "__main__":
    run(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
