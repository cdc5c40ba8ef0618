"""A real S3-compatible server with a disk: SeaweedFS, of the dev dependencies, on loopback in a process of its own.

It enforces If-None-Match and If-Match (test_objectstore races for both), and what it has answered is on its disk, so
it may be killed and started again.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PATIENCE_S = 120.0
BUCKET = "runs"
WEED = str(Path(sys.executable).parent / "weed")


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that are free, as is that 10,000 above each, where SeaweedFS puts grpc.

    All below those that the kernel gives to clients, which would take one before the server does, or while it is down.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.SystemRandom().sample(range(12_000, 20_000), 8_000):
            try:
                for one in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", one))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise AssertionError("no ports are free")


class Server:
    """One server with its folder; `environment` is what clients need to find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.s3, self.master, self.volume, self.filer = free_ports(4)
        self.url = f"http://127.0.0.1:{self.s3}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until a bucket can be written."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        command = [
            WEED, "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-s3", f"-s3.port={self.s3}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            f"-master.port={self.master}", f"-volume.port={self.volume}", f"-filer.port={self.filer}",
            f"-filer.localSocket={self.folder / 'filer.sock'}", f"-s3.localSocket={self.folder / 's3.sock'}",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.minFreeSpace=1MiB",
        ]  # fmt: skip
        # With these it would ask for signatures, which `_request` does not make.
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        until = time.monotonic() + PATIENCE_S
        while not self._writable():
            if self.process.poll() is not None or time.monotonic() >= until:
                self.kill()
                raise AssertionError((self.folder / "log").read_text()[-3000:])
            time.sleep(0.2)

    def _writable(self) -> bool:
        with contextlib.suppress(OSError):
            self._request("PUT", BUCKET)
        try:
            self._request("PUT", f"{BUCKET}/is-it-writable")
            self._request("GET", f"{BUCKET}/is-it-writable")
        except OSError:
            return False
        return True

    def _request(self, method: str, path: str) -> None:
        data = b"x" if method == "PUT" else None
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def kill(self) -> None:
        """SIGKILL, as a machine that loses power, save what the kernel still writes."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
