"""The Ray that a driver starts beside itself: its start, the death of its own processes, and its end without leftovers.

Ray replaces none of these processes, and waits for a dead one for ever, or until it ends the whole driver: so the run
ends itself, resumable. Actors and attempts are not known here (`ray_executor`).
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from typing import Any

from raysweep.errors import IncompleteError

WATCH_S = 1.0
"""Seconds between looks at the processes of an embedded Ray: without its raylet no call would ever return."""

VITAL = ("raylet", "gcs_server")
"""Processes of an embedded Ray without which no attempt comes to an end, as Ray names them."""


class EmbeddedRay:
    """The processes of the Ray that this process started."""

    def __init__(self) -> None:
        self._below: list[Any] = []

    def dead_process(self) -> tuple[str, int] | None:
        """Name and pid of a vital process, once it is dead.

        Asking also reaps it, and that is what its workers wait for before they end: to them a zombie is alive.
        """
        node = _node()
        dead = next(((kind, process.pid) for kind, process in node.dead_processes() if kind in VITAL), None)
        if dead is not None or not self._below:
            self._below = _below(node) or self._below
        return dead

    def end(self) -> None:
        """Shut it down. What the raylet had started outlives a Ray that lost its GCS: it is killed here."""
        import ray  # noqa: PLC0415 - 0.6 s that only a run should pay

        broken = ray.is_initialized() and self.dead_process() is not None
        ray.shutdown()
        for process in self._below if broken else ():
            with contextlib.suppress(Exception):  # gone, or its pid is another's: psutil tells them apart
                process.kill()


def _node() -> Any:
    from ray._private import worker  # noqa: PLC0415 - as above; Ray has no public way

    return worker._global_node  # noqa: SLF001 - as above


def _below(node: Any) -> list[Any]:
    """Everything that the raylet has started, agents and workers; nothing where it is dead."""
    psutil: Any = importlib.import_module("psutil")  # Ray brings it along
    raylets = [info.process.pid for info in node.all_processes.get("raylet", ())]
    try:
        return [process for pid in raylets for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def init_ray(trial_slots: int) -> bool:
    """Join the cluster of RAY_ADDRESS, or start an embedded Ray with `trial_slots` slots here; True for the latter."""
    # Usage reports, the dashboard and Ray's own memory killer would all be noise in a measurement.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    embedded = "RAY_ADDRESS" not in os.environ
    if embedded:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray  # noqa: PLC0415 - after its environment is set

    if not embedded:
        ray.init(log_to_driver=False)
        return False
    try:
        ray.init(
            address="local",
            resources={"trial_slots": trial_slots},
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100_000_000,
        )
    except Exception as error:  # a plain one, where its processes are slow to come or die
        raise IncompleteError(f"Ray did not start here ({error}); the same command tries again") from error
    return True
