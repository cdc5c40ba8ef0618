"""What a driver tells machines while it runs: metrics on a port, and its log as one JSON object per line.

Belongs here: which events there are and what they carry. Names and meanings of the metrics are in raysweep.metrics.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self

from raysweep.cli.output import tell, tell_through
from raysweep.log import show_on_terminal, verbose_terminal

if TYPE_CHECKING:
    from raysweep.metrics.prometheus import Exporter
    from raysweep.schedule.driver import Progress

Logs = Literal["plain", "json"]
LOGGED = (
    "trial_id", "attempt_id", "attempt", "block_id", "block_run", "task", "model", "band", "repeat", "bucket",
    "occasion", "outcome", "cause", "cause_class", "phase", "detail", "reward", "timed_out", "transport_down_s",
)  # fmt: skip
"""Columns of the ledger that the event `attempt` carries, where they are known."""


def log_as(logs: Logs) -> None:
    """From now on lines of `tell` are plain text, or the events `message` on standard error as JSON."""
    if logs == "plain":
        tell_through(None)
        return
    show_on_terminal(verbose=verbose_terminal(), as_json=True)
    log = _json_log()
    tell_through(lambda line: log.info("message", text=line))


def _json_log() -> Any:
    import structlog

    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.BoundLogger,
    )


class Telemetry:
    """The telemetry of one run. A context manager; without a port and with plain logs it does nothing.

    planned, done: trials of the plan, and those that were done before. port: where metrics are served, 0 for any free
    port, None for nowhere. InputError on entering: the port cannot be had.
    """

    def __init__(self, run_id: str, planned: int, done: int, port: int | None, logs: Logs) -> None:
        self._planned, self._before, self._port = planned, done, port
        self._log = _json_log().bind(run_id=run_id) if logs == "json" else None
        self._exporter: Exporter | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._port is not None:
            from raysweep.metrics.prometheus import Exporter

            self._exporter = self._stack.enter_context(Exporter(self._port))
            self._gauges(self._before, 0, 0.0)
            tell(f"metrics: http://0.0.0.0:{self._exporter.port}/metrics")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def row(self, row: Mapping[str, Any]) -> None:
        """An attempt ended; row: as the ledger gets it."""
        if self._exporter is not None:
            from raysweep.metrics import attempt_samples

            self._exporter.take(attempt_samples(row))
        if self._log is not None:
            known = {key: row[key] for key in LOGGED if row.get(key) is not None}
            (self._log.warning if row.get("cause_class") == "platform" else self._log.info)("attempt", **known)

    def progress(self, progress: Progress) -> None:
        """Where the run is."""
        if self._exporter is not None:
            idle = progress.in_flight == 0 and not progress.waiting_retries
            done = min(self._planned, self._before + progress.finished)
            opens = progress.waiting_until if idle else None
            self._gauges(done, progress.in_flight, opens or 0.0, progress.waiting_retries)

    def _gauges(self, done: int, in_flight: int, opens: float, waiting: int = 0) -> None:
        from raysweep.metrics import Sample

        assert self._exporter is not None  # noqa: S101 - called where there is one
        self._exporter.take(
            [
                Sample("raysweep_trials_planned", self._planned),
                Sample("raysweep_trials_done", done),
                Sample("raysweep_attempts_in_flight", in_flight),
                Sample("raysweep_trials_waiting_to_retry", waiting),
                Sample("raysweep_window_opens_timestamp_seconds", opens),
            ]
        )
