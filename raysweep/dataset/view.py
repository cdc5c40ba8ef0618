"""`read` and `stream`: a run as a Ray Dataset. Ray is imported when one of them is called, and started by Ray then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.dataset.cursor import parse_cursor
from raysweep.dataset.ending import FINAL, PATIENCE_S
from raysweep.errors import bad_input
from raysweep.record.place import RunPath, run_path
from raysweep.record.reader import open_run, read_plan, with_is_final
from raysweep.record.schema import BY_NAME
from raysweep.record.segments import Part, counting, read_segment

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

    from raysweep.dataset.datasource import Stretch
    from raysweep.record.store import Store

TASK_ROWS = 1 << 16
"""Rows that one read task of a batch reads at least, where there are so many."""
LISTINGS = 5
"""As of record.reader."""


def read(run: str | Path) -> ray.data.Dataset:
    """Every attempt of a run as it is now, in the order of the ledger.

    The columns of record.schema, is_final, and `cursor`: the last row's, given to `stream`, goes on behind it. run: a
    run directory, or its s3:// or gs:// URL. Which attempts are final is settled by this call, from a few columns; the
    rows are read when the Dataset is, also where segments were merged by then. InputError: no run there, or a broken
    one.
    """
    import ray.data  # noqa: PLC0415 - half a second, and only for those who ask for a Dataset

    from raysweep.dataset.datasource import LedgerDatasource, batch_context  # noqa: PLC0415 - as above

    path = _path(run)
    store = open_run(path)
    groups = list(_grouped(_stretches(store, read_plan(store, str(path))))) or [[]]
    with ray.data.DataContext.current(batch_context()):
        made: ray.data.Dataset = ray.data.read_datasource(
            LedgerDatasource(path, groups), override_num_blocks=len(groups)
        )
    return made


def stream(
    run: str | Path,
    *,
    after: str | None = None,
    columns: Sequence[str] | None = None,
    patience_s: float | None = PATIENCE_S,
    poll_s: float | None = None,
) -> ray.data.Dataset:
    """The attempts of a run as they are sealed, each exactly once and in order, until its sweep ends.

    run: as `read`. columns: only these of record.schema; None: all. Beside them stands `cursor`: given back as `after`,
    it makes another stream begin behind that row. No is_final: what is final is known when the sweep is over. The
    stream ends when no driver holds the run and every planned trial is done, or when trials are missing and no driver
    came for patience_s seconds (None: wait for ever; between the windows of a time-of-day sweep nothing may run for
    hours). poll_s: seconds between looks; default 0.2, in a bucket 1.

    Exactly once holds when the worker that reads is killed (its rows are read again, none is given twice), when the
    driver is killed and goes on, and when segments are merged meanwhile. A block is what the driver sealed at once: at
    most 100 rows (1,000 in a bucket). benchmarks/results/streaming.txt has rows a second. InputError: no run, a broken
    one, no such column, or no cursor; a cursor of another run is told when the stream is read.
    """
    unknown = sorted(set(columns or ()) - BY_NAME.keys())
    if unknown:
        raise bad_input("not columns of the ledger", "see record.schema", key="columns", value=", ".join(unknown))
    import ray.data  # noqa: PLC0415 - as above

    from raysweep.dataset.datasource import StreamDatasource, stream_context  # noqa: PLC0415 - as above

    path = _path(run)
    open_run(path)
    place = None if after is None else parse_cursor(after)
    source = StreamDatasource(path, place, columns, patience_s=patience_s, poll_s=poll_s)
    with ray.data.DataContext.current(stream_context()):
        made: ray.data.Dataset = ray.data.read_datasource(source, num_cpus=0, override_num_blocks=1)
    return made


def _path(run: str | Path) -> RunPath:
    """Workers have another working directory."""
    path = run_path(str(run))
    return path.resolve() if isinstance(path, Path) else path


def _stretches(store: Store, planned: pa.Table) -> list[Stretch]:
    """The ledger as it is now, one stretch per file."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    from raysweep.dataset.datasource import Stretch  # noqa: PLC0415 - as above

    parts = [(part, table) for part, table in _narrow(store) if len(table)]
    if not parts:
        return []
    final = with_is_final(pa.concat_tables([t for _, t in parts]), planned)["is_final"].to_numpy()
    found, begin = [], 0
    for part, table in parts:
        found.append(Stretch(part.epoch, part.first, table["attempt_id"][0].as_py(), final[begin : begin + len(table)]))
        begin += len(table)
    return found


def _narrow(store: Store) -> list[tuple[Part, pa.Table]]:
    for _ in range(LISTINGS):
        try:
            return [(part, read_segment(store, part.name, FINAL)) for part in counting(store)]
        except FileNotFoundError as error:  # merged since it was listed
            lost = str(error)
    raise bad_input("a segment of the ledger is listed and not there", "look at the store", file=lost)


def _grouped(stretches: list[Stretch]) -> Iterator[list[Stretch]]:
    """Groups of neighbours with TASK_ROWS rows or more."""
    group: list[Stretch] = []
    rows = 0
    for stretch in stretches:
        group.append(stretch)
        rows += len(stretch.is_final)
        if rows >= TASK_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group
