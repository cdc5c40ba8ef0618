"""What a running sweep tells a monitoring system: names and meanings of metrics, and how rows become them.

Belongs here: the list of metrics, the pure step from a row of the ledger to samples, the exporter for Prometheus.
Does not: anything that decides; the ledger stays the truth, and metrics of a driver begin at 0 when it starts.
"""

from raysweep.metrics.measure import METRICS, Metric, Sample, attempt_samples

__all__ = ["METRICS", "Metric", "Sample", "attempt_samples"]
