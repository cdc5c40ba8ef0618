"""SIGKILL of driver, runners, raylet and store server at seeded random moments, beside the same sweeps undisturbed.

1. Simulated trials on the real Ray executor, the ledger in a bucket of a SeaweedFS of loopback; all four are killed.
2. Trials in real local sandboxes, the ledger on disk; driver, runners and raylet are killed.

The command that a kill ended is started again until it ends with 0. Then, beside an undisturbed run of the same sweep:
0 lost (a planned trial without an outcome), 0 duplicated (a trial with two outcomes), 0 misattributed (an attempt that
counts as an outcome and is not the undisturbed one of its trial; a void one of another cause than a lost runner), the
final outcome of every trial equal, and every finding on success, q_trial and success_given_clean. Nothing is left.
Exit code 1 where one of these does not hold. Only processes that this one started are killed: its drivers, what
descends from them, and its server. The same seed gives the same victims and pauses.

    python benchmarks/chaos.py [--seed N] [--trials 5000] [--local 60] [--kills 4] > benchmarks/results/chaos.txt
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from raysweep.record.place import RunPath, run_path
from raysweep.record.reader import read_ledger
from raysweep.record.resume import unfinished

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.s3_server import BUCKET, Server  # type: ignore[import-not-found]

T = TypeVar("T")

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
IN_FLIGHT = re.compile(rb"trials, [1-9]\d* running")
MARK = "RAYSWEEP_CHAOS_MARK"
PATIENCE_S = 600.0
"""How long a driver may take to start its runners, or to end once nothing disturbs it any more."""
STARTS = 40
ENDS = {0, 3, 1, -signal.SIGKILL}
"""How a driver may end here. 1: Ray ends the process itself where its raylet dies while the two find each other."""
OUTCOME = ("outcome", "cause", "cause_class", "phase", "reward", "agent_exit", "oom_kills")
"""What of a final attempt must be as in the undisturbed run."""
ESTIMANDS = ("success", "q_trial", "success_given_clean")
ARMS = """\
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
platform_retries: {runner_lost: 50}
"""
SIMULATED = """\
name: chaos-simulated
seed: 11
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}, {{name: n, agent: oracle}}]
repeats: {repeats}
sandbox:
  kind: simulated
  truth: {{success: {{1x: 0.50, uncapped: 0.58}}, infra: {{1x: 0.06, uncapped: 0.0}}, duration: [0.2s, 0.6s]}}
