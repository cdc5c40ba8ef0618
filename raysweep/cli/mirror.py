"""What scripts/mirror-images copies, a line `NAME@DIGEST COPY` per image; run as `python -m raysweep.cli.mirror`."""

from __future__ import annotations

import sys
from pathlib import Path

from raysweep.cli.output import say
from raysweep.errors import InputError
from raysweep.study.mirror import copies


def main() -> int:
    """The lines on standard output; 2 when the sweep or an image is at fault."""
    config, mirror = sys.argv[1:]
    try:
        for source, copy in copies(Path(config), mirror):
            say(f"{source} {copy}")
    except InputError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
