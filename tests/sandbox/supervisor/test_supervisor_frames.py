"""What comes from untrusted clients, and what the supervisor tells of itself and of its container."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.sandbox.supervised.frames import NO_SEAL, SEAL_LENGTH
from support.supervisor_client import HEADER, PROGRAM, Client, PipeLink, Place, connect, patiently


def closed(link: socket.socket) -> bool:
    """Whether the supervisor closes the connection without a word; ours is closed then, too."""
    with link:
        try:
            return link.recv(1) == b""
        except ConnectionResetError:
            return True


def frame(*fields: bytes, body: bytes = b"") -> bytes:
    head = b"\0".join(fields)
    return HEADER.pack(len(head), len(body)) + head + body


def whole_frame(link: socket.socket) -> bytes:
    """The next frame with its seal, however it comes in pieces."""
    data = bytearray()
    size = HEADER.size
    while len(data) < size:
        piece = link.recv(size - len(data))
        assert piece, "closed in the middle of a frame"
        data += piece
        if len(data) == HEADER.size:
            size += sum(HEADER.unpack(data)) + SEAL_LENGTH
    return bytes(data)


def sealed(client: Client, data: bytes) -> bytes:
    return data + client.out.whole(data)


def test_hello_tells_what_the_client_must_know(running: Place):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    hello = running.client().hello
    version, pid, boottime, realtime, uid, cgroup = map(int, hello.fields[:-1])
    assert (version, pid, uid) == (2, 1, 0)
    assert len(hello.fields[-1]) == 64
    assert cgroup in (0, 1, 2)
    assert before <= boottime <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert abs(realtime - time.time() * 1e6) < 60e6


def test_clock(client: Client):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    boottime, realtime = map(int, client.ask("clock").fields)
    assert before <= boottime <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert abs(realtime - time.time() * 1e6) < 60e6


@pytest.mark.parametrize(
    "data",
    [
        frame(b"1", b"hello", b"0" * 32) + NO_SEAL,
        frame(b"1", b"hello", b"n" * 65, b"") + NO_SEAL,
        frame(b"1", b"clock") + NO_SEAL,
        frame(b"1", b"exec", b"c", b"-1", b"/", b"0", b"1", b"true") + NO_SEAL,
        frame(b"1") + NO_SEAL,
        frame(b"", b"hello", b"n", b"") + NO_SEAL,
        frame(b"1", b"hello", b"n", b"", body=b"body"),
        HEADER.pack(0, 0),
        HEADER.pack(5000, 0),
        HEADER.pack((1 << 32) - 1, 0),
        HEADER.pack(10, (1 << 64) - 1),
        frame(b"i" * 65, b"hello", b"n", b"") + NO_SEAL,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_stranger_is_turned_away(shared, data: bytes):
    running, _ = shared
    link = connect(running.name)
    link.sendall(data)
    assert closed(link)
    link.close()
    assert running.client().ask("clock").status == "ok"


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(0, 0),
        HEADER.pack((16 << 20) + 1, 0),
        HEADER.pack(10, (1 << 40) + 1),
        frame(b"1"),
        frame(b"", b"clock"),
        frame(b"i" * 65, b"clock"),
        frame(b"1", b"clock", body=b"x"),
        frame(b"1", b"hello", b"n", b"wrong"),
    ],
)
def test_nonsense_after_hello_ends_the_connection(shared, data: bytes):
    running, _ = shared
    client = running.client()
    client.socket.sendall(sealed(client, data) if len(data) > HEADER.size else data)
    assert closed(client.socket)
    assert running.client().ask("clock").status == "ok"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(
        st.binary(max_size=40) | st.sampled_from([b"put", b"get", b"exec", b"wait", b"-1", b"7"]), max_size=9
    ),
    tail=st.binary(max_size=60),
    known=st.booleans(),
)
def test_no_bytes_bring_it_down(shared, fields: list[bytes], tail: bytes, known: bool):
    running, _ = shared
    client = running.client() if known else None
    link = client.socket if client else connect(running.name)
    operation = [field for field in fields if field != b"stop"]
    data = frame(b"1", *operation)
    link.sendall((sealed(client, data) if client else data + NO_SEAL) + tail)
    link.close()
    assert running.client().ask("clock").status == "ok"
    for used in running.clients:
        used.close()
    running.clients.clear()


def test_an_unfinished_frame_holds_nobody_up(running: Place):
    known = running.client()
    known.socket.sendall(HEADER.pack(1000, 0) + b"1\0clo")
    stranger = connect(running.name)
    stranger.sendall(b"\0\0")
    assert running.client().shell("echo served").out == b"served\n"
    stranger.close()


def test_a_client_that_does_not_read_holds_nobody_up(running: Place):
    lazy = running.client()
    lazy.run(["head", "-c", "20000000", "/dev/zero"], limit=0)
    lazy.start("zeros", ["head", "-c", "20000000", "/dev/zero"])
    lazy.wait("zeros", limit=0)
    for _ in range(20):
        lazy.send("read", "zeros", "out", 0, 20_000_000)
    busy = running.client()
    assert busy.shell("echo served").out == b"served\n"
    assert rss_kib(running) < 4096
    lazy.close()
    assert busy.shell("echo on").out == b"on\n"


def test_many_strangers_do_not_keep_a_client_out(running: Place):
    links = [connect(running.name) for _ in range(300)]
    client = running.client()
    assert client.shell("echo served").out == b"served\n"
    for link in links:
        link.close()


def rss_kib(running: Place) -> int:
    """Resident memory of process 1."""
    status = Path(f"/proc/{running.host_pid()}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def test_at_rest_it_is_small(running: Place):
    client = running.client()
    for _ in range(20):
        client.shell("true")
    assert rss_kib(running) < 1024


def test_the_token_is_nowhere_inside(running: Place):
    client = running.client()
    token = running.token.encode()
    assert client.shell("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline").out.find(token) < 0
    pid = running.host_pid()
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "[v" not in line and " r" in line:
                memory.seek(first)
                assert memory.read(last - first).find(token) < 0, line


def test_without_the_right_to_trace_its_memory_is_closed(client: Client):
    kept = "-all,+chown,+dac_override,+fowner,+fsetid,+setuid,+setgid,+setpcap,+setfcap,+kill,+sys_chroot"
    drop = ["setpriv", "--bounding-set", kept, "--inh-caps", "-all", "sh", "-c"]
    assert client.run([*drop, "cat /proc/self/environ > /dev/null"]).exit == 0
    for script in ("cat /proc/1/environ", "head -c 1 /proc/1/mem", "cat < /proc/1/fd/3", "readlink /proc/1/exe"):
        assert client.run([*drop, script]).exit != 0, script


@pytest.mark.parametrize("digest", [(), ("",), ("0" * 63,)])
def test_without_the_digest_of_a_token_it_does_not_start(tmp_path, digest):
    command = [PROGRAM, "init", "test-none", tmp_path / "spool", *digest]
    done = subprocess.run(command, env={}, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"DIGEST" in done.stderr or b"SHA-256" in done.stderr


def test_a_stranger_gets_nothing_by_a_hello_alone(running: Place):
    """Before the first client nobody comes in without the token; afterwards a hello is answered, and not believed."""
    early = connect(running.name)
    early.sendall(frame(b"1", b"hello", b"n", b"") + NO_SEAL)
    assert closed(early)
    client = running.client()
    for data in (frame(b"2", b"clock"), frame(b"2", b"exec", b"c", b"-1", b"/", b"0", b"1", b"true")):
        stranger = connect(running.name)
        stranger.sendall(frame(b"1", b"hello", b"n", b"") + NO_SEAL)
        whole_frame(stranger)
        stranger.sendall(data + NO_SEAL)
        assert closed(stranger)
    assert client.ask("wait", "c", 0, 0).errno == errno.ENOENT


def test_a_frame_that_was_altered_repeated_or_left_out_ends_the_stream(running: Place):
    start = frame(b"1", b"exec", b"once", b"-1", b"/", b"0", b"1", b"/bin/true")
    for change in (
        lambda data: data.replace(b"/bin/true", b"/bin/evil"),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ):
        client = running.client()
        client.socket.sendall(change(sealed(client, start)))
        assert closed(client.socket)
    client = running.client()
    clock = sealed(client, frame(b"7", b"clock"))
    client.socket.sendall(clock)
    assert client.receive("7").status == "ok"
    client.socket.sendall(clock)
    assert closed(client.socket)
    skipping = running.client()
    sealed(skipping, frame(b"8", b"clock"))
    skipping.socket.sendall(sealed(skipping, frame(b"9", b"clock")))
    assert closed(skipping.socket)
    assert running.client().ask("wait", "once", 0, 0).errno == errno.ENOENT


def test_a_put_whose_seal_does_not_fit_writes_nothing(running: Place, tmp_path):
    data = bytes(1024)  # an archive without members, which makes the folder
    client = running.client()
    put = frame(b"1", b"put", str(tmp_path / "in").encode(), hashlib.sha256(data).hexdigest().encode(), body=data)
    client.socket.sendall(put + NO_SEAL)
    assert closed(client.socket)
    assert running.client().put(str(tmp_path / "other"), data).status == "ok"
    assert not (tmp_path / "in").exists()


def test_what_the_supervisor_sends_cannot_be_altered(running: Place):
    client = running.client()
    client.send("clock", request_id="5")
    reply, _ = client.frame()
    assert client.seals.whole(reply) != client.seals.whole(reply), "each frame has a number"


def test_counters_are_whole_files(client: Client):
    reply = client.ask("counters")
    names, lengths = reply.fields[::2], [int(x) for x in reply.fields[1::2]]
    assert sum(lengths) == len(reply.body)
    files, at = {}, 0
    for name, length in zip(names, lengths, strict=True):
        files[name] = reply.body[at : at + length]
        at += length
    assert b"MemAvailable:" in files["meminfo"]
    version = client.hello.fields[5]
    assert {"1": "memory.usage_in_bytes", "2": "memory.current", "0": "meminfo"}[version] in files
    assert b"nr_throttled" in files["cpu.stat"] or version == "0" or "cpu.stat" not in files


def test_samples_come_each_second(client: Client):
    patiently(lambda: int(client.ask("samples", 1 << 40).fields[0]) >= 3, "no samples came")
    reply = client.ask("samples", 0)
    total, first = map(int, reply.fields)
    lines = reply.body.decode().splitlines()
    assert (first, len(lines)) == (0, total)
    rows = [[int(x) for x in line.split()] for line in lines]
    assert {len(row) for row in rows} == {10}
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    assert all(row[9] > 0 for row in rows)
    if client.hello.fields[5] != "0":
        assert all(row[1] > 0 and row[2] >= 0 and row[3] >= 0 for row in rows)
    later = client.ask("samples", total - 1)
    assert later.fields[1] == str(total - 1)
    assert later.body.decode().splitlines()[0] == lines[-1]


def test_output_of_a_command_is_a_file_of_the_spool(client: Client):
    client.shell("echo out; echo err >&2")
    assert client.ask("file", "c-1.out", 0, 100).body == b"out\n"
    assert client.ask("file", "c-1.err", 0, 100).body == b"err\n"
    assert client.ask("file", "c-1.err", 1, 2).body == b"rr"
    assert client.ask("file", "none", 0, 7).errno == errno.ENOENT


def test_call_carries_frames_of_any_size_both_ways(running: Place):
    noise, zeros = os.urandom(3_000_000), ["/bin/head", "-c3000000", "/dev/zero"]
    with calling(running) as (client, call):
        assert client.put("/", noise, "0" * 64).errno == errno.EBADMSG
        assert client.start("c", zeros).fields == ["started"]
        assert client.wait("c", limit=5_000_000).out == bytes(3_000_000)
        call.stdin.close()
        assert call.wait(60) == 0


def test_call_ends_when_the_supervisor_does(running: Place):
    client = running.client()
    with calling(running) as (through, call):
        assert through.hello.status == "ok"
        client.send("stop")
        call.stdout.read()
        assert call.wait(60) == 0


@contextlib.contextmanager
def calling(running: Place):
    """A client whose stream is a `supervisor call`, and that process."""
    command = [PROGRAM, "call", running.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as call:
        yield Client(running.name, running.token, PipeLink(call)), call
