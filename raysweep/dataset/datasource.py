"""The two Ray datasources: a ledger as it is, in parallel, and a ledger as it grows, from one task in order.

Imported where a Dataset is made; the rest of the package works without Ray.

A read task whose worker dies is run again from its beginning, and Ray Data takes the n-th block of the second run for
the n-th of the first. That is right only if both runs give the same blocks. A growing ledger gives the same rows in
the same order every time (dataset.follow), but in files that may have been merged in between; so each block of a
stream is one sealed segment, which merged files keep apart (record.sealed), and the n-th block has the same rows
whatever happened. Ray Data must neither join nor cut these blocks: see WHOLE_BLOCKS.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from ray.data import DataContext, Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from raysweep.dataset.cursor import Cursor
from raysweep.dataset.ending import Live
from raysweep.dataset.follow import Piece, place_of
from raysweep.errors import bad_input
from raysweep.record.place import Remote, RunPath, store_at
from raysweep.record.schema import arrow_schema
from raysweep.record.sealed import SealedRows
from raysweep.record.segments import counting, read_segment

if TYPE_CHECKING:
    from raysweep.record.store import Store

Bools = np.ndarray[Any, np.dtype[np.bool_]]

LISTINGS = 5
"""How often the ledger is listed again because files were merged away between a listing and a read."""


class _WholeBlocks(float):
    """A size that every block exceeds and that no block is a multiple of."""

    __slots__ = ()

    def __mul__(self, factor: float) -> float:
        return math.inf

    __rmul__ = __mul__


WHOLE_BLOCKS = _WholeBlocks(1)
"""As `target_max_block_size`: blocks come out as the read task gives them, each at once.

Ray Data gives a block as soon as it has more bytes than this, and cuts it where it has at least 1.5 times as many;
read tasks have no option to do without (write tasks do). Were Ray Data to compare otherwise it would see a size of
1 byte and cut blocks of one row each, as many for the same rows: slow, but still each row exactly once.
"""

CURSOR = pa.field("cursor", pa.string())
BATCHED = arrow_schema().append(pa.field("is_final", pa.bool_())).append(CURSOR)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring rows of one file: the epoch and first segment of the file, the first row's attempt, and is_final."""

    epoch: int
    segment: int
    attempt_id: str
    is_final: Bools

    def read(self, store: Store) -> pa.Table:
        """The rows with is_final, from whatever file holds them now."""
        for _ in range(LISTINGS):
            for part in counting(store):
                if part.epoch != self.epoch or part.last < self.segment:
                    continue
                try:
                    table = read_segment(store, part.name, arrow_schema().names)
                except FileNotFoundError:  # merged since it was listed
                    break
                at = place_of(table, self.attempt_id)
                if at >= 0:
                    rows = table.slice(at, len(self.is_final)).append_column("is_final", pa.array(self.is_final))
                    return with_cursor(Piece(rows, part, (SealedRows(part.first, len(rows)),)))
        raise bad_input(
            f"the attempt {self.attempt_id} was read before and is not there now",
            "restore the run directory from a copy",
            file=store.where,
        )


def with_cursor(piece: Piece) -> pa.Table:
    """The rows with the cursor behind each."""
    cursors = pa.array(map(str, piece.cursors()), pa.string())
    return piece.table.append_column(CURSOR, cursors)


class LedgerDatasource(Datasource):
    """Every attempt of a ledger as it was when `stretches` were noted, with is_final."""

    def __init__(self, path: RunPath, stretches: Sequence[Sequence[Stretch]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path, self._stretches = path, stretches

    @property
    def supports_distributed_reads(self) -> bool:
        """A local run directory is read where it is."""
        return isinstance(self._path, Remote)

    def estimate_inmemory_data_size(self) -> int | None:
        """Not known before it is read."""
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        """One task per group of stretches, however many are asked for."""
        return [_read_task(_Batch(self._path, group), sum(len(s.is_final) for s in group)) for group in self._stretches]


class StreamDatasource(Datasource):
    """The rows of a run behind `after` (only `columns` of them, and the cursor behind each) while it grows."""

    def __init__(
        self,
        path: RunPath,
        after: Cursor | None,
        columns: Sequence[str] | None,
        *,
        patience_s: float | None,
        poll_s: float | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        names = [name for name in arrow_schema().names if columns is None or name in columns]
        self._read = _Stream(path, after, tuple(names), patience_s, poll_s)

    @property
    def supports_distributed_reads(self) -> bool:
        """A local run directory is read where it is."""
        return isinstance(self._read.path, Remote)

    def estimate_inmemory_data_size(self) -> int | None:
        """Nobody knows how long a sweep will be."""
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        """One task: rows have an order."""
        return [_read_task(self._read, None)]


def stream_context() -> DataContext:
    """The settings of a stream, a copy of the current ones; nothing else is changed by them.

    Blocks as they are read, given at once; no end of patience while no row comes (30 minutes by default); rows in
    order; an error of the read is the consumer's to see, never a block that is left out.
    """
    context = DataContext.get_current().copy()
    context.target_max_block_size = WHOLE_BLOCKS  # type: ignore[assignment]
    context.execution_no_progress_timeout_s = -1
    context.execution_options.preserve_order = True
    context.max_errored_blocks = 0
    context.retried_map_errors = False  # its retries count files, which merges change
    context.enable_progress_bars = False
    return context


def batch_context() -> DataContext:
    """The settings of a batch read: order of the ledger, no block left out."""
    context = DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.max_errored_blocks = 0
    return context


@dataclass(frozen=True, slots=True)
class _Batch:
    path: RunPath
    stretches: Sequence[Stretch]

    def __call__(self) -> Iterable[pa.Table]:
        store = store_at(self.path)
        yield pa.concat_tables([BATCHED.empty_table(), *(s.read(store) for s in self.stretches)])


@dataclass(frozen=True, slots=True)
class _Stream:
    path: RunPath
    after: Cursor | None
    columns: tuple[str, ...]
    patience_s: float | None
    poll_s: float | None

    def __call__(self) -> Iterator[pa.Table]:
        names = [*self.columns, CURSOR.name]
        yield arrow_schema().append(CURSOR).empty_table().select(names)  # the columns of a sweep without a row
        columns = (*self.columns, "attempt_id")
        live = Live(self.path, after=self.after, columns=columns, patience_s=self.patience_s, poll_s=self.poll_s)
        for piece in live:
            for segment in piece.split() if piece is not None else ():
                yield with_cursor(segment).select(names)


def _read_task(read: Any, rows: int | None) -> ReadTask:
    return ReadTask(read, BlockMetadata(num_rows=rows, size_bytes=None, input_files=None, exec_stats=None))
