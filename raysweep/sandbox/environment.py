"""Environment of the commands in a sandbox, the same for every kind where task, command and image say nothing else."""

from __future__ import annotations

BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
}
