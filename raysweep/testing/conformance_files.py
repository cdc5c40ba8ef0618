# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of files going in and out."""

from __future__ import annotations

import errno
import io
import random
import tarfile
from collections.abc import Mapping

import pytest

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import Bench, shell, succeeded


def archive_of(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """A tar archive with the given files; a name that ends with a slash is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode = mode
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def files_in(archive: bytes) -> dict[str, bytes]:
    """Content by name of the regular files in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [member for member in tar if member.isreg()]
        return {m.name: handle.read() for m in members if (handle := tar.extractfile(m)) is not None}


class FileCases(Bench):
    """Bytes arrive as they left."""

    async def test_a_tree_comes_back_as_it_went_in(self, provider: SandboxProvider) -> None:
        noise = random.Random(1).randbytes(3_000_001)
        files = {"tree/noise.bin": noise, "tree/empty": b"", "tree/sub/\u00e9t\u00e9 \U0001f600.txt": b"\xff\x00"}
        async with self.sandbox(provider) as sandbox:
            await sandbox.put(archive_of({"tree/hollow/": b"", **files}), "/app/deep/er")
            back = await sandbox.get("/app/deep/er/tree")
            one = await sandbox.get("/app/deep/er/tree/noise.bin")
            listing = await shell(sandbox, "ls -d /app/deep/er/tree/hollow/; wc -c < /app/deep/er/tree/noise.bin")
        assert files_in(back) == files
        assert files_in(one) == {"noise.bin": noise}
        assert succeeded(listing)
        assert listing.stdout.split() == [b"/app/deep/er/tree/hollow/", b"3000001"]

    async def test_modes_survive_and_files_are_replaced(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await sandbox.put(archive_of({"run.sh": b"#!/bin/sh\necho first\n"}, mode=0o755), "/app")
            assert (await shell(sandbox, "./run.sh")).stdout == b"first\n"
            await shell(sandbox, "echo precious > /tmp/other; ln -sf /tmp/other /app/run.sh")
            await sandbox.put(archive_of({"run.sh": b"#!/bin/sh\necho second\n"}, mode=0o755), "/app")
            result = await shell(sandbox, "./run.sh; cat /tmp/other")
        assert result.stdout == b"second\nprecious\n", "put must not write through a link that the task made"

    async def test_what_is_not_there_is_file_not_found(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            with pytest.raises(FileNotFoundError):
                await sandbox.get("/no/such/place")
            assert succeeded(await shell(sandbox, "true"))

    async def test_an_archive_above_its_bound_is_refused_and_the_sandbox_lives(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await shell(sandbox, "truncate -s 1G /app/sparse; printf 12345 > /app/small")
            for limit in (1 << 20, 64 << 20):
                with pytest.raises(OSError, match="sparse") as caught:
                    await sandbox.get("/app/sparse", limit=limit)
                assert caught.value.errno == errno.EFBIG
            assert files_in(await sandbox.get("/app/small", limit=64 << 10)) == {"small": b"12345"}

    async def test_large_archives_pass_below_a_small_limit(self, provider: SandboxProvider) -> None:
        content = bytes(range(256)) * (48 << 12)  # 48 MiB, three quarters of the memory limit
        async with self.sandbox(provider) as sandbox:
            await sandbox.put(archive_of({"big": content}), "/app")
            back = files_in(await sandbox.get("/app/big"))
            counters = await sandbox.counters()
        assert back == {"big": content}
        assert counters.oom_kills == 0
