"""The metrics of one driver behind an HTTP port, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from raysweep.errors import bad_input
from raysweep.metrics.measure import METRICS, Metric, Sample


class Exporter:
    """Takes samples and serves them on `port` of every address (0: any free one). A context manager.

    InputError: the port cannot be had. Thread-safe.
    """

    def __init__(self, port: int) -> None:
        self._asked = port
        self._registry = CollectorRegistry()
        self._metrics = {metric.name: self._made(metric) for metric in METRICS}
        self.port = 0

    def _made(self, metric: Metric) -> Counter | Gauge | Histogram:
        name, doc, labels = metric.name, metric.doc, metric.labels
        if metric.kind == "histogram":
            return Histogram(name, doc, labels, buckets=metric.bounds, registry=self._registry)
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(name, doc, labels, registry=self._registry)

    def __enter__(self) -> Self:
        try:
            self._server, self._thread = start_http_server(self._asked, registry=self._registry)
        except (OSError, OverflowError) as error:
            raise bad_input(
                f"metrics cannot be served: {error}", "take another port", key="--metrics-port", value=self._asked
            ) from None
        self.port = self._server.server_port
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, samples: Iterable[Sample]) -> None:
        """Add, set or observe every sample."""
        for sample in samples:
            metric = self._metrics[sample.name]
            child: Any = metric.labels(*sample.labels) if sample.labels else metric
            if isinstance(metric, Histogram):
                child.observe(sample.value)
            elif isinstance(metric, Counter):
                child.inc(sample.value)
            else:
                child.set(sample.value)
