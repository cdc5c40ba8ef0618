"""Harbor task directories made on the spot."""

from __future__ import annotations

from pathlib import Path

SPEC = "[environment]\ncpus = 1\nmemory_mb = 64\n"


def make_task(root: Path, name: str = "one", toml: str = SPEC, files: dict[str, str] | None = None) -> Path:
    """A minimal task directory; `files` adds to it or replaces its files."""
    folder = root / name
    contents = {
        "task.toml": toml,
        "instruction.md": f"Solve {name}.\n",
        "tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n",
        "environment/setup.sh": "#!/bin/sh\n",
        **(files or {}),
    }
    for path, text in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
