"""The calls of an attempt as a Parquet file, for its trace."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, fields

from raysweep.gateway.call import Call

NAME = "calls.parquet"
_TIMES = frozenset({"began", "first_byte", "first_token", "ended"})
_TYPES = {"int": "int64", "float": "float64", "str": "string", "bool": "bool_"}


def calls_parquet(calls: Sequence[Call]) -> bytes:
    """One row per call with the fields of `Call`; times as UTC timestamps in microseconds."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    rows = [asdict(call) for call in calls]
    columns = {}
    for one in fields(Call):
        values = [row[one.name] for row in rows]
        if one.name in _TIMES:
            micros = [None if v is None else round(v * 1e6) for v in values]
            columns[one.name] = pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        else:
            columns[one.name] = pa.array(values, getattr(pa, _TYPES[str(one.type).split(" | ")[0]])())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def read_calls(data: bytes) -> list[Call]:
    """The calls in such a file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    plain = [{k: v.timestamp() if k in _TIMES and v is not None else v for k, v in row.items()} for row in rows]
    return [Call(**row) for row in plain]
