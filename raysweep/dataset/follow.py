"""New rows of a ledger as they are sealed, in order, each exactly once.

The rule, which record.segments keeps: within an epoch segments are numbered without a gap, a merged file stands for a
range of them with the same rows in the same order, and a merge only ever joins whole files. So the rows that count are
one sequence that only grows at its end, whatever the files are called, and a place in it is known by the last row's
attempt_id and a segment at or before it: files that end before that segment are behind the reader, the file that spans
it is searched for the attempt, the rest is new. A reader holds one place, not the set of what it has seen.

One thing can shorten the sequence: a writer that was fenced off sealed rows just before its successor began, and a
reader saw them in between. They no longer count, their attempts run again under the same ids, and the reader drops
those second rows: of such an attempt it has shown the row of the fenced writer.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.dataset.cursor import Cursor
from raysweep.errors import InputError, bad_input
from raysweep.record.epoch import counted, read_epochs
from raysweep.record.schema import arrow_schema
from raysweep.record.sealed import SealedRows, behind, sealed_rows
from raysweep.record.segments import FOLDER, Part, counting, cover, listed, read_segment
from raysweep.record.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

LISTINGS = 5
"""How often in a row a look may find the ledger broken (a listing is not one moment) before it counts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows (columns of record.schema) that are new, the file that they came in, and the sealed segments they are of."""

    table: pa.Table
    part: Part
    sealed: Sequence[SealedRows]

    def cursors(self) -> list[Cursor]:
        """The cursor behind each row."""
        attempts = iter(self.table["attempt_id"].to_pylist())
        return [
            Cursor(self.part.epoch, of.segment, attempt)
            for of in self.sealed
            for attempt in itertools.islice(attempts, of.rows)
        ]

    def split(self) -> Iterator[Piece]:
        """The same rows, one sealed segment at a time; these are the same whatever was merged meanwhile."""
        begin = 0
        for of in self.sealed:
            yield Piece(self.table.slice(begin, of.rows), self.part, (of,))
            begin += of.rows


class Follower:
    """Takes what a ledger has that was not taken before; `after` is where an earlier follower was.

    columns: only these of record.schema, attempt_id among them; None: all.
    """

    def __init__(self, store: Store, after: Cursor | None = None, columns: Sequence[str] | None = None) -> None:
        self._store = store
        self._columns = tuple(arrow_schema().names if columns is None else columns)
        self._at = after
        self._last: int | None = None if after is not None else 0  # last segment of the file that `_at` was found in
        self._names: list[str] | None = None
        self._shown: set[str] = set()  # attempts shown as a fenced writer sealed them
        self._failed = 0

    @property
    def cursor(self) -> Cursor | None:
        """Behind the last row that was taken; None before the first."""
        return self._at

    @property
    def settled(self) -> bool:
        """Whether the last look found the ledger whole."""
        return self._names is not None

    def take(self) -> Iterator[Piece]:
        """All that is new, file by file; nothing where nothing is.

        InputError names a file that is damaged or missing, or says that the cursor is not of this run; only after
        LISTINGS calls that found the same, as a listing is not one moment.
        """
        names = self._store.names(FOLDER)
        if names == self._names:
            return
        try:
            parts = counting(self._store)
            fenced = self._fenced()
            if self._at is not None and self._last is None:
                yield from self._resume(parts, fenced)
            yield from self._new(parts)
        except FileNotFoundError as error:
            self._fail(
                bad_input("a segment of the ledger is listed and not there", "look at the store", file=str(error))
            )
        except InputError as error:
            self._fail(error)
        else:
            self._names, self._failed = names, 0

    def _fail(self, error: InputError) -> None:
        self._names = None
        self._failed += 1
        if self._failed >= LISTINGS:
            raise error

    def _resume(self, parts: Sequence[Part], fenced: Sequence[str]) -> Iterator[Piece]:
        """What stands behind the given cursor in its own file."""
        at = self._at
        assert at is not None  # noqa: S101 - asked by the only caller
        for part in parts:
            if part.epoch == at.epoch and part.last >= at.segment:
                rest = _behind(self._read(part), at.attempt_id)
                if rest is not None:
                    self._last = part.last
                    yield from self._given(rest)
                    return
        if at.attempt_id not in fenced:
            raise bad_input(
                "the ledger has no such attempt there: the cursor is of another run",
                "give a cursor of this run, or none to begin at its first row",
                key="after",
                value=str(at),
            )
        self._last = max(part.last for part in listed(self._store)[at.epoch])

    def _new(self, parts: Sequence[Part]) -> Iterator[Piece]:
        for part in parts:
            at, last = self._at, self._last or 0
            if at is not None and (part.epoch, part.last) <= (at.epoch, last):
                continue
            piece = self._read(part)
            if at is not None and part.epoch == at.epoch and part.first <= last:  # merged since, with what came after
                rest = _behind(piece, at.attempt_id)
                if rest is None:
                    raise bad_input(
                        f"the attempt {at.attempt_id} was read before and is not there now",
                        "restore the run directory from a copy",
                        file=f"{self._store.where}/{part.name}",
                    )
                piece = rest
            self._last = part.last
            yield from self._given(piece)

    def _read(self, part: Part) -> Piece:
        table = read_segment(self._store, part.name, self._columns)
        return Piece(table, part, sealed_rows(table, part))

    def _given(self, piece: Piece) -> Iterator[Piece]:
        """The rows of a file, less what a fenced writer's rows have shown; from here on they are taken."""
        if not len(piece.table):
            return
        self._at = Cursor(piece.part.epoch, piece.part.first, piece.table["attempt_id"][-1].as_py())
        if self._shown:
            piece = _without(piece, self._shown)
        if len(piece.table):
            yield piece

    def _fenced(self) -> Sequence[str]:
        """Attempts of the cursor's epoch up to the cursor that were sealed by a writer which was fenced off by then.

        Noted as shown. The first of them may be rows that count: those are behind the cursor, and come no more.
        """
        at = self._at
        count = None if at is None else counted(read_epochs(self._store), at.epoch)
        if at is None or count is None or (self._last is not None and self._last <= count):
            return ()
        beyond = [part for part in listed(self._store).get(at.epoch, ()) if part.last > count]
        seen: list[str] = []
        for part in cover(beyond, None)[0]:
            seen += read_segment(self._store, part.name, ("attempt_id",))["attempt_id"].to_pylist()
        if at.attempt_id not in seen:
            return ()
        seen = seen[: seen.index(at.attempt_id) + 1]
        self._shown.update(seen)
        return seen


def place_of(table: pa.Table, attempt_id: str) -> int:
    """Row of that attempt; -1 where it is not in the table."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    return int(pc.index(table["attempt_id"], attempt_id).as_py())


def _behind(piece: Piece, attempt_id: str) -> Piece | None:
    """The rows behind that attempt's; None where it is not among them."""
    at = place_of(piece.table, attempt_id)
    return None if at < 0 else Piece(piece.table.slice(at + 1), piece.part, behind(piece.sealed, at + 1))


def _without(piece: Piece, shown: Collection[str]) -> Piece:
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    shown_ids = pa.array(sorted(shown), pa.string())
    tables = []
    for one in piece.split():
        new = pc.invert(pc.is_in(one.table["attempt_id"], value_set=shown_ids))
        tables.append((one.sealed[0].segment, one.table.filter(new)))
    sealed = [SealedRows(segment, len(table)) for segment, table in tables if len(table)]
    return Piece(pa.concat_tables([table for _, table in tables]), piece.part, sealed)
