"""Packages outside the repository: their files and metadata in a folder of their own, as an installer leaves them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent


def install(
    site: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Install a package below `site`; gives the environment of a process that finds it.

    Args:
        site: a folder, made where it is missing; several packages may share it.
        name: of the package in its metadata.
        modules: text of each module by its path below `site`.
        entry_points: `MODULE:NAME` by group and name.
    """
    for path, text in modules.items():
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "INSTALLER").write_text("by hand\n")
    sections = [
        f"[{group}]\n" + "".join(f"{key} = {reference}\n" for key, reference in named.items())
        for group, named in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))
    files = [*modules, *(f"{info.name}/{part}" for part in ("METADATA", "INSTALLER", "entry_points.txt", "RECORD"))]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(site), *([before] if before else [])])}
