"""Commands under the real supervisor as process 1: once by id, whole trees, output, what the task cannot do to it."""

from __future__ import annotations

import errno
import os
import signal
import threading

from raysweep.testing.conformance_commands import STUBBORN
from support.supervisor_client import Client, Place, patiently


def alive(client: Client, words: str) -> int:
    """Processes inside whose command line has `words`."""
    ended = client.shell("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
    return sum(words in line for line in ended.out.decode(errors="replace").splitlines())


def seen_once(client: Client, words: str) -> None:
    """Wait until one process has `words` in its command line: in the middle of an exec it has none for a moment."""
    patiently(lambda: alive(client, words) == 1, f"{words} does not run")


def test_exit_codes_signals_and_what_cannot_run(client: Client, tmp_path):
    ended = client.shell("echo out; echo err >&2; exit 7")
    assert (ended.exit, ended.signal, ended.timed_out, ended.out, ended.err) == (7, -1, False, b"out\n", b"err\n")
    assert (client.shell("kill -15 $$").signal, client.shell("kill -15 $$").exit) == (15, -1)
    missing = client.run(["/no/such/program"])
    assert missing.exit == 127
    assert b"/no/such/program" in missing.err
    (tmp_path / "plain").write_text("no program")
    assert client.run([str(tmp_path / "plain")]).exit == 126
    assert client.run(["true"], cwd="/no/such/folder").exit == 127


def test_environment_is_the_given_one_and_nothing_else(client: Client, tmp_path):
    assert client.run(["/usr/bin/env"], env={"A": "1", "B": ""}).out == b"A=1\nB=\n"
    (tmp_path / "here").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "here").chmod(0o755)
    assert client.run(["here"], env={"PATH": str(tmp_path)}).out == b"found\n"
    assert client.run(["pwd"], cwd="/usr").out == b"/usr\n"
    assert client.run(["cat"]).out == b""
    assert client.run(["printf", "[%s]", "", "a b", ""]).out == b"[][a b][]"


def test_signals_descriptors_and_session_of_a_command_are_its_own(client: Client):
    ended = client.shell(
        "ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/self/oom_score_adj"
    )
    assert ended.out.split() == [b"4", b"SigBlk:", b"0000000000000000", b"SigIgn:", b"0000000000000000", b"500"]
    assert client.shell("[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ]").exit == 0


