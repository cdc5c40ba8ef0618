"""The study of the dev overlay: a CronJob opens its windows one after the other, and never two writers at once."""

import json
import time

import pytest
import yaml
from deployed import ROOT, apply, kubectl

from raysweep.config import parse
from raysweep.deploy import render
from raysweep.record.place import run_path, store_at
from raysweep.record.reader import read_ledger

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
PATIENCE_S = 1200.0
BAD_INPUT = 2


@pytest.fixture
def study(place, images, bucket):
    """configs/cluster-dev.yaml in this place, its CronJob applied; (run directory, name)."""
    told = yaml.safe_load((ROOT / "configs" / "cluster-dev.yaml").read_text())
    told["sandbox"] |= {"namespace": place.sandboxes, "image": images[1]}
    told["cluster"] |= {"namespace": place.control, "image": images[0], "run_dir": f"{bucket}/cron"}
    manifests = render(parse(yaml.safe_dump(told)))
    apply(manifests)
    yield run_path(f"{bucket}/cron"), told["name"]
    kubectl("delete", "cronjob,job", "-n", place.control, "-l", f"raysweep.dev/study={told['name']}")


def pods(place, study):
    listed = kubectl("get", "pods", "-n", place.control, "-l", f"raysweep.dev/study={study}", "-o", "json")
    return json.loads(listed)["items"]


def logs(place, study):
    names = [pod["metadata"]["name"] for pod in pods(place, study)]
    return "\n".join(f"{n}: {kubectl('logs', '-n', place.control, n, check=False).stdout[-1500:]}" for n in names)


def until(look, why):
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, why()
        time.sleep(1)
    return found


def codes(place, study):
    """Exit codes of the pods that have ended, by job."""
    told = {}
    for pod in pods(place, study):
        for status in pod["status"].get("containerStatuses", ()):
            if "terminated" in status["state"]:
                told[pod["metadata"]["labels"]["job-name"]] = status["state"]["terminated"]["exitCode"]
    return told


def complete(run):
    if not store_at(run).exists("run.json"):
        return False
    view = read_ledger(run)
    finals = [row for row in view.table.to_pylist() if row["is_final"]]
    return finals if len(finals) == len(view.planned) else False


def test_windows_open_one_after_the_other_with_one_writer_at_a_time(place, study):
    run, name = study
    until(lambda: store_at(run).exists("lock") or store_at(run).exists("run.json"), lambda: logs(place, name))
    # A second driver while the first one runs, as a window that overruns would meet it.
    kubectl("create", "job", "second", "-n", place.control, f"--from=cronjob/{name}")
    (second,) = until(
        lambda: [code for job, code in codes(place, name).items() if job == "second"], lambda: logs(place, name)
    )
    finals = until(lambda: complete(run), lambda: logs(place, name))

    assert second in {0, BAD_INPUT}
    occasions = {row["occasion"] for row in finals}
    assert len(occasions) == 3
    assert {row["outcome"] for row in finals} == {"scored"}
    assert len({row["trial_id"] for row in finals}) == len(finals)
    store = store_at(run)
    epochs = sorted(n for n in store.names("ledger") if n.startswith("epoch-"))
    assert len(epochs) >= 3  # each window had a driver of its own
