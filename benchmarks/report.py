"""Results as JSON, as a table on the terminal, and as the README's numbers."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from rich.table import Table

from .harness import Row
from .jax_rival import OPTAX
from .linear import LOSS as LINEAR
from .processes import ROOT
from .rivals import COMPILED, EAGER, FLOOR, HUGE, JAX, OPTIONAL, OURS, RIVALS
from .samples import HEADLINE, RECIPES

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"

Record = dict[str, Any]  # a dataclass of results, read back from JSON

_ALWAYS = (EAGER, HUGE, COMPILED)


def save(name: str, results: Record) -> Path:
    """Write `results/NAME.json`; it keeps what these results do not hold."""
    RESULTS.mkdir(exist_ok=True)
    path = _path(name)
    kept = load(name) if path.exists() else {}
    path.write_text(json.dumps(kept | results, indent=1) + "\n", encoding="utf-8")
    return path


def load(name: str) -> Record:
    """Read `results/NAME.json`."""
    return json.loads(_path(name).read_text(encoding="utf-8"))


def bystanders(results: Record) -> float | None:
    """The largest share of the machine that others used during any of the measurements."""
    shares = [machine["bystanders"] for machine in _machines(results)]
    return max((share for share in shares if share is not None), default=None)


def _machines(results: Record) -> list[Record]:
    return [part["machine"] for part in (results, results.get(LINEAR, {})) if "machine" in part]


def _path(name: str) -> Path:
    return RESULTS / f"{name}.json"


# --- the terminal ----------------------------------------------------------------------------


def live_table() -> Table:
    """The table that a run fills."""
    table = Table(title="value + gradient: ours, and the others as multiples of it", box=None)
    labels = [RIVALS[rival].label for rival in (*_ALWAYS, *OPTIONAL)]
    for text in ("loss", "dtype"):
        table.add_column(text, no_wrap=True)
    for number in ("elements", "onepass", *labels, "ours / floor"):
        table.add_column(number, justify="right", no_wrap=True)
    return table


def live_cells(row: Row) -> list[str]:
    """One row of it."""
    ours = row.seconds.get(OURS)
    rivals = [_times(row.paired.get(rival)) for rival in (*_ALWAYS, *OPTIONAL)]
    floor = row.paired.get(FLOOR)
    return [
        row.loss,
        row.dtype,
        f"{row.size:,}",
        duration(ours) if ours else "failed",
        *rivals,
        _times(1 / floor) if floor else "",
    ]


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g}x"


# --- the README ------------------------------------------------------------------------------


def section(results: Record) -> str:
    """Everything between the README's two markers."""
    parts = _comparisons(results) if "rows" in results else []
    if LINEAR in results:
        parts += _linear(results[LINEAR])
    return "\n\n".join(dict.fromkeys(filter(None, parts)))  # equal conditions are said once


def _comparisons(results: Record) -> list[str]:
    rows: list[Record] = results["rows"]
    losses = [row for row in rows if not RECIPES[row["loss"]].function]
    variants = [row for row in rows if RECIPES[row["loss"]].function]
    return [
        _conditions(results["machine"]),
        _jax(_present(rows)),
        _headline(losses),
        _variants(variants),
        _by_dtype(losses),
        _by_size(losses),
        _peaks(results["peaks"]),
        _starts(results),
    ]


def rewrite_readme(results: Record) -> None:
    """Replace what stands between the markers."""
    text = README.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{README.name} must hold {START} and, after it, {END}")
    body = f"{before}{START}\n{section(results)}\n{END}{after}"
    README.write_text(body, encoding="utf-8")


def _conditions(machine: Record) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    others = machine["bystanders"]
    quiet = "" if others is None else f" Other programs used {others:.0%} of it meanwhile."
    return (
        f"Measured {machine['date']} on one machine: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, {machine['instructions']}, {machine['system']} (huge "
        f"pages: {machine['huge_pages']}), Python {machine['python']}, {versions}.{quiet} "
        "Value and gradient of one call: medians; a factor is the median of the ratios of turns "
        "that stood side by side."
    )


def _jax(rivals: Iterable[str]) -> str:
    """Whose losses JAX's are."""
    optax = [f"`{loss}`" for loss in OPTAX if not RECIPES[loss].function]
    what = (
        "JAX is `jax.value_and_grad` under `jax.jit`, with as many threads, in float32. Of optax "
        f"are {', '.join(optax)}; the other losses are written in `jax.numpy`."
    )
    return what if JAX in rivals else ""


def _headline(rows: list[Record]) -> str:
    chosen = [row for row in rows if _is(row, "float32", HEADLINE) and OURS in row["seconds"]]
    if not chosen:
        return ""
    rivals = _present(chosen)
    lines = _compared(chosen, rivals)
    means = [_bold(_mean_of(rival, chosen)) for rival in rivals]
    foot = ["geometric mean", "", *means, _bold(_mean(map(_over_floor, chosen)))]
    return _markdown(_head(f"float32, {HEADLINE:,} elements", rivals), [*lines, foot])


def _variants(rows: list[Record]) -> str:
    chosen = [row for row in rows if OURS in row["seconds"]]
    if not chosen:
        return ""
    rivals = _present(chosen)
    return _markdown(_head("float32, elements", rivals), _compared(chosen, rivals))


