"""`raysweep run`: begin a sweep or go on with it, to the exit code that says how it ended."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from raysweep.cli import compose
from raysweep.cli.ending import exit_code
from raysweep.cli.environment import environment
from raysweep.cli.output import ProgressView, emit, say, tell
from raysweep.cli.rule import Rule, refuse_without_looks, write_record
from raysweep.cli.status import look, status_command
from raysweep.cli.telemetry import Logs, Telemetry, log_as
from raysweep.clock import Clock, SystemClock, VirtualClock
from raysweep.config.buckets import DAY
from raysweep.config.model import Analysis
from raysweep.errors import ExitCode, UnsuitableError, bad_input
from raysweep.record.stopped import read_stop

if TYPE_CHECKING:
    from raysweep.cli.compose import Study
    from raysweep.cli.images import Images
    from raysweep.cli.window import Turn
    from raysweep.config import Sweep
    from raysweep.record.ledger import LedgerWriter
    from raysweep.record.place import RunPath
    from raysweep.record.resume import SweepState
    from raysweep.record.schema import Row
    from raysweep.record.store import Store
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.schedule.driver import Driver, Progress, Result
    from raysweep.schedule.executor import Executor
    from raysweep.schedule.queue import Queue
    from raysweep.stats.stop import Stop as Decided

VIRTUAL_PULSE_S = 3600.0
"""Pulse of the driver on the virtual clock: nothing there is sealed or shown by time."""


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation of `run` on one run directory, once the lock is held.

    turn: its window, if it ends with one. rule: what may stop the sweep at a look, if that is asked for.
    """

    study: Study
    path: RunPath
    store: Store
    facts: dict[str, Any]
    state: SweepState
    images: Images
    clock: Clock
    blocks: int | None
    turn: Turn | None = None
    rule: Rule | None = None

    @property
    def virtual(self) -> bool:
        """Whether time is simulated too."""
        return isinstance(self.clock, VirtualClock)


def run_command(
    config: Path,
    run_dir: RunPath | None,
    blocks: int | None,
    *,
    as_json: bool,
    until_window_end: bool = False,
    stop_when_decided: bool = False,
    go_on: bool = False,
    metrics_port: int | None = None,
    logs: Logs = "plain",
) -> int:
    """Run or resume; the exit code of design.md.

    until_window_end: begin only what the window that is open now holds, then end; INCOMPLETE while more is to come,
    and at once where no window is open. The JSON then has the keys of cli.window.turn_json, too. stop_when_decided: end
    at a registered look at which the registered rule decides; later calls then begin nothing unless told to go_on.
    metrics_port: as Telemetry's `port`.
    """
    log_as(logs)
    study = compose.load_study(config)
    if stop_when_decided:
        refuse_without_looks(study.sweep)
    path = run_dir or Path("runs") / study.sweep.name
    from raysweep.record.ledger import LedgerWriter
    from raysweep.record.place import lock_of, store_at

    if store_at(path).exists("run.json"):
        store, facts = _directory(study, path)
        if not go_on and (stopped := read_stop(store)) is not None:
            return _already_stopped(path, stopped, config, as_json=as_json)
        seen = _session(study, path, store, facts, blocks) if until_window_end else None
    else:
        seen = _unborn(study, path, blocks) if until_window_end else None
    if seen is not None and _nothing_begun(seen := _for_one_window(seen)):
        # Nothing is written but a new run's directory, so no lock is needed, and the sandbox host is left alone.
        _directory(study, path)
        return _end(seen, _untouched(seen), config, as_json=as_json)
    _refuse_unsuitable(study)
    store, facts = _directory(study, path)
    system = SystemClock()
    lock = lock_of(store, system, waiting=tell)
    lock.acquire({"environment": environment()})
    try:
        if not go_on and (stopped := read_stop(store)) is not None:  # by the driver that held the lock until now
            return _already_stopped(path, stopped, config, as_json=as_json)
        session = _session(study, path, store, facts, blocks)
        if until_window_end:
            session = _for_one_window(session)
        if stop_when_decided and not go_on:
            session = replace(session, rule=_rule(session))
        ledger = LedgerWriter(store, lock, system)
        try:
            result = _drive(session, ledger, (metrics_port, logs))
        finally:
            ledger.close()
    finally:
        lock.release()
    return _end(session, result, config, as_json=as_json)


def _end(session: Session, result: Result, config: Path, *, as_json: bool) -> int:
    """Say how far the run is; the exit code."""
    status, lines = look(session.path)
    if as_json:
        emit({**status, **_turn_json(session)})
    else:
        for line in lines:
            say(line)
    return exit_code(result, status, session, config)


