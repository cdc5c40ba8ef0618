"""Whether a sweep goes on: new rows as long as it does, and why they came to an end.

A sweep is over when no driver holds its lock and every planned trial is done, or the registered rule stopped it; where
trials are missing else, when no driver came back for as long as the reader has patience (a driver that was killed is
started again, and one that is started in each window leaves the lock free between windows).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from raysweep.clock import Clock, SystemClock
from raysweep.dataset.cursor import Cursor
from raysweep.dataset.follow import Follower, Piece
from raysweep.record.place import Remote, RunPath, holder_of
from raysweep.record.reader import open_run, read_attempts, read_plan, with_is_final
from raysweep.record.resume import count_done
from raysweep.record.stopped import RECORD

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.store import Store

PATIENCE_S = 60.0
"""A driver that was killed may be started again within this time."""
POLL_S = 0.2
POLL_REMOTE_S = 1.0
"""In a bucket every look is a request, and segments come every 15 s at most."""
FINAL = ("trial_id", "block_id", "attempt_id", "block_run", "attempt", "outcome", "cause_class")
"""The columns that tell which attempts are final and how far a sweep is."""


class Live:
    """New rows of a run until its sweep is over, and None at every look that found nothing new.

    columns: as of `Follower`. patience_s: seconds without a driver, while trials are missing, after which the sweep
    counts as stopped; None: wait for a driver for ever. poll_s: seconds between looks; None: as fits the store. Once
    iterated to its end, `complete` tells whether every planned trial is done. InputError: no run at `path`, or a
    broken one.
    """

    def __init__(
        self,
        path: RunPath,
        *,
        after: Cursor | None = None,
        columns: Sequence[str] | None = None,
        patience_s: float | None = PATIENCE_S,
        poll_s: float | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._path = path
        self._store = open_run(path)
        self._planned = read_plan(self._store, str(path))
        self._follower = Follower(self._store, after, columns)
        self._patience_s = patience_s
        self._poll_s = poll_s if poll_s is not None else POLL_REMOTE_S if isinstance(path, Remote) else POLL_S
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self.complete = False

    @property
    def cursor(self) -> Cursor | None:
        """Behind the last row that was given."""
        return self._follower.cursor

    def __iter__(self) -> Iterator[Piece | None]:
        alone_since: float | None = None
        checked: Cursor | None = None
        while True:
            # Asked before the look: what a driver sealed before it gave the lock back is then seen.
            driven = holder_of(self._path, self._clock) is not None
            new = False
            for piece in self._follower.take():
                new = True
                yield piece
            now = self._clock.monotonic()
            alone_since = None if driven else now if alone_since is None else alone_since
            if not new and alone_since is not None and self._follower.settled:
                if checked != self.cursor or checked is None:
                    checked = self.cursor
                    self.complete = is_complete(self._store, self._planned)
                stopped = self._store.exists(RECORD)
                if self.complete or stopped or (self._patience_s is not None and now - alone_since >= self._patience_s):
                    return
            if not new:
                yield None
                self._sleep(self._poll_s)


def is_complete(store: Store, planned: pa.Table) -> bool:
    """Whether the final attempt of every planned trial is an outcome, as `raysweep status` says."""
    table = with_is_final(read_attempts(store, FINAL), planned)
    return count_done(table) == len(planned)
