"""Tables between their markers in a Markdown page; all other text of the page stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.coverage.cell import write_atomically


def write(path: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->`; KeyError for a name that the page lacks."""
    text = path.read_text()
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start not in text or end not in text:
            raise KeyError(f"{path} has no place for the table {name}: {start} ... {end}")
        head, _, rest = text.partition(start)
        text = f"{head}{start}\n{table}\n{end}{rest.partition(end)[2]}"
    write_atomically(path, text.rstrip("\n"))
