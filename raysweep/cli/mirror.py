"""What scripts/mirror-images copies, a line `NAME@DIGEST COPY` per image; run as `python -m raysweep.cli.mirror`."""

from __future__ import annotations

import sys
from pathlib import Path

from raysweep.cli.output import say
from raysweep.errors import InputError, bad_input
from raysweep.study.images import digests_of, original_images
from raysweep.study.load import load_study


def copies(config: Path, mirror: str) -> list[tuple[str, str]]:
    """(image by digest, name of its copy below `mirror`); InputError when an image cannot be resolved."""
    from raysweep.sandbox.images import mirrored, parse_name

    study = load_study(config)
    names = sorted({name for name in original_images(study).values() if name is not None})
    if not names:
        kind = study.sweep.sandbox.kind
        raise bad_input("no image is needed", "nothing is to be copied", file=config, key="sandbox.kind", value=kind)
    found = digests_of(study.sweep, names)
    lost = [f"{name}: {found[name].why}" for name in names if found[name].digest is None]
    if lost:
        raise bad_input(f"not resolved: {'; '.join(lost)}", "correct the name, or log in to its registry", file=config)
    return [(parse_name(name).pinned(str(found[name].digest)), mirrored(name, mirror)) for name in names]


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