def _already_stopped(path: RunPath, stopped: dict[str, Any], config: Path, *, as_json: bool) -> int:
    """The registered rule ended the sweep before: nothing is begun."""
    status_command(path, as_json=as_json)
    tell(f"stopped before by the registered rule: {stopped['reason']}; to run the rest all the same, beyond the")
    tell(f"registered analysis: raysweep run {config} --run-dir {path} --go-on")
    return ExitCode.OK


def _rule(session: Session) -> Rule:
    from raysweep.cli.report import design_of
    from raysweep.record.reader import read_attempts, read_run
    from raysweep.stats.live import COLUMNS

    frame = read_run(session.store, str(session.path), attempts=False)
    return Rule(read_attempts(session.store, COLUMNS), frame.planned, design_of(frame))


def _refuse_unsuitable(study: Study) -> None:
    """Exit 4 before anything is written when the sandbox cannot enforce the bands here."""
    checks = compose.recipe(study.sweep)("driver").doctor(compose.planned_sandboxes(study))
    failed = [c for c in checks if c.required and not c.ok]
    if failed:
        raise UnsuitableError(
            "; ".join(f"{c.name}: {c.found}" for c in failed),
            " | ".join(dict.fromkeys(c.remedy for c in failed if c.remedy)) or "see raysweep doctor",
        )


def _directory(study: Study, path: RunPath) -> tuple[Store, dict[str, Any]]:
    from raysweep.cli.images import resolve_images
    from raysweep.plan.table import plan_bytes
    from raysweep.record.place import store_at
    from raysweep.record.rundir import create_or_resume

    sweep = study.sweep
    planned = b""  # a directory that is there has its plan, and is known by the plan's id
    if not store_at(path).exists("run.json"):
        planned = plan_bytes(study.plan, sweep, list(study.tasks.values()), resolve_images(study))
    analysis = {**sweep.analysis.model_dump(), "reference": sweep.reference, "registered": sweep.registered}
    store, facts = create_or_resume(
        path,
        sweep_text=sweep.study_text,
        plan_id=study.plan.plan_id,
        plan_parquet=planned,
        analysis=analysis,
        environment=environment(),
        facts={
            "name": sweep.name,
            "seed": sweep.seed,
            "reference": sweep.reference,
            "bands": [b.name for b in sweep.bands],
            "models": [m.name for m in sweep.models],
            "buckets": list(sweep.bucket_names),
            "dates": sweep.dates,
            "repeats": sweep.repeats,
            "timezone": sweep.buckets.timezone if sweep.buckets else "UTC",
            "period_hours": sweep.buckets.period / 3600 if sweep.buckets else 24.0,
            "bucket_hours": _bucket_hours(sweep),
            "concurrency": sweep.runner.concurrency,
            "pids": sweep.sandbox.pids,
            "network": sweep.sandbox.network,
            "sandbox": sweep.sandbox.kind,
            **({"factors": _factors(sweep)} if sweep.factors.declared else {}),
        },
        clock=_birth(sweep),
    )
    _refuse_other_registration(path, json.loads(store.get("registration.json")), analysis)
    return store, facts


def _in_virtual_time(sweep: Sweep) -> bool:
    return sweep.sandbox.kind == "simulated" and sweep.runner.executor == "inprocess"


def _birth(sweep: Sweep) -> Clock:
    """The clock of a run's beginning: in virtual time a first date that is stated begins it, whatever today is."""
    if not _in_virtual_time(sweep) or sweep.buckets is None or sweep.buckets.start is None:
        return SystemClock()
    first = dt.datetime.combine(sweep.buckets.start, dt.time(), ZoneInfo(sweep.buckets.timezone))
    return VirtualClock(first.timestamp())


def _factors(sweep: Sweep) -> dict[str, Any]:
    """What is swept besides the band, for the analysis."""
    return {name: factor.model_dump(mode="json") for name, factor in sweep.factors.declared.items()}


def _bucket_hours(sweep: Sweep) -> list[float]:
    """Hour of the day at the middle of each window; empty where a date is no day."""
    if sweep.buckets is None or sweep.buckets.period < DAY:
        return []
    return [(w.start + w.end) / 2 % DAY / 3600 for w in sweep.windows]


