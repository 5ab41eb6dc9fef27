"""Two losses compared in a small race, and what is shown of it."""

from rich.console import Console

from onepass.guide import demo

SMALL = (20, 10)


def rendered(width, *shown):
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(*shown)
    return capture.get()


def compared(monkeypatch, theirs, ours, name="mse_loss"):
    monkeypatch.setattr(demo, "twins", lambda task: (theirs, ours))
    (result,) = demo.run([name])
    return result
