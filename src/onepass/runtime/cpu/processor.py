"""The processor that kernels are compiled for."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from llvmlite import binding as llvm


def chosen() -> tuple[str, str]:
    """Its name and features: ONEPASS_CPU_NAME and ONEPASS_CPU_FEATURES, or this one."""
    name, features = (os.environ.get(f"ONEPASS_CPU_{what}") for what in ("NAME", "FEATURES"))
    if name is None:
        name = llvm.get_host_cpu_name()
        features = features or llvm.get_host_cpu_features().flatten()
    return name, features or ""


@cache
def machine() -> Any:
    """LLVM's target machine, of position-independent code in the small code model: a constant is
    read beside the code, and not by a 64-bit address that takes a register.
    """
    cpu, features = chosen()
    return target().create_target_machine(
        cpu=cpu,
        features=features,
        opt=3,
        reloc="pic",
        codemodel="small",
    )


def target() -> Any:
    """The kind of processor that this process runs on, as LLVM has it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()
