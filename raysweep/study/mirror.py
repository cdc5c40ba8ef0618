"""Copies of a sweep's images below one prefix: what is to be copied where."""

from __future__ import annotations

from pathlib import Path

from raysweep.errors import bad_input
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
    resolved = digests_of(study.sweep, names)
    lost = [f"{name}: {resolved[name].why}" for name in names if resolved[name].digest is None]
    if lost:
        raise bad_input(f"not resolved: {'; '.join(lost)}", "correct the name, or log in to its registry", file=config)
    return [(parse_name(name).pinned(str(resolved[name].digest)), mirrored(name, mirror)) for name in names]
