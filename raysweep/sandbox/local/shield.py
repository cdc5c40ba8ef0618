"""The filter on system calls inside a local sandbox: none may change limits or scheduling of process 1.

A task that runs as the same user needs no capability for that: with a limit of no cpu time or no descriptors it could
end or silence the supervisor. The supervisor of containers has the same (supervisor/source/shield.c).
"""

from __future__ import annotations

import errno
import os
import platform
import struct

_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32_BIT = 0x40000000
# prlimit64, sched_setscheduler, sched_setparam, sched_setattr, sched_setaffinity by AUDIT_ARCH
_CALLS = {
    "x86_64": {0xC000003E: (302, 144, 142, 314, 203), 0x40000003: (340, 156, 154, 351, 241)},
    "aarch64": {0xC00000B7: (261, 119, 118, 274, 122), 0x40000028: (369, 156, 154, 380, 241)},
}


def filter_program() -> bytes:
    """The filter as the kernel and bubblewrap's --seccomp take it; lets everything pass on other architectures."""
    refuse = [
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_EQUAL, 1, otherwise=1),
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]
    steps = [_step(_LOAD, _ARCHITECTURE)]
    for architecture, numbers in _CALLS.get(platform.machine(), {}).items():
        block = [_step(_LOAD, _NUMBER), _step(_AND, ~_X32_BIT & 0xFFFFFFFF)]
        block += [_step(_EQUAL, n, then=len(numbers) - i) for i, n in enumerate(numbers)]
        block += [_step(_RETURN, _ALLOW), *refuse]
        steps += [_step(_EQUAL, architecture, otherwise=len(block)), *block]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def open_filter() -> int:
    """A descriptor that the filter can be read from, to be closed by the caller."""
    fd = os.memfd_create("raysweep-filter")
    os.write(fd, filter_program())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