def _present(rows: list[Record]) -> list[str]:
    return [r for r in (*_ALWAYS, JAX) if any(r in row["paired"] for row in rows)]


def _head(what: str, rivals: list[str]) -> list[str]:
    return [what, "onepass", *map(_faster, rivals), "onepass / floor"]


def _faster(rival: str) -> str:
    return f"faster than {RIVALS[rival].label}"


def _compared(rows: list[Record], rivals: list[str]) -> list[list[str]]:
    return [
        [
            _named(row),
            duration(row["seconds"][OURS]),
            *(_times(row["paired"].get(rival)) for rival in rivals),
            _times(_over_floor(row)),
        ]
        for row in rows
    ]


def _named(row: Record) -> str:
    """The loss; of a variant also what makes it one, and its size."""
    loss, _, what = row["loss"].partition(", ")
    return f"`{loss}`, {what}: {row['size']:,}" if what else f"`{loss}`"


def _by_dtype(rows: list[Record]) -> str:
    dtypes = list(dict.fromkeys(row["dtype"] for row in rows))
    if len(dtypes) == 1:
        return ""
    groups = {dtype: [row for row in rows if _is(row, dtype, HEADLINE)] for dtype in dtypes}
    return _markdown(
        [f"{HEADLINE:,} elements", *_GROUP_HEAD],
        [[dtype, *_group(group)] for dtype, group in groups.items() if group],
    )


def _by_size(rows: list[Record]) -> str:
    sizes = sorted({row["size"] for row in rows})
    groups = {size: [row for row in rows if _is(row, "float32", size)] for size in sizes}
    jax = [JAX] if JAX in _present(rows) else []
    return _markdown(
        ["float32, elements", *_GROUP_HEAD, *map(_faster, jax)],
        [
            [f"{size:,}", *_group(group), *(_mean_of(rival, group) for rival in jax)]
            for size, group in groups.items()
            if group
        ],
    )


_GROUP_HEAD = ("faster than torch", "at the least", "faster than torch, huge pages")


def _group(rows: list[Record]) -> list[str]:
    """Geometric mean and worst against torch, geometric mean against torch with huge pages."""
    eager = [row["paired"][EAGER] for row in rows if EAGER in row["paired"]]
    worst = f"{_times(min(eager))} ({_worst(rows)})" if eager else ""
    return [_mean(eager), worst, _mean_of(HUGE, rows)]


def _mean_of(rival: str, rows: list[Record]) -> str:
    return _mean(row["paired"].get(rival) for row in rows)


def _worst(rows: list[Record]) -> str:
    compared = [row for row in rows if EAGER in row["paired"]]
    return f"`{min(compared, key=lambda row: row['paired'][EAGER])['loss']}`"


def _peaks(peaks: list[Record]) -> str:
    lines = [
        [
            f"`{peak['loss']}`",
            _megabytes(peak["bytes"].get(OURS)),
            _megabytes(peak["bytes"].get(EAGER)),
        ]
        for peak in peaks
    ]
    head = [f"peak memory above the inputs, {peaks[0]['size']:,} elements", "onepass", "torch"]
    return _markdown(head, lines)


def _linear(found: Record) -> list[str]:
    shape = ", ".join(f"{count:,} {axis}" for axis, count in found["layer"].items())
    lines = [_linear_cells(rival, found) for rival in (*found["seconds"], *found["errors"])]
    head = [f"float32, {shape}", "time", "time / floor", "peak memory above inputs and gradients"]
    what = (
        f"`{LINEAR}`, with the gradients of input and weight. The floor is the three matrix "
        "products alone, in the chunks of rows that onepass takes."
    )
    return [_conditions(found["machine"]), _jax(found["seconds"]), what, _markdown(head, lines)]


def _linear_cells(rival: str, found: Record) -> list[str]:
    seconds = found["seconds"].get(rival)
    return [
        RIVALS[rival].label,
        duration(seconds) if seconds else "failed",
        _times(found["over_floor"].get(rival)),
        _megabytes(found["bytes"][rival]) if rival in found["bytes"] else "",
    ]


def _megabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e6:.1f} MB"


def _starts(results: Record) -> str:
    first: dict[str, Record] = results["first_calls"]
    lines = [["`import onepass` after `import torch`", duration(results["import_seconds"])]]
    names = {"cold": "empty cache", "warm": "from the disk cache", "compiled": "torch.compile"}
    for key, name in names.items():
        if key in first:
            lines.append([f"first call in a process, {name}", duration(first[key]["first"])])
            if first[key]["further"] is not None:
                lines.append([f"each further loss, {name}", duration(first[key]["further"])])
    return _markdown(["start", "time"], lines)


def _is(row: Record, dtype: str, size: int) -> bool:
    return row["dtype"] == dtype and row["size"] == size


def _over_floor(row: Record) -> float | None:
    floor = row["paired"].get(FLOOR)
    return 1 / floor if floor else None


def _mean(ratios: Iterable[float | None]) -> str:
    known = [ratio for ratio in ratios if ratio is not None]
    return _times(geometric_mean(known)) if known else ""


def _bold(cell: str) -> str:
    return f"**{cell}**" if cell else ""


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))
