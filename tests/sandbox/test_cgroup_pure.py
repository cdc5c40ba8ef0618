"""The parts of cgroup handling that only read text: mounts, bounds, the kernel log, peaks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.record.evidence import Sample
from raysweep.sandbox.cgroup.bounds import Bounds, apply_bounds, quota, read_limit, shares, weight
from raysweep.sandbox.cgroup.files import Texts
from raysweep.sandbox.cgroup.group import Group
from raysweep.sandbox.cgroup.kmsg import KernelLog, Kill, is_below, parse_oom_line, parse_victim_line
from raysweep.sandbox.cgroup.meter import cpu_peak
from raysweep.sandbox.cgroup.mounts import choose_layout, parse_hierarchies
from raysweep.sandbox.cgroup.place import available_memory, swap_bytes
from raysweep.sandbox.cgroup.reading import Reading
from raysweep.sandbox.cgroup.recorder import PhaseRecorder
from raysweep.sandbox.local.doctor import file_system

V2_MOUNTS = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID_MOUNTS = (
    "40 30 0:34 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    "41 30 0:35 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    "42 30 0:36 /docker/abc /sys/fs/cgroup/with\\040blank ro - cgroup cgroup rw,pids\n"
    "43 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "44 30 0:38 / /tmp rw - tmpfs tmpfs rw\n"
)
HYBRID_OWN = "5:pids:/docker/abc\n4:cpu,cpuacct:/docker/abc/x\n3:memory:/docker/abc/x/y\n1:name=systemd:/z\n0::/\n"
OOM_LINE = (
    "4,901,5,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={full},"
    "task_memcg=/docker/x/raysweep-r/t1@7-9/task/agent,task=python3,pid=812,uid=0\n"
)
VICTIM_LINE = (
    "3,902,6,-;Memory cgroup out of memory: Killed process 812 (python3) total-vm:113964kB, anon-rss:65152kB, "
    "file-rss:6144kB, shmem-rss:1024kB, UID:0 pgtables:176kB oom_score_adj:500\n"
)
TASK = "/raysweep-r/t1@7-9/task"


def test_a_v2_scope_is_found_with_its_own_path():
    layout = choose_layout(parse_hierarchies(V2_MOUNTS, "0::/user.slice/a.scope\n"), frozenset({"memory", "pids"}))
    assert layout is not None
    assert (layout.version, layout.missing) == (2, ("cpu",))
    assert layout.by_controller["memory"].own == "user.slice/a.scope"


def test_v1_wins_on_a_hybrid_machine_and_paths_are_relative_to_what_is_mounted():
    layout = choose_layout(parse_hierarchies(HYBRID_MOUNTS, HYBRID_OWN), frozenset())
    assert layout is not None
    assert (layout.version, layout.missing) == (1, ())
    own = {name: (h.mount.name, h.own) for name, h in layout.by_controller.items()}
    assert own == {
        "memory": ("memory", "x/y"),
        "cpu": ("cpu,cpuacct", "x"),
        "cpuacct": ("cpu,cpuacct", "x"),
        "pids": ("with blank", ""),
    }


def test_no_cgroups_at_all():
    assert choose_layout(parse_hierarchies("44 30 0:38 / /tmp rw - tmpfs tmpfs rw\n", "0::/\n"), frozenset()) is None


@given(st.integers(1, 10**6))
def test_a_quota_is_exact_and_never_below_what_the_kernel_takes(millicores):
    amount, period = quota(millicores)
    assert amount * 1000 == millicores * period
    assert amount >= 1000
    assert 1000 <= period <= 1_000_000


@pytest.mark.parametrize(
    ("millicores", "amount", "period"),
    [(0, 1000, 1_000_000), (1, 1000, 1_000_000), (9, 9000, 1_000_000), (10, 1000, 100_000), (11, 1100, 100_000)],
)
def test_a_quota_under_10_millicores_has_a_longer_period_and_reads_back_as_asked(millicores, amount, period):
    assert quota(millicores) == (amount, period)
    v1 = Texts(1, {"cpu.cfs_quota_us": f"{amount}\n", "cpu.cfs_period_us": f"{period}\n"})
    v2 = Texts(2, {"cpu.max": f"{amount} {period}\n"})
    assert read_limit(v1).cpu == read_limit(v2).cpu == max(1, millicores)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("millicores", [1, 9, 10])
def test_a_small_quota_is_written_as_the_kernel_takes_it(version, millicores):
    amount, period = quota(millicores)
    written = []
    group = SimpleNamespace(version=version, write=lambda _, file, value: written.append((file, value)))
    apply_bounds(group, Bounds(cpu=millicores), swap=False)
    v1 = [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", amount)]
    assert [w for w in written if w[0].startswith("cpu")] == (
        v1 if version == 1 else [("cpu.max", f"{amount} {period}")]
    )


def test_no_quota_reads_as_no_limit():
    assert read_limit(Texts(1, {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})).cpu is None
    assert read_limit(Texts(2, {"cpu.max": "max 100000"})).cpu is None


def test_shares_and_weights_are_those_of_the_kubelet():
    assert [shares(m) for m in (1, 100, 1000, 10**9)] == [2, 102, 1024, 262144]
    assert [weight(m) for m in (1, 100, 1000, 10**9)] == [1, 4, 39, 10000]


@pytest.mark.parametrize(
    ("full", "own"),
    [
        ("/docker/x/raysweep-r/t1@7-9/task", True),
        ("/docker/x/raysweep-r", False),
        ("/docker/x/raysweep-r/t1@7-9/task2", False),
        ("/", False),
    ],
)
def test_the_kernel_log_tells_whose_limit_was_full(tmp_path, full, own):
    log = KernelLog(str(tmp_path / "absent"))
    log.watch(TASK)
    for line in ("6,900,4,-;something else\n", OOM_LINE.format(full=full), VICTIM_LINE):
        log._note(line)
    assert log.kills(TASK) == [Kill(812, own, (65152 + 1024) * 1024)]
    log.forget(TASK)
    assert log.kills(TASK) == []


def test_a_machine_wide_oom_is_nobodys_own():
    line = OOM_LINE.format(full="x").replace("oom_memcg=x", "global_oom")
    assert parse_oom_line(line) == (None, "/docker/x/raysweep-r/t1@7-9/task/agent", 812)
    assert parse_victim_line(line) is None


def test_is_below_compares_whole_names():
    assert is_below("/a/b/c", "/b")
    assert is_below("/a/b", "/b")
    assert not is_below("/a/bc", "/b")


def test_the_last_logged_kill_decides_and_a_victims_size_is_a_sample():
    recorder = PhaseRecorder(version=1)
    recorder.begin("agent", Reading(oom_kills=1, ancestor=5), 0.0, kills=1)
    recorder.note(Reading(oom_kills=3, ancestor=5, anon=10), 0.5)
    counters = recorder.counters([Kill(1, own=False), Kill(2, own=True, anon_bytes=70), Kill(3, own=False)])
    assert (counters.oom_kills, counters.oom_memcg_own, counters.ancestor_full) == (2, False, False)
    assert counters.mem_anon_peak_bytes == 70


def test_unknown_stays_unknown():
    recorder = PhaseRecorder(version=2)
    recorder.begin("agent", Reading(), 0.0, kills=0)
    counters = recorder.counters([])
    assert counters.oom_kills is None
    assert counters.own_limit_ooms is None
    assert counters.ancestor_full is None
    assert counters.disk_full is None
    assert counters.cpu_peak_1s is None


def test_cpu_peaks_are_means_over_windows():
    used = [0, 100_000, 1_100_000, 1_200_000, 1_300_000]  # one core busy from 1 s to 2 s
    samples = [Sample(t=float(t), cpu_usec=value) for t, value in enumerate(used)]
    assert cpu_peak(samples, 1.0) == pytest.approx(1000)
    assert cpu_peak(samples, 10.0) == pytest.approx(130)
    assert cpu_peak(samples[:1], 1.0) is None


@given(st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 2_000_000)), min_size=1, max_size=30))
def test_a_window_never_shows_more_than_the_cpus_gave(steps):
    t, used, samples = 0.0, 0, [Sample(t=0.0, cpu_usec=0)]
    for seconds, share in steps:  # at most 2 cores between readings
        t, used = t + seconds, used + int(share * seconds)
        samples.append(Sample(t=t, cpu_usec=used))
    for window in (1.0, 10.0):
        peak = cpu_peak(samples, window)
        assert peak is not None
        assert 0 <= peak <= 2000 * 1.001


def test_available_memory_heeds_a_full_group_above(tmp_path):
    meminfo = "MemTotal: 8000 kB\nMemAvailable:    4000 kB\nSwapTotal:       512 kB\n"
    assert available_memory(meminfo, []) == 4000 * 1024
    assert swap_bytes(meminfo) == 512 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 1000000\nactive_file 500000\n")
    assert available_memory(meminfo, [Group(2, {"memory": tmp_path})]) == 2_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(meminfo, [Group(2, {"memory": tmp_path})]) == 4000 * 1024


def test_the_file_system_of_a_folder_is_that_of_the_deepest_mount():
    mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:38 / /tmp rw - tmpfs tmpfs rw\n3 1 0:39 / /tmpx rw - xfs x rw\n"
    assert file_system(Path("/tmp/some/where"), mounts) == "tmpfs"
    assert file_system(Path("/var/tmp"), mounts) == "ext4"