def _refuse_other_registration(path: RunPath, stands: dict[str, Any], analysis: dict[str, Any]) -> None:
    """InputError when the registration of the directory is not that of the sweep, or was edited after it was made.

    A key that an earlier version did not register counts as its default, which is how that version analysed.
    """
    from raysweep.record.rundir import registration

    place = {"file": str(path / "registration.json"), "key": "analysis"}
    remedy = "put registration.json back as it was made, or start a new run directory"
    if registration(stands["analysis"], 0.0)["sha256"] != stands["sha256"]:
        raise bad_input("the registration was changed after it was made: its hash does not hold", remedy, **place)
    given = json.loads(json.dumps(analysis))
    before = {**json.loads(Analysis().model_dump_json()), **stands["analysis"]}
    changed = [
        f"{k}: {before.get(k)} -> {given.get(k)}" for k in sorted({*before, *given}) if before.get(k) != given.get(k)
    ]
    if changed:
        raise bad_input(f"the sweep's analysis is not the registered one ({'; '.join(changed)})", remedy, **place)


def _session(study: Study, path: RunPath, store: Store, facts: dict[str, Any], blocks: int | None) -> Session:
    from raysweep.cli.images import Images, first_seen, unresolved
    from raysweep.plan.table import IMAGE_COLUMNS, images_from_table
    from raysweep.record.reader import read_attempts, read_plan
    from raysweep.record.resume import COLUMNS, sweep_state

    images = Images(images_from_table(read_plan(store, str(path), IMAGE_COLUMNS)))
    facts_of_nodes = ("task", "node") if unresolved(images) else ()
    attempts = read_attempts(store, ("attempt_id", *facts_of_nodes, *COLUMNS))
    state = sweep_state(attempts, len(study.plan.blocks[0].trials))
    first_seen(attempts, images)
    virtual = _in_virtual_time(study.sweep)
    clock: Clock = VirtualClock(max(facts["created"], state.last)) if virtual else SystemClock()
    return Session(study, path, store, facts, state, images, clock, blocks)


def _unborn(study: Study, path: RunPath, blocks: int | None) -> Session:
    """The session of a run that would begin now; nothing is written."""
    from raysweep.cli.images import Images
    from raysweep.record.place import store_at
    from raysweep.record.resume import SweepState

    created = _birth(study.sweep).now()
    clock: Clock = VirtualClock(created) if _in_virtual_time(study.sweep) else SystemClock()
    return Session(study, path, store_at(path), {"created": created}, SweepState(), Images(), clock, blocks)


def _untouched(session: Session) -> Result:
    """How an invocation ends that begins nothing."""
    from raysweep.schedule.driver import Result

    queue = _queue(session)
    return Result(queue.missing, for_good=queue.for_good)


def _for_one_window(session: Session) -> Session:
    """The session, to end with the window that is open now; in virtual time it waits for one first."""
    from raysweep.cli.window import arrival, last_date, turn_at

    calendar, clock = compose.calendar(session.study.sweep, session.facts["created"]), session.clock
    if session.virtual:
        clock = VirtualClock(arrival(calendar, clock.now(), session.state.last))
    return replace(session, clock=clock, turn=turn_at(calendar, clock.now(), last_date(session.study.sweep)))


def _turn_json(session: Session) -> dict[str, Any]:
    from raysweep.cli.window import turn_json

    return {} if session.turn is None else turn_json(session.turn)


def _executor(session: Session, provider: SandboxProvider) -> Executor:
    recipe = compose.recipe(session.study.sweep)
    runner = session.study.sweep.runner
    if runner.executor == "inprocess":
        from raysweep.schedule.executor import InProcessExecutor

        return InProcessExecutor(recipe("driver", session.clock), session.clock)
    from raysweep.cli.window import resting
    from raysweep.schedule.ray_executor import RayExecutor

    inner = RayExecutor(recipe, runner.concurrency, runner.actors)
    return resting(inner, session.clock, provider, session.facts["run_id"])


def _queue(session: Session) -> Queue:
    from raysweep.schedule.calendar import Until
    from raysweep.schedule.queue import Queue

    sweep, plan = session.study.sweep, session.study.plan
    calendar = compose.calendar(sweep, session.facts["created"])
    return Queue(
        plan.blocks[: session.blocks] if session.blocks else plan.blocks,
        calendar if session.turn is None else Until(calendar, session.turn.end),
        capacity=sweep.runner.concurrency,
        caps=sweep.platform_retries,
        reruns=sweep.block_reruns,
        now=session.clock.now(),
        last_planned_date=sweep.dates,
        makeup_dates=sweep.buckets.makeup_dates if sweep.buckets else 0,
        restored=session.state,
        slots=compose.slots(sweep),
        probes=compose.probe_book(sweep, session.store),
    )