def test_once_by_id_over_connections_at_the_same_time_and_later(running: Place, tmp_path):
    script = f"echo ran >> {tmp_path}/count; sleep 0.3; echo done"
    clients = [running.client() for _ in range(8)]
    words: list[str] = []
    threads = [
        threading.Thread(target=lambda c=c: words.append(c.start("same", ["sh", "-c", script]).fields[0]))
        for c in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(words) == ["exists"] * 7 + ["started"]
    first = [c.wait("same") for c in clients]
    for c in clients:
        c.close()
    again = running.client()
    assert again.start("same", ["false"]).fields == ["exists"]
    assert {again.wait("same"), *first} == {first[0]}
    assert (tmp_path / "count").read_text() == "ran\n"


def test_a_wait_that_was_cut_is_taken_up_by_another_connection(running: Place, tmp_path):
    first = running.client()
    first.start("long", ["sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo went"])
    first.send("wait", "long", 100, 600_000)
    first.close()
    second = running.client()
    assert second.ask("wait", "long", 100, 0).fields == ["running"]
    assert second.ask("wait", "long", 100, 50).fields == ["running"]
    (tmp_path / "go").touch()
    assert second.wait("long").out == b"went\n"


def test_a_time_out_ends_the_whole_tree_and_no_other(client: Client):
    assert client.shell("sleep 4711 & echo started").out == b"started\n"
    ended = client.run(["sh", "-c", STUBBORN], timeout_ms=1000)
    assert ended.timed_out
    assert (ended.exit, ended.signal) == (-1, 9)
    assert ended.duration_us >= 1_000_000
    assert alive(client, "stubborn") == 0
    seen_once(client, "sleep 4711")


def test_a_command_that_ended_in_time_keeps_its_background_processes(client: Client):
    ended = client.shell("sleep 4712 & echo started", timeout_ms=600_000)
    assert (ended.exit, ended.timed_out, ended.out) == (0, False, b"started\n")
    seen_once(client, "sleep 4712")


def test_kill_ends_the_tree_and_tells_signal_9(client: Client):
    client.start("victim", ["sh", "-c", f"echo up; {STUBBORN}"])
    patiently(lambda: client.ask("read", "victim", "out", 0, 10).body == b"up\n", "the command did not start")
    assert client.ask("kill", "victim").fields == ["killed"]
    assert alive(client, "stubborn") == 0
    ended = client.wait("victim")
    assert (ended.signal, ended.timed_out) == (9, False)


def test_kill_of_an_ended_command_ends_what_it_left(client: Client):
    client.start("parent", ["sh", "-c", "sleep 4713 &"])
    ended = client.wait("parent")
    seen_once(client, "sleep 4713")
    assert client.ask("kill", "parent").fields == ["killed"]
    assert alive(client, "sleep 4713") == 0
    assert client.wait("parent") == ended


def test_a_tree_that_runs_away_from_its_killer_is_ended(client: Client):
    flood = "import os\nwhile True:\n  try:\n    if os.fork(): os._exit(0)\n    os.setsid()\n  except OSError: pass"
    script = 'python3 -S -c "$0" runaway; python3 -S -c "$0" runaway; exec sleep 600'
    ended = client.run(["sh", "-c", script, flood], timeout_ms=1500)
    assert ended.timed_out
    assert alive(client, "runaway") == 0


def test_ten_megabytes_and_reading_by_offset(client: Client):
    code = "import sys; [sys.stdout.write('0123456789' * 10_000) for _ in range(100)]; sys.stderr.write('e' * 5000)"
    client.start("flood", ["python3", "-S", "-c", code])
    cut = client.wait("flood", limit=1 << 16)
    assert (cut.out_total, cut.err_total, len(cut.out), len(cut.err)) == (10_000_000, 5000, 1 << 16, 5000)
    assert client.wait("flood", limit=1 << 24).out == b"0123456789" * 1_000_000
    piece = client.ask("read", "flood", "out", 9_999_995, 100)
    assert (piece.fields, piece.body) == (["10000000", "1"], b"56789")
    assert client.ask("read", "flood", "err", 4998, 100).body == b"ee"
    assert client.ask("read", "flood", "out", 20_000_000, 100).body == b""


def test_output_is_read_while_the_command_runs_and_need_not_be_text(client: Client):
    client.start("bytes", ["sh", "-c", r"printf '\377\376\000x\n'; printf '\200' >&2; exec sleep 4715"])
    patiently(lambda: len(client.ask("read", "bytes", "err", 0, 10).body) == 1, "no output came")
    reply = client.ask("read", "bytes", "out", 0, 10)
    assert (reply.fields, reply.body) == (["5", "0"], b"\xff\xfe\x00x\n")
    client.ask("kill", "bytes")
    assert client.wait("bytes", limit=10).err == b"\x80"


def test_output_outlives_what_the_task_does_to_the_spool(running: Place):
    client = running.client()
    client.start("kept", ["sh", "-c", "echo kept"])
    client.wait("kept")
    assert client.shell(f"rm -r {running.spool}; echo gone").out == b"gone\n"
    assert client.wait("kept").out == b"kept\n"
    assert client.shell("echo on").out == b"on\n"
    assert client.shell(f"mkfifo {running.spool}/pipe; ln -s /etc/passwd {running.spool}/link").exit == 0
    assert client.ask("file", "pipe", 0, 10).errno == errno.EINVAL
    assert client.ask("file", "link", 0, 10).errno == errno.ELOOP


def test_killing_everything_inside_leaves_it_usable(client: Client):
    ended = client.shell("sleep 600 & kill -9 -1; kill -9 $$")
    assert ended.signal == 9
    patiently(lambda: alive(client, "sleep 600") == 0, "a killed process stays")
    assert client.shell("true").exit == 0


def test_root_inside_can_not_end_or_stop_it(client: Client):
    for name in ("TERM", "INT", "HUP", "STOP", "KILL", "SEGV", "CHLD"):
        client.shell(f"kill -{name} 1")
    assert client.shell("echo alive").out == b"alive\n"


def test_orphans_are_reaped(client: Client, tmp_path):
    pids = tmp_path / "pids"
    ten = f"for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'echo $$ >> {pids}; exit 3' &) ; done"
    assert client.shell(f"{ten}; until [ $(wc -l < {pids}) = 10 ]; do sleep 0.05; done").exit == 0
    orphans = pids.read_text().split()
    assert len(set(orphans)) == 10
    left = "ls -d " + " ".join(f"/proc/{pid}" for pid in orphans)
    patiently(lambda: client.shell(left).out == b"", "orphans that ended are not reaped")


def test_unknown_commands_and_malformed_arguments(client: Client):
    for fields in (("wait", "none", 1, 1), ("read", "none", "out", 0, 1), ("kill", "none")):
        assert client.ask(*fields).errno == errno.ENOENT
    malformed = (
        ("exec",),
        ("exec", "c", -1, "/", 0, 1),
        ("exec", "c", -1, "/", 99, "A=1", 1, "true"),
        ("exec", "c", "x", "/", 0, 1, "true"),
        ("exec", "", -1, "/", 0, 1, "true"),
        ("exec", "c" * 1000, -1, "/", 0, 1, "true"),
        ("exec", "c", -1, "/", 0, 0),
        ("wait", "c"),
        ("wait", "c", "99999999999999999999999", 1),
        ("samples", ""),
        ("file", "../x", 0, 1),
    )
    for fields in malformed:
        assert client.ask(*fields).errno == errno.EINVAL, fields
    assert client.ask("dance").errno == errno.ENOSYS
    assert client.start("c", ["true"]).fields == ["started"]


def test_a_refused_fork_is_an_error_that_may_be_repeated(without_root: Place):
    client = without_root.client()
    for number in range(20):
        if client.start(f"s{number}", ["sleep", "4716"]).status == "error":
            break
    else:
        raise AssertionError("the limit on processes was not felt")
    assert client.ask("exec", "late", -1, "/", 0, 1, "true").errno == errno.EAGAIN
    client.ask("kill", "s0")
    assert client.start("late", ["true"]).fields == ["started"]
    assert client.wait("late").exit == 0


def test_many_commands_at_once(client: Client):
    for number in range(60):
        client.send("exec", f"m{number}", -1, "/", 1, "PATH=/usr/bin:/bin", 3, "sh", "-c", f"sleep 0.2; echo {number}")
    assert [client.wait(f"m{number}").out for number in range(60)] == [b"%d\n" % number for number in range(60)]


def test_the_platforms_sigterm_ends_everything(running: Place):
    client = running.client()
    client.shell("sleep 4717 &")
    os.kill(running.host_pid(), signal.SIGTERM)
    assert running.process.wait(60) == 128 + signal.SIGTERM


def test_stop_is_answered_and_ends_everything(running: Place):
    client = running.client()
    client.start("on", ["sleep", "4718"])
    assert client.ask("stop").status == "ok"
    assert running.process.wait(60) == 0, "a client that keeps its connection must not hold it up"
