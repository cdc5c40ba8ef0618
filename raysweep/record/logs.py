"""RUN/logs: the log of a run's driver and runners, one JSON object a line, rotated by size.

On a disk each process appends to a file of its own; in a bucket, where nothing can be appended to, it writes pieces,
the last one again and again until it is full. A log that cannot be written harms no run: its lines are lost.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from raysweep.log import JsonForm, attach, current_ids, detach, ids, verbose_terminal
from raysweep.record.place import RunPath, store_at
from raysweep.record.store import Store

FOLDER = "logs"
FILE_BYTES = 8 << 20
"""A file is rotated at this size."""
FILES = 5
"""Of each process; the oldest goes."""
PIECE_BYTES = 1 << 20
"""The same in a bucket, where a piece is written as a whole each time."""
PIECES = 40
FLUSH_S = 15.0
"""In a bucket: longest time that a line waits."""
CLOSE_S = 10.0
"""The same at the end of a run."""


@dataclass(frozen=True, slots=True)
class RunLog:
    """Where the processes of one run log; picklable, so that runners elsewhere can be given it."""

    run: RunPath
    run_id: str
    verbose: bool = False

    @contextmanager
    def of(self, process: str) -> Iterator[None]:
        """Log here while inside, as the process of that name ("driver", "runner-1"); records made inside are the run's.

        Records that belong to another run of this Python process are left out.
        """
        handler = self.begin(process)
        try:
            with ids(run_id=self.run_id):
                yield
        finally:
            detach(handler)

    def begin(self, process: str) -> logging.Handler:
        """As `of`, until `log.detach`."""
        name = f"{process}-{socket.gethostname()}-{os.getpid()}.jsonl"
        handler: logging.Handler
        if isinstance(self.run, Path):
            handler = _File(self.run / FOLDER / name)
        else:
            handler = _Pieces(store_at(self.run), f"{FOLDER}/{name}")
        handler.setLevel(logging.DEBUG if self.verbose else logging.INFO)
        handler.setFormatter(JsonForm(run_id=self.run_id, process=process))
        handler.addFilter(lambda _: current_ids().get("run_id", self.run_id) == self.run_id)
        attach(handler)
        return handler


def run_log(run: RunPath, run_id: str) -> RunLog:
    """Where the run at this place logs, as runners elsewhere find it; in detail where the terminal shows details."""
    return RunLog(run.resolve() if isinstance(run, Path) else run, run_id, verbose=verbose_terminal())


class _File(RotatingFileHandler):
    """A file of a local run directory, made with its first line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, delay=True, encoding="utf-8")

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """As logging.Handler.handleError, which would print."""


class _Pieces(logging.Handler):
    """Blobs NAME, NAME.1, NAME.2 ... of a bucket, written by a thread of its own so that nobody waits for the store."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__()
        self._store, self._name = store, name
        self._number, self._size = 0, 0
        self._lines: list[bytes] = []
        self._changed = self._ended = False
        self._texts: dict[int, bytes] = {}
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="raysweep-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """As logging.Handler.emit."""
        line = self.format(record).encode() + b"\n"
        if self._lines and self._size + len(line) > PIECE_BYTES:
            self._keep()
            self._number, self._lines, self._size = self._number + 1, [], 0
            self._wake.set()
        self._lines.append(line)
        self._size += len(line)
        self._changed = True

    def flush(self) -> None:
        """Have what was logged written soon."""
        self._wake.set()

    def close(self) -> None:
        """As logging.Handler.close; what the store does not take in time is lost."""
        self._ended = True
        self._wake.set()
        self._thread.join(CLOSE_S)
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """As logging.Handler.handleError, which would print."""

    def _keep(self) -> None:
        """Have the piece as it is now written; of pieces that the store did not take the newest stay."""
        self._texts[self._number] = b"".join(self._lines)
        for number in sorted(self._texts)[:-PIECES]:
            del self._texts[number]
        self._changed = False

    def _work(self) -> None:
        ended = False
        while not ended:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            ended = self._ended
            self._write()

    def _write(self) -> None:
        self.acquire()
        try:
            if self._changed:
                self._keep()
            texts, self._texts = self._texts, {}
        finally:
            self.release()
        for number, text in texts.items():
            with suppress(Exception):  # a store that refuses must not end the run, and the driver says so itself
                self._store.replace(self._blob(number), text)
                if number >= PIECES:
                    self._store.remove(self._blob(number - PIECES))

    def _blob(self, number: int) -> str:
        return f"{self._name}.{number}" if number else self._name
