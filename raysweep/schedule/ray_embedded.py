"""The Ray that a driver starts beside itself: its start, the death of its own processes, and its end without leftovers.

Ray replaces none of these processes, and waits for a dead one for ever, or until it ends the whole driver: so the run
ends itself, resumable. Actors and attempts are not known here (`ray_executor`).
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import IncompleteError, UnsuitableError

_log = logging.getLogger(__name__)

WATCH_S = 1.0
"""Seconds between looks at the processes of an embedded Ray: without its raylet no call would ever return."""

VITAL = ("raylet", "gcs_server")
"""Processes of an embedded Ray without which no attempt comes to an end, as Ray names them."""


SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket."""
BELOW = len("/ray/session_2026-12-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""What Ray puts behind its temporary folder for the longest of its sockets."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
ADDRESS_PATIENCE_S = 20.0
"""How long a Ray that RAY_ADDRESS names may take to answer: a head may be starting."""


def temporary_folder(environ: Mapping[str, str]) -> str | None:
    """The folder for Ray's own files, None for Ray's choice.

    Ray takes $RAY_TMPDIR, else $TMPDIR. Where its sockets do not fit below $TMPDIR (batch systems make long ones), this
    is a short folder. UnsuitableError where the given $RAY_TMPDIR is too long, or no short folder can be written.
    """
    most = SOCKET_BYTES - BELOW
    given = environ.get("RAY_TMPDIR") or environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(given)) <= most:
        return None
    remedy = f"set RAY_TMPDIR to a folder of at most {most} bytes"
    if environ.get("RAY_TMPDIR"):
        raise UnsuitableError(f"RAY_TMPDIR={given} is too long for Ray's sockets", remedy)
    for folder in SHORT_FOLDERS:
        if os.access(folder, os.W_OK | os.X_OK):
            return str(Path(folder) / "ray")
    raise UnsuitableError(f"TMPDIR={given} is too long for Ray's sockets", remedy)


def await_address(address: str, patience_s: float = ADDRESS_PATIENCE_S) -> None:
    """Return when something listens at the address of a Ray cluster; UnsuitableError when nothing does in time.

    address: as RAY_ADDRESS has it (HOST:PORT, ray://HOST:PORT); "auto" and "local" are left to Ray.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        if address in {"auto", "local"}:
            return
        raise UnsuitableError(f"RAY_ADDRESS={address} is no address of a Ray cluster", _ADDRESS_REMEDY)
    until = time.monotonic() + patience_s
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5.0):
                return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= until or isinstance(error, OverflowError):
                message = f"RAY_ADDRESS={address} names no running Ray cluster ({error})"
                raise UnsuitableError(message, _ADDRESS_REMEDY) from error
        time.sleep(0.5)


_ADDRESS_REMEDY = "unset RAY_ADDRESS to start Ray on this machine, or set it to the address of a running cluster"


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
    """Join the cluster of RAY_ADDRESS, or start an embedded Ray with `trial_slots` slots here; True for the latter.

    UnsuitableError where RAY_ADDRESS names no cluster, or Ray's sockets fit nowhere; IncompleteError where Ray does not
    start.
    """
    # Usage reports, the dashboard and Ray's own memory killer would all be noise in a measurement.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
    embedded = "RAY_ADDRESS" not in os.environ
    if embedded:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray  # noqa: PLC0415 - after its environment is set

    if not embedded:
        _join(ray)
        return False
    folder = temporary_folder(os.environ)
    _log.info("starting Ray %s here with %d trial slots", ray.__version__, trial_slots)
    try:
        ray.init(
            address="local",
            resources={"trial_slots": trial_slots},
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100_000_000,
            _temp_dir=folder,
        )
    except Exception as error:  # a plain one, where its processes are slow to come or die
        raise IncompleteError(f"Ray did not start here ({error}); the same command tries again") from error
    return True


def _join(ray: Any) -> None:
    address = os.environ["RAY_ADDRESS"]
    await_address(address)
    _log.info("joining the Ray cluster at %s", address)
    try:
        ray.init(log_to_driver=False)
    except Exception as error:  # whatever it says, the variable is what the user can change
        message = f"RAY_ADDRESS={address}: Ray cannot be joined there ({error})"
        raise UnsuitableError(message, _ADDRESS_REMEDY) from error
