"""Files of other versions of raysweep: what a reader makes of columns that are missing, unknown or of another type.

A known column that a file lacks is null, an unknown one is kept behind the known ones. A file is refused only where it
states a newer reader as the oldest one that understands it, or where its rows cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.errors import InputError, bad_input

if TYPE_CHECKING:
    import pyarrow as pa

READER_VERSION = 1
"""What this raysweep reads: everything that states this number, a lower one or none."""
MIN_READER = 1
"""The oldest reader that understands what this raysweep writes; to be raised only where an older one would misread."""
RUN_KEY = "min_reader"
FILE_KEY = b"raysweep:min_reader"
"""Where run.json and the metadata of a Parquet file state it."""
SEALED_KEY = b"raysweep:sealed"
"""Where the metadata of a merged file says which sealed segments it holds (record.sealed)."""

IDENTITY = ("attempt_id", "trial_id", "block_id", "attempt", "block_run", "outcome")
"""Columns without which an attempt cannot be known again or counted."""


def refuse_newer_run(facts: Mapping[str, Any], file: str) -> None:
    """InputError where run.json (`facts`) states a newer reader than this one."""
    _refuse_newer(facts.get(RUN_KEY, 0), file, RUN_KEY)


def refuse_newer_file(metadata: Mapping[bytes, bytes] | None, file: str) -> None:
    """InputError where the metadata of a Parquet file states a newer reader than this one."""
    _refuse_newer((metadata or {}).get(FILE_KEY, b"0").decode(errors="replace"), file, FILE_KEY.decode())


def min_reader_of(tables: Sequence[pa.Table]) -> int:
    """The oldest reader that understands the rows of all these tables, as they came from `conform`."""
    stated = [int((table.schema.metadata or {}).get(FILE_KEY, b"0")) for table in tables]
    return max([MIN_READER, *stated])


def _refuse_newer(stated: object, file: str, key: str) -> None:
    number = int(str(stated)) if str(stated).isdecimal() else None
    if number is None or number > READER_VERSION:
        raise bad_input(
            f"this needs a newer raysweep: it states the reader version {stated}, and this one reads {READER_VERSION}",
            "update raysweep to the version that wrote it, or a newer one",
            file=file,
            key=key,
            value=str(stated),
        )


def refuse_schema(schema: pa.Schema, wanted: pa.Schema, identity: Sequence[str], file: str) -> None:
    """InputError where a file of this schema lacks a column of `identity` or has a known one of a foreign type."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow

    for name in identity:
        if name not in schema.names:
            raise _other_columns(f"it has no column {name}", file, name, "missing")
    for field in wanted:
        at = schema.get_field_index(field.name)
        if at < 0 or schema.field(at).type.equals(field.type):
            continue
        try:
            pa.nulls(0, schema.field(at).type).cast(field.type)
        except pa.ArrowException:
            kinds = f"it is {schema.field(at).type}, not {field.type}"
            raise _other_columns(kinds, file, field.name, str(schema.field(at).type)) from None


def conform(table: pa.Table, wanted: pa.Schema, file: str, *, unknown: bool) -> pa.Table:
    """The rows with exactly the columns `wanted`, null where the file has none; unknown: with its others behind them.

    InputError names a value that is none of the column's type. What the file states as its oldest reader and as its
    sealed segments is kept in the metadata of the schema.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    fields, arrays = list(wanted), []
    for field in wanted:
        if field.name not in table.column_names:
            arrays.append(pa.chunked_array([pa.nulls(len(table), field.type)]))
            continue
        column = table[field.name]
        try:
            arrays.append(column if column.type.equals(field.type) else column.cast(field.type))
        except pa.ArrowException as error:
            raise _other_columns(str(error), file, field.name, str(column.type)) from error
    if unknown:
        more = [field.remove_metadata() for field in table.schema if field.name not in wanted.names]
        fields += more
        arrays += [table[field.name] for field in more]
    stated = table.schema.metadata or {}
    metadata = {key: stated[key] for key in (FILE_KEY, SEALED_KEY) if key in stated} or None
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows, in order, with all columns of any table, null where a table has none; the first one's come first.

    An unknown column that has several types is text.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        types: dict[str, set[str]] = {}
        for field in (field for table in tables for field in table.schema):
            types.setdefault(field.name, set()).add(str(field.type))
        mixed = {name for name, kinds in types.items() if len(kinds) > 1}
        return pa.concat_tables([_as_text(table, mixed) for table in tables], promote_options="default")


def _as_text(table: pa.Table, names: set[str]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - as above

    for name in names.intersection(table.column_names):
        values = [None if value is None else str(value) for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table


def unknown_columns(table: pa.Table, wanted: pa.Schema) -> tuple[str, ...]:
    """Columns of `table` that this version does not know."""
    return tuple(name for name in table.column_names if name not in wanted.names)


def _other_columns(what: str, file: str, key: str, value: str) -> InputError:
    return bad_input(
        f"this file has other columns than raysweep writes ({what})",
        "restore the run directory from a copy",
        file=file,
        key=key,
        value=value,
    )