def _drive(session: Session, ledger: LedgerWriter, told: tuple[int | None, Logs]) -> Result:
    from raysweep.cli.images import tell_moved

    done = session.state.done
    if done:
        tell(f"going on with {session.path}: {done} of {session.study.plan.trials} trials are done")
    if 0 < done < session.study.plan.trials:
        tell_moved(session.study.sweep, session.images)
    planned, run_id = session.study.plan.trials, session.facts["run_id"]
    with Telemetry(run_id, planned, done, *told) as telemetry, ProgressView(planned, done) as view:
        main = _run(session, ledger, view, telemetry)
        return session.clock.run(main) if isinstance(session.clock, VirtualClock) else asyncio.run(main)


async def _run(session: Session, ledger: LedgerWriter, view: ProgressView, telemetry: Telemetry) -> Result:
    from raysweep.schedule.driver import PULSE_S, Driver, Probes, Result, Stop
    from raysweep.schedule.resting import Resting

    run_id, sweep = session.facts["run_id"], session.study.sweep
    provider = compose.recipe(sweep)("driver")
    # What an earlier driver of this run left behind goes first: nothing of it is alive in the ledger's eyes.
    await provider.gc(run_id)
    queue, meter = _queue(session), compose.budget_meter(session.study, session.store)
    if queue.missing == queue.for_good:
        return Result(queue.missing, for_good=queue.for_good)  # nothing is left to do: no runner is started
    if session.turn is not None and _nothing_begun(session):
        return Result(queue.missing, for_good=queue.for_good)
    executor = _executor(session, provider)
    try:
        await executor.start(run_id)
        calendar = compose.calendar(sweep, session.facts["created"])
        rounds = compose.ProbeRounds(session.study, session.store, run_id, session.images)
        traces = None if sweep.sandbox.kind == "simulated" else _traces(session.path)

        breaker, rule = compose.breaker(sweep), session.rule
        decisions: list[Decided] = []

        def ruled(found: Decided | None) -> Stop | None:
            if found is None:
                return None
            decisions.append(found)
            return Stop(found.reason, "rule")

        def spent(reason: str | None) -> Stop | None:
            return Stop(reason, "budget") if reason else None

        def count(row: Row) -> Stop | None:
            session.images.note(row)
            telemetry.row(row)
            over = spent(meter.add(row))
            decided = ruled(rule.add(row) if rule else None)
            if (trouble := breaker.add(row) if breaker else None) is not None:
                return Stop(trouble, "breaker", finish_blocks=False)
            return decided or over

        def observe(progress: Progress) -> None:
            view(progress)
            telemetry.progress(progress)

        driver = Driver(
            queue=queue,
            executor=executor,
            ledger=ledger,
            calendar=calendar,
            clock=session.clock,
            make_order=compose.Orders(session.study, run_id, calendar, traces, session.images),
            observe=observe,
            stop=count,
            stopped=ruled(rule.decided if rule else None) or spent(meter.reason()),
            pulse=VIRTUAL_PULSE_S if session.virtual else PULSE_S,
            probes=Probes(rounds.make, rounds.keep, sweep.runner.concurrency),
            rest=executor.rest if isinstance(executor, Resting) else None,
        )
        _stop_on_signals(driver)
        result = await driver.run()
        for decided in decisions[:1]:  # only now: a record must not stand without the rows that decided
            write_record(session.store, decided, session.clock.now())
    finally:
        await executor.close()
    # What a lost runner left behind. Not after an error: the run may be another driver's by then.
    await provider.gc(run_id)
    return result


def _nothing_begun(session: Session) -> bool:
    """Whether nothing can begin or go on now, so that no runner is needed; a queue of its own is asked."""
    from raysweep.schedule.queue import Finish, Tick

    return all(isinstance(i, Finish) for i in _queue(session).handle(Tick(), session.clock.now()))


def _traces(path: RunPath) -> RunPath:
    """The run's folder of traces, as runners elsewhere find it."""
    return (path.resolve() if isinstance(path, Path) else path) / "traces"


def _stop_on_signals(driver: Driver) -> None:
    """First Ctrl-C (or SIGTERM) stops cleanly; a second one ends the process, which is safe too, only less tidy."""
    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        tell("stopping: what is in flight is cancelled and recorded; the same command goes on")
        loop.remove_signal_handler(number)
        driver.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
