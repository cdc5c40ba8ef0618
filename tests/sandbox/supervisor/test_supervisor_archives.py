"""Archives in and out of the real supervisor, judged by Python's tarfile; full disks, cut connections, flat memory."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import tarfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.supervisor_client import HEADER, NO_BOUND, Place, patiently, place

LONG = "/".join(["d" * 90, "e" * 120, "f" * 200, "a file with a very long name " * 6])
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(tar: tarfile.TarFile, name: str, content: bytes | None = b"", mode: int = 0o644, **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content or b""), mode, 1_600_000_000
    if content is None:
        info.type = tarfile.DIRTYPE
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content or b""))


def archive(*members: tuple, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of (name, content or None for a folder, mode, further fields)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content, *rest in members:
            member(tar, name, content, rest[0] if rest else 0o644, **(rest[1] if len(rest) > 1 else {}))
    return out.getvalue()


def seen_in(data: bytes) -> dict[str, object]:
    """What an archive holds by name: content, link target, or None for folders."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() if m.isreg() else m.linkname if m.issym() else None for m in tar}


def seen_on_disk(folder: Path) -> dict[str, object]:
    """The same of a folder."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - a Path would tidy the target
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_names_modes_times_links_and_empty_folders_arrive(shared, tmp_path, form):
    running, _ = shared
    noise = os.urandom(3_000_001)
    long = "n" * 90 + "/" + "m" * 90 if form == "ustar" else LONG
    data = archive(
        ("tree", None, 0o750),
        ("tree/noise", noise, 0o4755),
        ("tree/hollow", None, 0o555),
        ("tree/hollow/in", b"in"),
        ("tree/\u00e9t\u00e9 \U0001f600", b"\xff\x00"),
        ("tree/link", b"", 0o777, {"type": tarfile.SYMTYPE, "linkname": "no/such/place"}),
        ("tree/hard", b"", 0o644, {"type": tarfile.LNKTYPE, "linkname": "tree/noise"}),
        ("tree/" + long, b"long"),
        ("tree/pipe", b"", 0o644, {"type": tarfile.FIFOTYPE}),
        form=FORMATS[form],
    )
    client = running.client()
    assert client.put(str(tmp_path / "deep" / "er"), data).status == "ok"
    tree = tmp_path / "deep" / "er" / "tree"
    assert (tree / "noise").read_bytes() == (tree / "hard").read_bytes() == noise
    assert (tree / "noise").stat().st_ino == (tree / "hard").stat().st_ino
    assert (tree / long).read_bytes() == b"long"
    assert (tree / "\u00e9t\u00e9 \U0001f600").read_bytes() == b"\xff\x00"
    assert (tree / "link").readlink() == Path("no/such/place")
    assert (tree / "pipe").is_fifo()
    modes = {name: (tree / name).stat().st_mode & 0o7777 for name in ("", "noise", "hollow", "hollow/in")}
    assert modes == {"": 0o750, "noise": 0o4755, "hollow": 0o555, "hollow/in": 0o644}
    assert {(tree / name).lstat().st_mtime for name in ("", "noise", "hollow", "link")} == {1_600_000_000}
    assert {(tree / name).lstat().st_uid for name in ("", "noise", "link")} == {0}
    with tarfile.open(fileobj=io.BytesIO(client.get(str(tree)))) as back:
        names = back.getnames()
        assert names == sorted(names, key=lambda name: name.encode().split(b"/"))
        assert back.extractfile("tree/noise").read() == back.extractfile("tree/hard").read() == noise
        assert back.extractfile("tree/" + long).read() == b"long"
        assert (back.getmember("tree/noise").mode, back.getmember("tree/hollow").mode) == (0o4755, 0o555)
        assert back.getmember("tree/link").linkname == "no/such/place"
        assert back.getmember("tree/pipe").isfifo()
        assert {m.mtime for m in back if m.isreg() and m.name != "tree/hard"} == {1_600_000_000}


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 250
)
trees = st.recursive(
    st.binary(max_size=1500) | st.text(st.sampled_from("ab/."), min_size=1, max_size=200),
    lambda below: st.dictionaries(names, below, max_size=4),
    max_leaves=8,
)


def make(place: Path, tree: object) -> None:
    if isinstance(tree, dict):
        place.mkdir()
        for name, below in tree.items():
            make(place / name, below)
    elif isinstance(tree, bytes):
        place.write_bytes(tree)
    else:
        place.symlink_to(tree)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(names, trees, max_size=4), form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_small_trees_survive_both_ways(shared, tree, form):
    running, folder = shared
    here = folder / uuid.uuid4().hex
    here.mkdir()
    make(here / "tree", tree)
    client = running.client()
    assert seen_in(client.get(str(here / "tree"))) == {
        "tree": None,
        **{f"tree/{name}": what for name, what in seen_on_disk(here / "tree").items()},
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        tar.add(here / "tree", "copy")
    assert client.put(str(here), out.getvalue()).status == "ok"
    assert seen_on_disk(here / "copy") == seen_on_disk(here / "tree")
    client.close()
    running.clients.remove(client)
    shutil.rmtree(here)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4 * 512 - 1), byte=st.integers(0, 255), cut=st.integers(0, 4 * 512))
def test_a_damaged_archive_is_an_error_or_harmless(shared, at, byte, cut):
    running, folder = shared
    dest = folder / uuid.uuid4().hex
    data = bytearray(archive(("a", b"content", 0o644), (LONG[:150], b"x")))
    data[at] = byte
    client = running.client()
    reply = client.put(str(dest), bytes(data[:cut]))
    assert reply.status == "ok" or reply.errno in (errno.EBADMSG, errno.EINVAL, errno.EOPNOTSUPP, errno.ENAMETOOLONG)
    assert client.ask("clock").status == "ok"
    client.close()
    running.clients.remove(client)


def test_what_stands_in_a_members_place_is_replaced_not_written_through(client, tmp_path):
    precious, box = tmp_path / "precious", tmp_path / "box"
    precious.write_bytes(b"precious")
    box.mkdir()
    (box / "link").symlink_to(precious)
    (box / "folder" / "full").mkdir(parents=True)
    (box / "file").write_bytes(b"old")
    (box / "to-folder").symlink_to(tmp_path)
    os.mkfifo(box / "pipe")
    os.link(precious, box / "hard")
    new = [(name, b"new") for name in ("link", "folder", "pipe", "hard")]
    assert client.put(str(box), archive(*new, ("file", None, 0o755), ("to-folder", None, 0o755))).status == "ok"
    assert precious.read_bytes() == b"precious"
    assert seen_on_disk(box) == {**{name: b"new" for name, _ in new}, "file": None, "to-folder": None}


def test_names_that_leave_the_folder(client, tmp_path):
    assert client.put(str(tmp_path / "in"), archive(("../out", b"x"))).errno == errno.EINVAL
    assert client.put(str(tmp_path / "in"), archive(("a/../../out", b"x"))).errno == errno.EINVAL
    assert not (tmp_path / "out").exists()
    assert client.put(str(tmp_path / "in"), archive(("/abs/file", b"x"), ("./dot", b"y"))).status == "ok"
    assert seen_on_disk(tmp_path / "in") == {"abs": None, "abs/file": b"x", "dot": b"y"}


def test_errors_are_told_by_number(client, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    assert client.put(str(tmp_path / "file"), archive(("a", b"x"))).errno == errno.ENOTDIR
    assert client.put(str(tmp_path / "file" / "below"), archive(("a", b"x"))).errno == errno.ENOTDIR
    assert client.ask("get", str(tmp_path / "none"), NO_BOUND).errno == errno.ENOENT
    assert client.ask("get", str(tmp_path / "file" / "below"), NO_BOUND).errno == errno.ENOTDIR
    assert client.put(str(tmp_path / "cut"), archive(("a", bytes(5000)))[:2000]).errno == errno.EBADMSG
    assert client.put(str(tmp_path / "sum"), b"x" + archive(("a", b"x"))[1:]).errno == errno.EBADMSG
    assert client.put(str(tmp_path / "empty"), b"").status == "ok"
    assert (tmp_path / "empty").is_dir()


def test_an_archive_above_the_bound_is_refused_before_it_is_made(client, tmp_path):
    (tmp_path / "many").mkdir()
    for name in "abcd":
        (tmp_path / "many" / name).write_bytes(bytes(1000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert client.ask("get", str(tmp_path / "sparse"), str(1 << 30)).errno == errno.EFBIG
    size = len(client.get(str(tmp_path / "many")))
    assert client.ask("get", str(tmp_path / "many"), str(size)).status == "ok"
    assert client.ask("get", str(tmp_path / "many"), str(size - 1)).errno == errno.EFBIG
    assert client.ask("get", str(tmp_path / "many"), "0").errno == errno.EFBIG


@pytest.mark.parametrize("key", ["path", "linkpath", "size", "mtime", "comment"])
def test_a_record_of_an_extension_that_ends_with_its_equals_sign_is_damage(client, tmp_path, key):
    """Its value would have a length of -1."""
    record = f" {key}="
    record = f"{len(record) + 1}{record}" if len(record) < 9 else f"{len(record) + 2}{record}"
    header = tarfile.TarInfo("extension")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    data = header.tobuf(tarfile.USTAR_FORMAT) + record.encode().ljust(512, b"\0") + archive(("a", b"x"))
    assert client.put(str(tmp_path / "dest"), data).errno == errno.EBADMSG


def test_a_time_before_all_others_is_no_trouble(client, tmp_path):
    times = {"pax_headers": {"mtime": "-9223372036854775808.5"}}
    assert client.put(str(tmp_path / "dest"), archive(("a", b"x", 0o644, times))).status == "ok"


def test_a_wrong_digest_is_refused_and_nothing_is_unpacked(client, tmp_path):
    data = archive(("a", b"x"))
    for digest in ("0" * 64, "", hashlib.sha256(data + b"x").hexdigest()):
        assert client.put(str(tmp_path / "dest"), data, digest or "short").errno == errno.EBADMSG
    assert not (tmp_path / "dest").exists()


def test_one_file_a_link_and_the_last_part_of_a_path(client, tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "box").mkdir()
    assert seen_in(client.get(str(tmp_path / "one"))) == {"one": b"1"}
    assert seen_in(client.get(str(tmp_path / "link"))) == {"link": "one"}
    assert seen_in(client.get(f"{tmp_path}/box//")) == {"box": None}


def test_sockets_are_left_out_pipes_and_growing_trees_hold_nobody_up(client, tmp_path):
    (tmp_path / "box").mkdir()
    os.mkfifo(tmp_path / "box" / "pipe")
    script = "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
    assert client.run(["python3", "-S", "-c", script], cwd=str(tmp_path / "box")).exit == 0
    assert seen_in(client.get(str(tmp_path / "box"))) == {"box": None, "box/pipe": None}


def test_a_tree_that_changes_meanwhile_still_gives_a_whole_archive(client, tmp_path):
    change = "while :; do for i in 1 2 3; do head -c 300000 /dev/zero > f$i; : > f$i; rm -f f$i; done; done"
    (tmp_path / "box").mkdir()
    client.start("change", ["sh", "-c", change], cwd=str(tmp_path / "box"))
    for _ in range(30):
        contents = seen_in(client.get(str(tmp_path / "box")))
        assert all(content is None or not content.strip(b"\0") for content in contents.values())
    client.ask("kill", "change")


def test_own_files_that_are_closed_are_opened_up(without_root: Place):
    client = without_root.client()
    box = without_root.spool.parent / "box"
    client.shell(f"mkdir {box}; cd {box}; echo hidden > file; mkdir sub; echo deep > sub/deep; chmod 0 file sub")
    assert seen_in(client.get(str(box))) == {
        "box": None,
        "box/file": b"hidden\n",
        "box/sub": None,
        "box/sub/deep": b"deep\n",
    }
    assert client.put("/etc/raysweep", archive(("a", b"x"))).errno == errno.EACCES
    closed = archive(("in", None, 0o555), ("in/file", b"x", 0o400))
    assert client.put(str(box), closed).status == "ok"
    assert (box / "in" / "file").read_bytes() == b"x"


SMALL = ("sh", "-c", 'mkdir -p "$0" && mount -t tmpfs -o size=1m raysweep-test "$0" && exec "$@"')


def test_a_full_disk_is_told_and_passes(needs_unshare, tmp_path):
    small = tmp_path / "small"
    big = archive(("big", os.urandom(3_000_000)))
    with place(tmp_path / "spool", wrap=(*SMALL, str(small))) as running:
        client = running.client()
        assert client.put(str(small / "in"), big).errno == errno.ENOSPC
        assert client.shell(f"rm -r {small}/*; echo room").out == b"room\n"
        assert client.put(str(small / "in"), archive(("little", b"x"))).status == "ok"


def test_a_full_spool_is_told_and_passes(needs_unshare, tmp_path):
    spool = tmp_path / "spool"
    big = archive(("big", os.urandom(3_000_000)))
    with place(spool, wrap=(*SMALL, str(spool))) as running:
        client = running.client()
        assert client.put(str(tmp_path / "in"), big).errno == errno.ENOSPC
        assert not (tmp_path / "in").exists()
        (tmp_path / "big").write_bytes(bytes(3_000_000))
        assert client.ask("get", str(tmp_path / "big"), NO_BOUND).errno == errno.ENOSPC
        assert client.shell("head -c 3000000 /dev/zero").exit != 0
        assert client.put(str(tmp_path / "in"), archive(("little", b"x"))).errno == errno.ENOSPC
        assert client.shell(f": > {spool}/c-1.out; echo on", limit=10).out == b"on\n"
        assert client.put(str(tmp_path / "in"), archive(("little", b"x"))).status == "ok"


def test_a_put_that_was_cut_leaves_nothing_and_can_be_sent_again(running: Place, tmp_path):
    data = archive(("big", os.urandom(4_000_000)))
    digest = hashlib.sha256(data).hexdigest()
    head = f"9\0put\0{tmp_path}/dest\0{digest}".encode()
    for kept in (0, 1000, 2_000_000, len(data) - 1):
        first = running.client()
        first.socket.sendall(HEADER.pack(len(head), len(data)) + head + data[:kept])
        first.close()
    second = running.client()
    assert second.shell("echo served").out == b"served\n"
    assert not (tmp_path / "dest").exists()
    for _ in range(5):  # all of it arrives, and nobody waits for the answer
        cut = running.client()
        whole = HEADER.pack(len(head), len(data)) + head + data
        cut.socket.sendall(whole + cut.out.whole(whole))
        cut.close()
    assert second.put(str(tmp_path / "dest"), data, digest).status == "ok"
    assert seen_on_disk(tmp_path / "dest") == seen_in(data)


def test_a_get_that_was_cut_can_be_asked_again(running: Place, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(8_000_000))
    first = running.client()
    first.send("get", str(tmp_path / "big"), NO_BOUND)
    first.exactly(100_000)
    first.close()
    running.client().send("get", str(tmp_path / "big"), NO_BOUND)
    running.clients[-1].close()
    assert seen_in(running.client().get(str(tmp_path / "big"))) == {"big": (tmp_path / "big").read_bytes()}


def test_commands_and_time_outs_go_on_during_a_transfer(running: Place, tmp_path):
    client, other = running.client(), running.client()
    data = archive(*((f"f{number}", b"x") for number in range(20_000)))
    waiting = client.send("put", str(tmp_path / "many"), hashlib.sha256(data).hexdigest(), body=data)
    assert other.run(["sleep", "600"], timeout_ms=50).timed_out
    assert client.receive(waiting).status == "ok"
    assert len(list((tmp_path / "many").iterdir())) == 20_000


def test_memory_stays_flat(running: Place, tmp_path):
    client = running.client()
    data = archive(("big", bytes(range(256)) * (48 << 12)))
    assert client.put(str(tmp_path), data).status == "ok"
    assert seen_in(client.get(str(tmp_path / "big"))) == seen_in(data)
    status = Path(f"/proc/{running.host_pid()}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 4096


def test_a_worker_that_the_task_kills_does_its_work_again(running: Place, tmp_path):
    client, other = running.client(), running.client()
    data = archive(*((f"f{number}", b"x") for number in range(30_000)))
    waiting = client.send("put", str(tmp_path / "many"), hashlib.sha256(data).hexdigest(), body=data)
    patiently((tmp_path / "many" / "f0").exists, "the work did not begin")
    other.shell("kill -9 -1")
    assert client.receive(waiting).status == "ok"
    assert len(list((tmp_path / "many").iterdir())) == 30_000
