"""Printed kernels: golden files, and the machine code that becomes of their text."""

import difflib
import re
import shutil
import subprocess

from onepass.runtime.cpu import compiler, processor


def assert_golden(path, printed, request):
    """The text is that of the file, which `pytest --accept` rewrites."""
    if request.config.getoption("--accept"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(printed)
    accepted = path.read_text() if path.exists() else ""
    compared = (accepted.splitlines(keepends=True), printed.splitlines(keepends=True))
    lines = difflib.unified_diff(*compared, f"{path.name} (accepted)", f"{path.name} (printed)")
    assert printed == accepted, "`pytest --accept` rewrites golden files:\n" + "".join(lines)


def compiled(text, signature) -> tuple[str, bytes]:
    """Assembly and object code, as the engine makes them."""
    module = compiler.module(text, signature, "onepass_tested")
    machine = processor.machine()
    return machine.emit_assembly(module), machine.emit_object(module)


def assert_complete(code, known, folder):
    """The object code shows the kernel and nothing else, and asks for the `known` symbols alone."""
    if shutil.which("nm") is None:
        return
    (folder / "kernel.o").write_bytes(code)
    command = ["nm", folder / "kernel.o"]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = re.findall(r" ([A-TV-Z]) _?(\w+)$", symbols, re.MULTILINE)
    assert shown == [("T", "onepass_tested")]
    assert set(re.findall(r" U _?(\w+)", symbols)) <= known
