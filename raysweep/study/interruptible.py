"""A run that another thread can interrupt, and that a callback ends cleanly by what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raysweep.study.drive import Watchers, stop_on_signals
from raysweep.study.notes import Note, silent
from raysweep.study.run import RunEnd, RunOptions, run_study

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.schedule.driver import Driver, Progress
    from raysweep.study.load import Study
    from raysweep.study.session import Session


class InterruptedRunError(Exception):
    """The run was interrupted; what was in flight is recorded."""


class InterruptibleRun:
    """One call of `run_study`.

    observe: called as trials end, on the event loop of the run. What it raises ends the run cleanly.
    """

    def __init__(
        self,
        study: Study,
        path: RunPath,
        options: RunOptions,
        observe: Callable[[Progress], None] | None = None,
        note: Note = silent,
    ) -> None:
        self._study, self._path, self._options, self._given, self._note = study, path, options, observe, note
        self._driver: Driver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interrupted = threading.Event()
        self._raised: BaseException | None = None

    def to_its_end(self) -> None:
        """Run; what `observe` raised is raised again, and InterruptedRunError after an interrupt."""
        end = run_study(self._study, self._path, self._options, self._watch, self._note)
        if self._raised is not None:
            raise self._raised
        if isinstance(end, RunEnd) and end.result.interrupted:
            raise InterruptedRunError

    def interrupt(self) -> None:
        """Stop cleanly; from any thread."""
        self._interrupted.set()
        if self._loop is not None and self._driver is not None:
            with contextlib.suppress(RuntimeError):  # it ended meanwhile
                self._loop.call_soon_threadsafe(self._driver.interrupt)

    @contextmanager
    def _watch(self, _: Session) -> Iterator[Watchers]:
        yield Watchers(self._observe, self._started, note=self._note)

    def _started(self, driver: Driver) -> None:
        self._driver, self._loop = driver, asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            stop_on_signals(driver, self._note)
        if self._interrupted.is_set():
            driver.interrupt()

    def _observe(self, now: Progress) -> None:
        if self._given is None or self._raised is not None:
            return
        try:
            self._given(now)
        except BaseException as error:  # noqa: BLE001 - raised again when all is recorded
            self._raised = error
            if self._driver is not None:
                self._driver.interrupt()
