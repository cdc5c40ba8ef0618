"""What the line of progress says."""

from __future__ import annotations

from collections import Counter

import pytest

from raysweep.cli import output
from raysweep.schedule.driver import Progress


class Times:
    """Clocks of a test: monotonic and wall time move together."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def __getattr__(self, name):
        import time

        return getattr(time, name)


@pytest.fixture
def lines(monkeypatch):
    times, told = Times(), []
    monkeypatch.setattr(output, "time", times)
    monkeypatch.setattr(output, "tell", told.append)
    return times, told


def show(view, times, seconds, **progress):
    times.now += seconds
    view(Progress(**{"finished": 0, "in_flight": 2, "by_outcome": Counter()} | progress))


def test_the_eta_counts_the_time_in_which_trials_ran(lines):
    times, told = lines
    view = output.ProgressView(20, 0)
    show(view, times, 10, finished=5)
    show(view, times, 600, finished=5, in_flight=0, waiting_until=9999.0)
    show(view, times, 10, finished=10)
    assert told[0] == "5/20 trials, 2 running, 0 infra, eta 30 s"
    assert told[-1] == "10/20 trials, 2 running, 0 infra, eta 20 s"


def test_the_eta_is_not_before_the_last_window_opens(lines):
    times, told = lines
    view = output.ProgressView(20, 0, last_opening=1300.0)
    show(view, times, 10, finished=10)
    assert told[-1].endswith("eta 4 m 50 s")


def test_probes_are_called_so(lines):
    times, told = lines
    show(output.ProgressView(20, 0), times, 10, in_flight=0, probing=True)
    assert told == ["0/20 trials, probes, 0 infra"]


def test_trials_that_wait_to_be_tried_again_are_shown_and_no_window(lines):
    times, told = lines
    show(output.ProgressView(20, 0), times, 10, in_flight=0, waiting_retries=3, waiting_until=1020.0)
    assert told == ["0/20 trials, 0 running, 0 infra, 3 waiting to be tried again"]
