"""Text and map columns of a ledger as codes and labels, each looked at once.

Belongs here: what NumPy needs of an Arrow column. Does not: what a column means (estimand), pairing (cube).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints

Codes: TypeAlias = npt.NDArray[np.int32]

SAMPLE = 4096
"""Rows looked at to tell whether equal values stand together (a column of one model, the arms of a block)."""


class Names(Sequence[str]):
    """Texts of an Arrow array as a sequence: a name becomes a Python string when somebody asks for it."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        return Names(self._array[at]) if isinstance(at, slice) else str(self._array[int(at)].as_py())


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece, as plain text where it is text of another kind; null stays null."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def filled(text: pa.Array) -> pa.Array:
    """The text with "" for null."""
    return pc.fill_null(text, fill_value="") if text.null_count else text


def coded(column: pa.ChunkedArray | pa.Array) -> tuple[Codes, pa.Array]:
    """Codes (n,) and the names behind them in order of first appearance; null reads as "".

    Hashes every row once; where equal values stand together, once per run of equals.
    """
    text = whole(column)
    text = filled(text if text.type == pa.string() else text.cast(pa.string()))
    starts = run_starts(text)
    if len(starts) == len(text):
        encoded = text.dictionary_encode()
        return encoded.indices.to_numpy(), encoded.dictionary
    encoded = text.take(pa.array(starts)).dictionary_encode()
    return np.repeat(encoded.indices.to_numpy(), np.diff(starts, append=len(text))), encoded.dictionary


def run_starts(text: pa.Array) -> Ints:
    """Rows at which another value begins than stands before; all rows where a sample says that most do. No nulls."""
    if len(text) < SAMPLE or np.mean(_changes(text[:SAMPLE])) >= 0.5:
        return np.arange(len(text), dtype=np.int64)
    return np.flatnonzero(np.append(True, _changes(text)))


def _changes(text: pa.Array) -> Bools:
    return np.asarray(pc.not_equal(text[1:], text[:-1]).to_numpy(zero_copy_only=False), dtype=np.bool_)


def distinct(table: pa.Table, name: str) -> list[str]:
    """Values of a text column in order of first appearance, null as ""; none where the table lacks the column."""
    return coded(table[name])[1].to_pylist() if name in table.column_names else []


def flags(column: pa.ChunkedArray | pa.Array) -> Bools:
    """A column of truth values, (n,); null is False."""
    array = whole(column)
    array = pc.fill_null(array, fill_value=False) if array.null_count else array
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.bool_)


def numbers(column: pa.ChunkedArray | pa.Array) -> Floats:
    """A column of numbers, truth values or times (in its own unit since the epoch), (n,); null is nan."""
    array = whole(column)
    array = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
    if not pa.types.is_float64(array.type):
        array = array.cast(pa.float64(), safe=False)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def pairs(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """All keys and all values of a map column, one behind the other; rows are not separated."""
    keys, items = [], []
    for chunk in column.chunks:
        first, last = (chunk.offsets[i].as_py() for i in (0, -1)) if len(chunk) else (0, 0)
        keys.append(chunk.keys[first:last])
        items.append(chunk.items[first:last])
    text = pa.string()
    return pa.chunked_array(keys, text).combine_chunks(), pa.chunked_array(items, text).combine_chunks()


def joined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each map as "key=value, key=value" in its own order; "" for an empty map and for null."""
    made = []
    for chunk in column.chunks:
        each = pc.binary_join_element_wise(chunk.keys, pc.fill_null(chunk.items, fill_value=""), "=")
        made.append(pc.fill_null(pc.binary_join(pa.ListArray.from_arrays(chunk.offsets, each), ", "), fill_value=""))
    return pa.chunked_array(made, pa.string())
