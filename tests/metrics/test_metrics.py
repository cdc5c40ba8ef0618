"""Metrics: what a row adds, what a scrape of the real port says, and a port that cannot be had."""

import urllib.request

import pytest

from raysweep.errors import InputError
from raysweep.metrics import METRICS, Sample, attempt_samples
from raysweep.metrics.prometheus import Exporter

ROW = {
    "model": "m", "band": "1x", "outcome": "infra", "cause": "oom_limit", "cause_class": "resource",
    "oom_kills": 2, "verifier_oom_kills": 0, "timed_out": True, "transport_down_s": 1.5, "image_pulled": False,
    "t_queued": 10.0, "t_created": 10.5, "t_ready": 12.5, "t_agent_start": 13.0, "t_agent_end": 20.0,
    "node": {"api_errors": "429=2 none=1"}, "api_429": 3,
}  # fmt: skip


def test_what_a_row_adds():
    assert set(attempt_samples(ROW)) == {
        Sample("raysweep_attempts_total", 1, ("m", "1x", "infra", "oom_limit", "resource")),
        Sample("raysweep_oom_kills_total", 2, ("1x", "agent")),
        Sample("raysweep_agent_timeouts_total", 1, ("m", "1x")),
        Sample("raysweep_transport_down_seconds_total", 1.5),
        Sample("raysweep_model_api_throttled_total", 3, ("m",)),
        Sample("raysweep_api_errors_total", 2, ("429",)),
        Sample("raysweep_api_errors_total", 1, ("none",)),
        Sample("raysweep_queue_wait_seconds", 0.5),
        Sample("raysweep_sandbox_start_seconds", 2.0, ("no",)),
        Sample("raysweep_agent_seconds", 7.0, ("m", "1x")),
    }


def test_what_is_unknown_adds_nothing():
    lost = {"model": "m", "band": "1x", "outcome": "infra", "cause": "runner_lost", "cause_class": "platform"}
    assert list(attempt_samples(lost)) == [
        Sample("raysweep_attempts_total", 1, ("m", "1x", "infra", "runner_lost", "platform"))
    ]


def test_every_sample_has_its_metric_with_as_many_labels():
    labels = {metric.name: metric.labels for metric in METRICS}
    assert len(labels) == len(METRICS)
    for sample in attempt_samples(ROW):
        assert len(sample.labels) == len(labels[sample.name])


def test_a_scrape_tells_what_was_taken():
    with Exporter(0) as exporter:
        exporter.take(attempt_samples(ROW))
        exporter.take(attempt_samples({**ROW, "node": None}))
        exporter.take([Sample("raysweep_trials_done", 7), Sample("raysweep_trials_done", 8)])
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        text = urllib.request.urlopen(url, timeout=30).read().decode()
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    label = 'band="1x",cause="oom_limit",class="resource",model="m",outcome="infra"'
    assert float(told[f"raysweep_attempts_total{{{label}}}"]) == 2
    assert float(told['raysweep_api_errors_total{status="429"}']) == 2
    assert float(told["raysweep_trials_done"]) == 8
    assert float(told["raysweep_queue_wait_seconds_sum"]) == 1.0
    assert float(told['raysweep_sandbox_start_seconds_bucket{le="2.5",pulled="no"}']) == 2
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# HELP raysweep")} >= {
        metric.name for metric in METRICS if not metric.labels
    }


def test_a_port_that_is_taken_is_bad_input():
    with Exporter(0) as first, pytest.raises(InputError, match="metrics cannot be served"), Exporter(first.port):
        pass
