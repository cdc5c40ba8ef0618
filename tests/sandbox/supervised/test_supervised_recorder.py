"""From what a container's supervisor tells to counters of phases: peaks, proofs, and what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysweep.record.evidence import AgentFacts, CommandFacts, Evidence
from raysweep.sandbox.cgroup.files import Texts
from raysweep.sandbox.cgroup.kmsg import Kill
from raysweep.sandbox.cgroup.reading import Reading, read_task
from raysweep.sandbox.supervised.client import Reply
from raysweep.sandbox.supervised.inside import (
    difference,
    facts_inside,
    limit_inside,
    parse_counters,
    reserved_memory,
    swap_beside,
)
from raysweep.sandbox.supervised.recorder import ContainerRecorder
from raysweep.sandbox.supervised.samples import Row, parse_rows, row_before_kill
from raysweep.trial.classify import classify
from raysweep.units import GIB, MIB, Resources

LIMIT = 64 * MIB
V1 = {
    "memory.usage_in_bytes": "50000\n",
    "memory.max_usage_in_bytes": "67108864\n",
    "memory.failcnt": "7\n",
    "memory.limit_in_bytes": "67108864\n",
    "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    "memory.stat": "total_rss 20000\ntotal_shmem 1000\ntotal_inactive_file 9000\ntotal_active_file 1000\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpu.cfs_quota_us": "50000\n",
    "cpu.cfs_period_us": "100000\n",
    "cpu.shares": "256\n",
    "cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 8000000\n",
    "cpuacct.usage": "5000000\n",
    "pids.current": "4\n",
    "pids.events": "max 1\n",
    "meminfo": "MemTotal: 4194304 kB\nMemAvailable: 3000000 kB\nSwapTotal: 0 kB\n",
}
V2 = {
    "memory.current": "50000\n",
    "memory.peak": "60000\n",
    "memory.max": "67108864\n",
    "memory.swap.max": "0\n",
    "memory.oom.group": "1\n",
    "memory.stat": "anon 20000\nshmem 1000\ninactive_file 9000\nactive_file 1000\n",
    "memory.events": "oom 1\noom_kill 2\n",
    "memory.events.local": "oom 1\noom_kill 2\n",
    "cpu.max": "50000 100000\n",
    "cpu.stat": "usage_usec 5000\nnr_throttled 3\nthrottled_usec 8000\n",
    "pids.current": "4\n",
    "pids.events": "max 1\n",
    "meminfo": "MemTotal: 4194304 kB\nSwapTotal: 1000 kB\n",
}


def row(t, kills=0, unreclaimable=0, available=8 * GIB, memory=0):
    return Row(float(t), memory, unreclaimable, unreclaimable, 0, 0, 0, 2, kills, available)


def agent_recorder(version=1, reserved=0, **first):
    """A recorder in its agent phase that began at boottime 100."""
    recorder = ContainerRecorder(version, ready=100.0, reserved=reserved)
    recorder.begin("agent", Reading(oom_kills=0, **first), 0.0, kills=0)
    return recorder


def verdict(counters, version, *, died=False, limit=LIMIT):
    command = CommandFacts() if died else CommandFacts(signal=9)
    evidence = Evidence(
        Resources(memory=LIMIT // 2),
        Resources(memory=limit),
        version,
        agent=AgentFacts(command),
        counters={"agent": counters},
        died_in="agent" if died else None,
    )
    found = classify(evidence)
    return found.cause, found.cause_class


def test_texts_give_the_readings_that_files_would():
    one, two = read_task(Texts(1, V1)), read_task(Texts(2, V2))
    for reading in (one, two):
        assert (reading.oom_kills, reading.cpu_usec, reading.nr_throttled, reading.throttled_us) == (2, 5000, 3, 8000)
        assert (reading.memory, reading.anon, reading.pids, reading.pids_denied) == (50000, 21000, 4, 1)
        assert reading.leaf_peak is None
    assert (one.own_fails, one.own_ooms, one.task_peak) == (7, None, LIMIT)
    assert (two.own_fails, two.own_ooms, two.task_peak) == (None, 1, 60000)
    silenced = {**V1, "memory.memsw.limit_in_bytes": V1["memory.limit_in_bytes"]}
    assert read_task(Texts(1, silenced)).own_fails is None, "v1's failcnt does not count under such a memsw limit"


@pytest.mark.parametrize(("version", "texts"), [(1, V1), (2, V2)])
def test_limits_are_the_kernels_where_it_tells_them(version, texts):
    told = Resources(500, LIMIT, 7)
    assert limit_inside(Texts(version, texts), told) == told
    assert difference(told, limit_inside(Texts(version, texts), told)) is None
    assert limit_inside(Texts(0, {}), told) == told
    cpu_file = "cpu.cfs_quota_us" if version == 1 else "cpu.max"
    free = Texts(version, {**texts, cpu_file: "-1\n" if version == 1 else "max 100000\n"})
    assert difference(told, limit_inside(free, told)) == "cpu: 500 stated, None measured"
    assert difference(told, replace(told, memory=LIMIT - 4096)) is not None
    assert difference(told, replace(told, memory=LIMIT - 4095)) is None


def test_swap_is_seen_only_where_it_could_be_used():
    assert not swap_beside(Texts(1, V1))
    swap = V1["meminfo"].replace("SwapTotal: 0", "SwapTotal: 9")
    assert swap_beside(Texts(1, {**V1, "meminfo": swap}))
    bounded = {**V1, "meminfo": swap, "memory.memsw.limit_in_bytes": V1["memory.limit_in_bytes"]}
    assert not swap_beside(Texts(1, bounded))
    assert not swap_beside(Texts(1, {**V1, "meminfo": swap, "memory.limit_in_bytes": "9223372036854771712\n"}))
    assert not swap_beside(Texts(2, V2))
    assert swap_beside(Texts(2, {**V2, "memory.swap.max": "max\n"}))


def test_counters_reply_and_node_facts():
    body = b"".join(text.encode() for text in V2.values())
    fields = tuple(part for name, text in V2.items() for part in (name, str(len(text))))
    texts = parse_counters(Reply(fields, body), 2)
    assert texts == Texts(2, V2)
    assert facts_inside(texts) == {"cgroup": 2, "oom": "group", "swap": 1000 * 1024}
    assert facts_inside(Texts(1, V1)) == {"cgroup": 1, "oom": "process", "cpu_shares": 256, "swap": 0}
    assert reserved_memory(texts, {"allocatable_memory": 3 * GIB}) == GIB
    assert reserved_memory(texts, {}) == 0


def test_rows_are_parsed_and_a_cut_line_is_left_out():
    text = "1500000 1 2 3 4 5 6 7 8 9\n2500000 -1 -1 -1 -1 -1 -1 -1 -1 -1\n3500000 1 2\nnoise\n"
    assert parse_rows(text) == [Row(1.5, 1, 2, 3, 4, 5, 6, 7, 8, 9), Row(2.5)]


def test_the_row_before_the_last_kill():
    rows = [row(1), row(2), row(3, kills=1), row(4, kills=1), row(5, kills=2), row(6, kills=2)]
    assert row_before_kill(rows, 0, 2).boottime == 4
    assert row_before_kill(rows[:3], 0, 1).boottime == 2
    assert row_before_kill(rows[:2], 0, 1).boottime == 2, "a kill that no row shows yet"
    assert row_before_kill(rows, 2, 2) is None
    assert row_before_kill(rows, None, 2) is None
    assert row_before_kill([], 0, 1) is None


def test_a_mark_that_did_not_rise_in_a_phase_is_not_its_peak():
    recorder = agent_recorder(task_peak=50, memory=5)
    recorder.add_rows([row(101, memory=20), row(102, memory=10)])
    recorder.note(Reading(oom_kills=0, task_peak=50, memory=7), 3.0)
    assert recorder.counters([]).mem_peak_bytes == 20
    recorder.note(Reading(oom_kills=0, task_peak=51, memory=7), 4.0)
    assert recorder.counters([]).mem_peak_bytes == 51


def test_samples_are_in_order_and_only_from_the_time_it_was_ready():
    recorder = agent_recorder()
    recorder.note(Reading(), 2.5)
    recorder.add_rows([row(99), row(101), row(102)])
    recorder.add_rows([row(102), row(103)])
    assert [sample.t for sample in recorder.samples] == [0.0, 1.0, 2.0, 2.5, 3.0]


def killed_v1(rows, reserved=0, kills=(), **last):
    recorder = agent_recorder(reserved=reserved, task_peak=10 * MIB, own_fails=last.pop("own_fails_before", None))
    recorder.add_rows(rows)
    recorder.note(Reading(**{"oom_kills": 1, "task_peak": LIMIT, **last}), 3.0)
    return recorder.counters(kills)


def test_v1_at_the_limit_after_slow_growth():
    counters = killed_v1([row(101, unreclaimable=LIMIT // 2, available=LIMIT), row(102, kills=1, unreclaimable=5)])
    assert (counters.unreclaimable_last_bytes, counters.ancestor_room_bytes) == (LIMIT // 2, LIMIT)
    assert counters.ancestor_full is None
    assert verdict(counters, 1) == ("oom_limit", "resource")


def test_v1_too_fast_for_a_sample_needs_room_on_the_node():
    rows = [row(101, unreclaimable=MIB, available=2 * LIMIT + GIB)]
    assert verdict(killed_v1(rows), 1) == ("oom_limit", "resource")
    assert verdict(killed_v1(rows, reserved=GIB), 1) == ("oom_limit", "resource")
    assert verdict(killed_v1(rows, reserved=GIB + 1), 1) == ("oom_node", "platform")


def test_v1_by_a_full_parent_is_never_the_limit():
    rows = [row(101, unreclaimable=LIMIT // 4)]
    assert verdict(killed_v1(rows, task_peak=LIMIT // 2), 1) == ("oom_node", "platform")
    never_hit = killed_v1(rows, own_fails=3, own_fails_before=3)
    assert never_hit.ancestor_full is True
    assert verdict(never_hit, 1)[0] == "oom_node"


def test_v1_limit_reached_before_the_phase_by_page_cache():
    for fails_after, expected in ((9, "oom_limit"), (3, "oom_node")):
        recorder = agent_recorder(task_peak=LIMIT, own_fails=3)
        recorder.add_rows([row(101, unreclaimable=LIMIT // 2)])
        recorder.note(Reading(oom_kills=1, task_peak=LIMIT, own_fails=fails_after), 3.0)
        assert verdict(recorder.counters([]), 1)[0] == expected


def test_the_kernel_log_decides_on_v1_where_it_can_be_read():
    rows = [row(101, unreclaimable=LIMIT)]
    assert verdict(killed_v1(rows, kills=[Kill(1, own=False)]), 1)[0] == "oom_node"


def ended(version=2, available=8 * GIB, kills=(), **word):
    recorder = agent_recorder(version)
    recorder.note(Reading(oom_kills=0, own_ooms=0), 0.5)
    recorder.add_rows([row(101, unreclaimable=MIB, available=available)])
    recorder.note_end(**word)
    return recorder.counters(kills)


def test_group_kill_by_the_platforms_word():
    counters = ended(oom_killed=True)
    assert (counters.oom_kills, counters.own_limit_ooms, counters.oom_group) == (1, None, True)
    assert counters.ancestor_room_bytes == 8 * GIB
    assert verdict(counters, 2, died=True) == ("oom_limit", "resource")
    assert verdict(counters, 2, died=True, limit=None) == ("oom_node", "platform")
    assert verdict(ended(oom_killed=True, available=LIMIT), 2, died=True) == ("oom_unknown", "unknown")
    logged = ended(oom_killed=True, kills=[Kill(1, own=False)])
    assert verdict(logged, 2, died=True)[0] == "oom_node"


def test_a_counter_that_was_read_before_the_group_was_gone_is_kept():
    recorder = agent_recorder(version=2, own_ooms=0)
    recorder.note(Reading(oom_kills=3, own_ooms=1), 0.5)
    recorder.note_end(oom_killed=True)
    assert (recorder.counters([]).own_limit_ooms, recorder.counters([]).oom_kills) == (1, 3)
    assert verdict(recorder.counters([]), 2, died=True) == ("oom_limit", "resource")


def test_an_end_that_is_no_oom_or_that_nobody_explains():
    assert verdict(ended(oom_killed=False), 2, died=True) == (None, None), "by itself: the agent's doing"
    assert verdict(ended(oom_killed=None), 2, died=True) == ("oom_unknown", "unknown")


def test_the_last_row_of_an_ended_container_counts():
    recorder = agent_recorder(version=2)
    recorder.add_rows([replace(row(105, kills=3), nr_throttled=9, throttled_us=90)])
    recorder.note_end(oom_killed=False)
    counters = recorder.counters([])
    assert (counters.oom_kills, counters.oom_group) == (3, False)
    recorder = agent_recorder(version=2, nr_throttled=4)
    recorder.add_rows([replace(row(105), nr_throttled=9)])
    recorder.note_end(oom_killed=True)
    assert recorder.counters([]).nr_throttled == 5
