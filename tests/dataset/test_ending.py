"""When a sweep is over for its readers: status and lock decide, not time alone."""

from __future__ import annotations

import itertools

import pytest

from raysweep.dataset.ending import Live
from raysweep.errors import InputError
from raysweep.record.stopped import write_stop
from support.ledgers import Ledger, attempts, row


class Steps:
    """A clock that goes on by one second per sleep; at given seconds something happens."""

    def __init__(self, **events):
        self.time = 0.0
        self.events = {int(name.removeprefix("at")): event for name, event in events.items()}

    def now(self):
        return 1e9 + self.time

    def monotonic(self):
        return self.time

    def sleep(self, _):
        self.time += 1
        assert self.time < 10_000, "the stream does not end"
        if event := self.events.get(int(self.time)):
            event()


def live(ledger, steps, **options):
    return Live(ledger.path, clock=steps, sleep=steps.sleep, **options)


def pieces(stream):
    return [piece for piece in stream if piece is not None]


def test_a_complete_run_without_a_driver_ends_at_once(tmp_path):
    ledger, steps = Ledger(tmp_path, planned=3), Steps()
    ledger.seal(3)
    stream = live(ledger, steps, patience_s=None)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1", "t2-1"]
    assert stream.complete
    assert steps.time < 3


def test_a_sweep_that_the_registered_rule_stopped_ends_when_its_driver_does(tmp_path):
    ledger = Ledger(tmp_path, planned=3)
    lock = ledger.lock()
    lock.acquire({})
    ledger.epoch = lock.epoch
    ledger.seal(1)

    def stop():
        write_stop(ledger.store, {"reason": "decided"}, 0.0)

    steps = Steps(at20=stop, at30=lambda: ledger.seal(1), at40=lock.release)
    stream = live(ledger, steps, patience_s=None)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1"], "a block that was begun is finished"
    assert not stream.complete
    assert 40 <= steps.time < 50


def test_while_a_driver_holds_the_lock_rows_are_awaited(tmp_path):
    ledger = Ledger(tmp_path, planned=3)
    lock = ledger.lock()
    lock.acquire({})
    ledger.epoch = lock.epoch
    steps = Steps(at50=lambda: ledger.seal(1), at500=lambda: ledger.seal(2), at600=lock.release)
    stream = live(ledger, steps, patience_s=5.0)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1", "t2-1"]
    assert stream.complete
    assert 600 <= steps.time < 610


def test_a_sweep_whose_driver_is_gone_ends_when_patience_does(tmp_path):
    ledger, steps = Ledger(tmp_path, planned=3), Steps()
    ledger.seal(2)
    stream = live(ledger, steps, patience_s=30.0)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1"]
    assert not stream.complete
    assert 30 <= steps.time < 35


def test_a_driver_that_comes_back_in_time_is_followed(tmp_path):
    ledger = Ledger(tmp_path, planned=3)
    ledger.seal(2)
    lock = ledger.lock()

    def back():
        lock.acquire({})
        ledger.epoch, ledger.number = lock.epoch, 0

    steps = Steps(at20=back, at100=lambda: ledger.seal(1), at101=lock.release)
    stream = live(ledger, steps, patience_s=30.0)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1", "t2-1"]
    assert stream.complete


def test_without_a_bound_on_patience_only_the_last_trial_ends_it(tmp_path):
    ledger = Ledger(tmp_path, planned=2)
    lost = row(0, outcome="infra", cause="node_lost", cause_class="platform")
    ledger.seal_rows([lost, row(1)])
    again = row(0, attempt_id="t0-2", attempt=2)
    steps = Steps(at5000=lambda: ledger.seal_rows([again]))
    stream = live(ledger, steps, patience_s=None)
    assert attempts(pieces(stream)) == ["t0-1", "t1-1", "t0-2"]
    assert stream.complete
    assert steps.time >= 5000


def test_a_look_without_news_is_told(tmp_path):
    ledger = Ledger(tmp_path, planned=2)
    stream = iter(live(ledger, Steps()))
    assert list(itertools.islice(stream, 3)) == [None] * 3


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a run directory"):
        Live(tmp_path)
