"""Tasks of a run for runners on other nodes: through the object store of Ray."""

from __future__ import annotations

from raysweep.record.kept import KeptTasks


class InObjectStore:
    """Archives of tasks that Ray's object store brings to any node: `Fetch` for runners that see no disk of ours."""

    def __init__(self, kept: KeptTasks) -> None:
        import ray  # noqa: PLC0415 - the command line starts without it

        self._references = {digest: ray.put(kept(digest)) for digest in sorted(kept.digests)}

    def __call__(self, digest: str) -> bytes:
        """As Fetch."""
        import ray  # noqa: PLC0415 - as above

        archive: bytes = ray.get(self._references[digest])
        return archive
