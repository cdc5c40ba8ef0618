"""Segments of the ledger: their names, which of them count, and their bytes.

A segment is numbered within its epoch. A merged segment stands for a range of them: `merged-<epoch>-<first>-<last>-
<rows>.parquet` holds the same rows in the same order, in one file. Two folders hold them: FOLDER is what everybody may
read with any tool, each row once at every moment; ASIDE is for raysweep's own readers, with merged files whose parts
are still in FOLDER, and with what writers sealed that were fenced off. At every moment each row is in exactly one of
the files that `segments` names. Whoever reads names first and files later meets FileNotFoundError where a file was
merged in between: list again.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.errors import InputError, bad_input
from raysweep.record.epoch import counted, read_epochs
from raysweep.record.schema import arrow_schema
from raysweep.record.store import Store
from raysweep.record.versions import (
    FILE_KEY,
    IDENTITY,
    MIN_READER,
    SEALED_KEY,
    conform,
    refuse_newer_file,
    refuse_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "ledger"
ASIDE = "merged"
_SEGMENT = re.compile(r"segment-(\d+)-(\d+)\.parquet")
_MERGED = re.compile(r"merged-(\d+)-(\d+)-(\d+)-(\d+)\.parquet")
_DIGEST_KEY = b"raysweep:sha256"
_DIGEST_GAP = 8
"""At most so many bytes of the file's own coding stand between the digest's key and its value."""
_BLANK = b"0" * 64


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file: segments first..last of an epoch, under `name`. rows: of a merged one; None of a single one."""

    epoch: int
    first: int
    last: int
    rows: int | None
    name: str

    @property
    def plain(self) -> bool:
        """Whether it is in the folder that readers of any kind look at."""
        return self.name.startswith(f"{FOLDER}/")


def segment_name(epoch: int, number: int) -> str:
    """Name of the number-th (1, 2, ...) segment of an epoch."""
    return f"{FOLDER}/segment-{epoch:04d}-{number:06d}.parquet"


def merged_name(epoch: int, first: int, last: int, rows: int) -> str:
    """Name under which the file that stands for segments first..last of an epoch is written, `rows` rows in all."""
    return f"{ASIDE}/merged-{epoch:04d}-{first:06d}-{last:06d}-{rows:08d}.parquet"


def listed(store: Store) -> dict[int, list[Part]]:
    """All files of segments that are there, by epoch, in order, whether they count or not."""
    files: defaultdict[int, list[Part]] = defaultdict(list)
    # ASIDE first: a file that goes from there to FOLDER is then in at least one of the two listings.
    aside = store.names(ASIDE)
    for folder, names in ((FOLDER, store.names(FOLDER)), (ASIDE, aside)):
        for name in names:
            if one := _SEGMENT.fullmatch(name):
                epoch, number = int(one[1]), int(one[2])
                files[epoch].append(Part(epoch, number, number, None, f"{folder}/{name}"))
            elif many := _MERGED.fullmatch(name):
                epoch, first, last, rows = (int(g) for g in many.groups())
                files[epoch].append(Part(epoch, first, last, rows, f"{folder}/{name}"))
    return {epoch: sorted(parts, key=lambda p: (p.first, -p.last)) for epoch, parts in sorted(files.items())}


def sealed_counts(store: Store) -> dict[str, int]:
    """Segments per epoch as they are now, for the record that begins the next epoch."""
    return {str(epoch): max(p.last for p in parts) for epoch, parts in listed(store).items()}


def cover(parts: Iterable[Part], count: int | None) -> tuple[list[Part], list[Part]]:
    """(the files that stand for segments 1..count, the files that they make superfluous), of one epoch.

    count: None for all that are there. The widest file at each place is taken; a range that goes beyond `count` was
    written by an epoch that had ended, and does not count. A gap is left as it is.
    """
    taken: list[Part] = []
    superfluous: list[Part] = []
    reached = 0
    for part in sorted(parts, key=lambda p: (p.first, -p.last)):
        if count is not None and part.last > count:
            continue
        if part.last <= reached:
            superfluous.append(part)
        elif part.first > reached:
            taken.append(part)
            reached = part.last
    return taken, superfluous


def counting(store: Store) -> list[Part]:
    """The files whose rows are the ledger, in order of epoch and number; InputError where one is missing."""
    return _whole(store, again=True)


