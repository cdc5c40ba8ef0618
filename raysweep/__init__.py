"""How much of an agentic-coding score is infrastructure: raysweep measures it.

Two wings that meet only at the run directory: execution (config, tasks, plan, sandbox, agent, verifier, trial,
schedule) fills a ledger; analysis (stats, report) reads it. This package's own modules (errors, units, ids, seeds,
clock) are the base that everything may import and that imports nothing of ours. Nothing heavy is imported here: the
public API (docs/api.md, raysweep/api/) is loaded when it is first used; __init__.pyi has its types.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
_API = (
    "Progress", "Run", "Status", "Study", "calibrate", "compare", "load", "open_run", "run", "run_async",
)  # fmt: skip

__all__ = ["__version__", *_API]  # noqa: PLE0604 - names from a tuple of this module


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(importlib.import_module("raysweep.api"), name)
    raise AttributeError(f"module 'raysweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