runner: {{concurrency: 40, executor: {executor}}}
"""
LOCAL = """\
name: chaos-local
seed: 11
tasks: {{source: tasks}}
models: [{{name: m, agent: oracle}}]
repeats: {repeats}
sandbox: {{kind: local}}
runner: {{concurrency: 4}}
probes: {{enabled: false}}
"""
HOG = "/usr/bin/python3 -c 'x = bytearray(200 << 20)'"
SOLUTIONS = {
    "fits": "sleep 1; echo done > /app/answer",
    "dies": f"sleep 1; exec {HOG}",
    "survives": f"sleep 1; {HOG} && echo done > /app/answer",
}
"""Of tasks of 64 MiB: one that fits, one whose agent is killed at 1x, and one of whose agent a child is."""


def wait_for(condition: Callable[[], T], what: str) -> T:
    """The first true value of `condition`; AssertionError when it never comes."""
    until = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
    return value


def processes() -> Iterator[tuple[int, int, str]]:
    """Pid, parent's pid and command line of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1]), line


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all that descends from a process."""
    children: dict[int, list[tuple[int, str]]] = {}
    for child, parent, line in processes():
        children.setdefault(parent, []).append((child, line))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child, line in children.get(waiting.pop(), ()):
            found[child] = line
            waiting.append(child)
    return found


@dataclass
class Run:
    """A sweep in a folder of its own, and the drivers that are started on it one after another."""

    folder: Path
    place: RunPath
    environment: Mapping[str, str]
    codes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.scratch = Path(tempfile.mkdtemp(prefix="raysweep-chaos-", dir="/var/tmp"))
        self.env = {**os.environ, **self.environment, MARK: self.mark, "RAYSWEEP_SCRATCH": str(self.scratch)}
        self.driver: subprocess.Popen[bytes] | None = None
        self._before = 0  # bytes of the log that are of earlier drivers

    @property
    def log(self) -> Path:
        """What the drivers said."""
        return self.folder / f"log-{self.mark[:6]}"

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the command, again or for the first time."""
        command = [RAYSWEEP, "run", str(self.folder / "sweep.yaml"), "--run-dir", str(self.place)]
        with self.log.open("ab") as log:
            self._before = log.tell()
            self.driver = subprocess.Popen(command, stdout=log, stderr=log, env=self.env, start_new_session=True)
        return self.driver

    def running(self) -> subprocess.Popen[bytes] | None:
        """A driver at work, started again where it ended; None once one ended with 0."""
        if self.driver is None or self.driver.poll() is not None:
            if self.driver is not None:
                self.codes.append(self.driver.returncode)
                if self.driver.returncode == 0:
                    return None
                assert len(self.codes) < STARTS, self.log.read_text()[-3000:]
            return self.begin()
        return self.driver

    def finish(self) -> None:
        """Undisturbed to the end."""
        while (driver := self.running()) is not None:
            driver.wait(PATIENCE_S)

    def victims(self, kind: str) -> list[int]:
        """Pids of such processes of the driver at work, in order."""
        if self.driver is None or self.driver.poll() is not None:
            return []
        below = descendants(self.driver.pid)
        return sorted(
            pid
            for pid, line in below.items()
            if (line.startswith("ray::Runner") if kind == "runner" else line.partition(" ")[0].endswith("/raylet"))
        )

    def kill(self, kind: str, choice: float) -> bool:
        """SIGKILL the driver, or the one of such processes that `choice` (0 to 1) says; False: there is none now."""
        driver = self.running()
        if driver is None:
            return False
        if kind == "driver":
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            return True
        found = self.victims(kind)
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[int(choice * len(found))], signal.SIGKILL)
        return True

    def at_work(self) -> bool:
        """Whether attempts are in flight, as the driver at work has said, or the sweep is done."""
        return self.running() is None or IN_FLIGHT.search(self.log.read_bytes(), self._before) is not None

    def left(self) -> list[str]:
        """Processes, mounts, loop devices, cgroups and scratch folders of this sweep."""
        found = []
        for pid, _, line in processes():
            with contextlib.suppress(OSError):
                if pid != os.getpid() and self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(f"process {pid}: {line}")
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.scratch) in line]
        for path in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                found += [text for text in (path.read_text(),) if str(self.scratch) in text]
        run_id = read_ledger(self.place).facts.run_id
        # os.walk, as others on the machine make and remove theirs meanwhile
        found += [f"{at}/{name}" for at, names, _ in os.walk("/sys/fs/cgroup") for name in names if run_id in name]
        for run in self.scratch.glob("raysweep-*"):
            found += [f"{at}/{name}" for at, names, files in os.walk(run) for name in (*names, *files)]
        return found

    def report(self) -> list[dict[str, Any]]:
        """The findings that faults must not move."""
        told = subprocess.run(
            [RAYSWEEP, "report", str(self.place), "--json"], env=self.env, check=True, capture_output=True
        )
        found: list[dict[str, Any]] = json.loads(told.stdout)["findings"]
        return [f for f in found if f["estimand"] in ESTIMANDS]

    def close(self) -> None:
        """End what is at work after a failure."""
        if self.driver is not None and self.driver.poll() is None:
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)


def strike(run: Run, kind: str, choice: float) -> bool:
    """Kill one of a kind as soon as there is one; False when the sweep ended before."""
    until = time.monotonic() + PATIENCE_S
    while run.running() is not None:
        if run.kill(kind, choice):
            return True
        assert time.monotonic() < until, f"waited in vain for a {kind}"
        time.sleep(0.05)
    return False