def _whole(store: Store, *, again: bool) -> list[Part]:
    files = listed(store)
    epochs = read_epochs(store)
    whole: list[Part] = []
    for epoch in sorted({*files, *epochs}):
        count = counted(epochs, epoch)
        parts, _ = cover(files.get(epoch, ()), count)
        lost = _lost(parts, count)
        if lost is not None and again:  # a listing is not one moment: a merge may have come in between
            return _whole(store, again=False)
        if lost is not None:
            raise bad_input(
                "this segment of the ledger is missing",
                "restore it from a copy; the other segments are not affected",
                file=f"{store.where}/{segment_name(epoch, lost)}",
            )
        whole += parts
    return whole


def _lost(parts: Iterable[Part], count: int | None) -> int | None:
    """Number of the first segment that should be there and is not."""
    reached = 0
    for part in parts:
        if part.first != reached + 1:
            return reached + 1
        reached = part.last
    return reached + 1 if count is not None and reached < count else None


def segments(store: Store) -> list[str]:
    """Names of the files that count, as `counting`."""
    return [part.name for part in counting(store)]


def segment_bytes(table: pa.Table, min_reader: int = MIN_READER, sealed: str | None = None) -> bytes:
    """A table as a Parquet file with page checksums.

    In its metadata: the SHA-256 of the whole file, the oldest reader that understands it, and, of a merged one, the
    segments that it holds (`record.sealed.sealed_text`).
    """
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    sink = pa.BufferOutputStream()
    metadata = {FILE_KEY: str(min_reader).encode()}
    if sealed is not None:
        metadata[SEALED_KEY] = sealed.encode()
    table = table.replace_schema_metadata(metadata)
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_DIGEST_KEY.decode(): _BLANK.decode()})
    data = bytearray(sink.getvalue().to_pybytes())
    place = _digest_place(data)
    assert place is not None  # noqa: S101 - it was written two lines above
    data[place : place + len(_BLANK)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def _digest_place(data: bytes | bytearray) -> int | None:
    """Where the digest stands (of itself it counts as zeros); None in a file that has none."""
    found = re.compile(re.escape(_DIGEST_KEY) + rb".{1,%d}?([0-9a-f]{64})" % _DIGEST_GAP, re.DOTALL)
    begin = data.rfind(_DIGEST_KEY)
    match = found.match(data, begin) if begin >= 0 else None
    return match.start(1) if match else None


def _digest_holds(data: bytes) -> bool:
    """Whether the file is as it was written; True where it has no digest (page checksums are all there is then)."""
    place = _digest_place(data)
    if place is None:
        return _DIGEST_KEY not in data
    end = place + len(_BLANK)
    digest = hashlib.sha256(data[:place])
    digest.update(_BLANK)
    digest.update(data[end:])
    return digest.hexdigest().encode() == data[place:end]


def read_segment(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of segments, its checksums verified, as `record.versions.conform` gives it.

    columns: only these of the schema, in its order; None: all of them, and behind them those that are unknown here.
    InputError names a file that cannot be read, is not as it was written or needs a newer reader. FileNotFoundError:
    it was merged since it was listed.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    data = store.get(name)
    if not _digest_holds(data):
        raise _damaged(store, name, "its checksum does not hold")
    try:
        # Not pq.read_table: it imports pyarrow.dataset and with it pandas, a second at every start. No threads: a
        # hundred rows are read sooner without, callers read several files at once, and a thread that lets go of data of
        # Python's while the interpreter ends can abort the process (apache/arrow#34314).
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        schema = file.schema_arrow
        refuse_newer_file(schema.metadata, f"{store.where}/{name}")
        refuse_schema(schema, arrow_schema(), IDENTITY, f"{store.where}/{name}")
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, name, str(error)) from error
    wanted = arrow_schema() if columns is None else pa.schema([f for f in arrow_schema() if f.name in columns])
    return conform(table, wanted, f"{store.where}/{name}", unknown=columns is None)


def refuse_newer_ledger(store: Store) -> None:
    """InputError where a writer left what this reader cannot read; one file of each writer is looked at."""
    for parts in listed(store).values():
        with suppress(FileNotFoundError):  # merged since it was listed; the same writer's other files are alike
            read_segment(store, parts[-1].name, IDENTITY)


def _damaged(store: Store, name: str, why: str) -> InputError:
    return bad_input(
        f"this segment of the ledger cannot be read ({why})",
        "restore it from a copy; the other segments are not affected",
        file=f"{store.where}/{name}",
    )
