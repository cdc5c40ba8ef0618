"""The Grafana dashboard asks for nothing that a driver does not tell, and shows all that it tells."""

import json
import re
from pathlib import Path

from raysweep.metrics import METRICS

DASHBOARD = Path(__file__).parents[2] / "cluster" / "observability" / "dashboard.json"


def test_dashboard_and_metrics_name_the_same_things():
    board = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for text in expressions for name in re.findall(r"raysweep_\w+", text)}
    told = {m.name + ("_bucket" if m.kind == "histogram" else "") for m in METRICS}
    assert asked == told


def test_labels_of_the_dashboard_are_those_of_the_metrics():
    labels = {m.name: set(m.labels) for m in METRICS}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            (name, *_) = re.findall(r"raysweep_\w+?(?=_bucket\b|\{)", target["expr"])
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = {word for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in group.split(", ")}
            assert shown <= labels[name]
            assert grouped <= labels[name] | {"le"}