def disturb(
    run: Run, server: Server | None, kinds: Sequence[str], rng: random.Random, longest_s: float
) -> Counter[str]:
    """Kill one of each of `kinds`, each at a random moment of up to `longest_s` after attempts were seen in flight.

    One of four is killed while the driver starts, or a little after the last one.

    While the store is away a sweep may come to its end, or another one: not all may be killed. Where it is the last,
    and the sweep has work for twice `longest_s` times the number of kinds, all are.
    """
    done: Counter[str] = Counter()
    for kind in kinds:
        pause, choice, starting = rng.uniform(0, longest_s), rng.random(), rng.random() < 0.25
        if starting:
            run.running()
        else:
            wait_for(run.at_work, "attempts in flight")
        time.sleep(pause)
        if kind == "store":
            assert server is not None
            server.kill()
            time.sleep(pause / 2)
            server.start()
            done[kind] += run.running() is not None
        else:
            done[kind] += strike(run, kind, choice)
    return done


def compare(disturbed: Run, undisturbed: Run) -> bool:
    """Print what was lost, duplicated, misattributed or is different, and say whether nothing was."""
    view, other = read_ledger(disturbed.place), read_ledger(undisturbed.place)
    planned = view.planned["trial_id"].to_pylist()
    expected = {r["trial_id"]: _outcome(r) for r in _rows(other.table) if r["is_final"]}
    rows = _rows(view.table)
    outcomes = [r for r in rows if not unfinished(r)]
    counted = Counter(r["trial_id"] for r in outcomes)
    finals = Counter(r["trial_id"] for r in rows if r["is_final"])
    ended = {r["trial_id"]: _outcome(r) for r in outcomes if r["is_final"]}
    void = Counter(r["cause"] or r["outcome"] for r in rows if unfinished(r))
    wrong = {
        "lost": sum(t not in ended for t in planned),
        "duplicated": sum(n > 1 for n in counted.values()) + sum(n > 1 for n in finals.values()),
        "misattributed": sum(_outcome(r) != expected[r["trial_id"]] for r in outcomes)
        + sum(n for cause, n in void.items() if cause not in {"runner_lost", "cancelled"}),
        "other final outcomes": sum(ended.get(t) != expected[t] for t in planned),
    }
    found, same = disturbed.report(), undisturbed.report()
    wrong["other findings"] = sum(a != b for a, b in zip(found, same, strict=False)) + abs(len(found) - len(same))
    until = time.monotonic() + 120
    while (left := disturbed.left()) and time.monotonic() < until:
        time.sleep(0.5)
    wrong["left behind"] = len(left)
    print(f"   {len(planned)} trials, {len(rows)} attempts; void: {dict(void) or 'none'}")
    print(f"   outcomes {dict(Counter(r['cause'] or r['outcome'] for r in outcomes))}; {len(found)} findings compared")
    print("   " + ", ".join(f"{n} {what}" for what, n in wrong.items()), flush=True)
    for line in left[:10]:
        print(f"      left: {line}")
    for a, b in zip(found, same, strict=False):
        if a != b:
            print(f"      {a}\n   undisturbed:\n      {b}")
    return not any(wrong.values())


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.select(["trial_id", "is_final", *OUTCOME]).to_pylist()  # type: ignore[no-any-return]


def _outcome(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in OUTCOME)


def campaign(
    title: str, kinds: Sequence[str], rng: random.Random, longest_s: float, pair: tuple[Run, Run], server: Server | None
) -> bool:
    """One disturbed sweep beside its undisturbed one."""
    print(title, flush=True)
    disturbed, undisturbed = pair
    began = time.monotonic()
    try:
        undisturbed.finish()
        assert undisturbed.codes == [0], undisturbed.log.read_text()[-3000:]
        calm = time.monotonic() - began
        done = disturb(disturbed, server, kinds, rng, longest_s)
        disturbed.finish()
        print(f"   undisturbed {calm:.0f} s; disturbed {time.monotonic() - began - calm:.0f} s, {len(disturbed.codes)}"
              f" starts, exit codes {disturbed.codes}; killed {dict(done)}")  # fmt: skip
        assert set(disturbed.codes) <= ENDS, disturbed.log.read_text()[-3000:]
        return compare(disturbed, undisturbed) and all(done[kind] for kind in set(kinds))
    except BaseException:
        print(disturbed.log.read_text()[-3000:] if disturbed.log.exists() else "", file=sys.stderr)
        raise
    finally:
        for run in pair:
            run.close()


def simulated(folder: Path, trials: int, kinds: Sequence[str], rng: random.Random) -> bool:
    """Part 1. The undisturbed run is on the virtual clock: outcomes hang on seed and trial only."""
    server = Server(folder / "server")
    server.start()
    pair = []
    for name, executor in (("disturbed", "ray"), ("undisturbed", "inprocess")):
        (folder / name).mkdir()
        tasks = 25
        text = SIMULATED.format(tasks=tasks, repeats=max(1, trials // (4 * tasks)), executor=executor)
        (folder / name / "sweep.yaml").write_text(text + ARMS)
        place = run_path(f"s3://{BUCKET}/{name}") if executor == "ray" else folder / name / "run"
        pair.append(Run(folder / name, place, server.environment))
    os.environ |= server.environment
    shortest = trials * 0.4 / 40
    title = f"1. {trials} simulated trials on Ray, ledger in a bucket; to be killed: {', '.join(kinds)}"
    try:
        return campaign(title, kinds, rng, shortest / 2 / len(kinds), (pair[0], pair[1]), server)
    finally:
        server.kill()


def local(folder: Path, trials: int, kinds: Sequence[str], rng: random.Random) -> bool:
    """Part 2."""
    pair = []
    for name in ("disturbed", "undisturbed"):
        (folder / name).mkdir()
        (folder / name / "sweep.yaml").write_text(LOCAL.format(repeats=max(1, trials // 6)) + ARMS)
        for task, solution in SOLUTIONS.items():
            write_task(folder / name / "tasks" / task, solution)
        pair.append(Run(folder / name, folder / name / "run", {}))
    title = f"2. {trials} trials in local sandboxes, ledger on disk; to be killed: {', '.join(kinds)}"
    return campaign(title, kinds, rng, trials / 4 / 2 / len(kinds), (pair[0], pair[1]), None)


def write_task(folder: Path, solution: str) -> None:
    """A Harbor task that gives its time and asks for 64 MiB."""
    files = {
        "task.toml": "[agent]\ntimeout_sec = 600\n[verifier]\ntimeout_sec = 600\n[environment]\ncpus = 1\n"
        "memory_mb = 64\n",
        "instruction.md": "Do it.\n",
        "environment/setup.sh": "#!/bin/sh\ntrue\n",
        "solution/solve.sh": f"#!/bin/sh\n{solution}\n",
        "tests/test.sh": "mkdir -p /logs/verifier; [ -s /app/answer ] && echo 1 > /logs/verifier/reward.txt "
        "|| echo 0 > /logs/verifier/reward.txt\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def order(kinds: Sequence[str], kills: int, rng: random.Random) -> list[str]:
    """So many of each kind in random order."""
    return rng.sample([kind for kind in kinds for _ in range(kills)], kills * len(kinds))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None, help="of victims and moments; left out: a new one")
    parser.add_argument("--trials", type=int, default=5000, help="simulated ones; 0 leaves part 1 out")
    parser.add_argument("--local", type=int, default=60, help="in local sandboxes; 0 leaves part 2 out")
    parser.add_argument("--kills", type=int, default=4, help="of each kind, in each part")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"# python {platform.python_version()}, {os.cpu_count()} cpus, load before: {os.getloadavg()[0]:.1f}")
    print(f"# benchmarks/chaos.py --seed {seed} --trials {options.trials} --local {options.local}"
          f" --kills {options.kills}", flush=True)  # fmt: skip
    holds = True
    with tempfile.TemporaryDirectory(prefix="raysweep-chaos-") as name:
        parts = (
            (options.trials, simulated, ("driver", "runner", "raylet", "store")),
            (options.local, local, ("driver", "runner", "raylet")),
        )
        for number, (trials, part, kinds) in enumerate(parts, 1):
            rng = random.Random(f"{seed}/{number}")
            folder = Path(name) / str(number)
            folder.mkdir()
            if trials:
                holds = part(folder, trials, order(kinds, options.kills, rng), rng) and holds
    print("all of it holds" if holds else "it does NOT hold")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
