"""What the API server refuses is told as what it is."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from raysweep import apiserver
from raysweep.deploy import client
from support.cli_runs import raysweep

ROOT = Path(__file__).parents[2]
SWEEP = """\
name: refused
seed: 1
tasks: {{source: "{tasks}"}}
models: [{{name: m, agent: {agent}}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}]
reference: 1x
repeats: 1
sandbox: {{kind: kubernetes}}
cluster: {{image: "x/y:1", run_dir: "s3://runs/refused"}}
"""


def submitted(tmp_path, tasks, agent):
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(tasks=tasks, agent=agent))
    return raysweep("cluster", "submit", tmp_path / "sweep.yaml", KUBECONFIG=str(tmp_path / "none"))


def test_a_sweep_that_check_refuses_is_not_submitted(tmp_path):
    refused = submitted(tmp_path, "bundled:headroom", "nobody-has-it")
    assert refused.returncode == 2, "before the cluster is even looked for (4)"
    assert "models.m" in refused.stderr


def test_tasks_that_only_the_image_has_are_left_to_the_driver(tmp_path):
    asked = submitted(tmp_path, tmp_path / "in-the-image", "nop")
    assert asked.returncode == 4, "the cluster is looked for, and there is none"
    assert "its tasks are checked in the cluster" in asked.stderr


def test_gke_up_gives_the_operator_a_priority_above_ours():
    words = ["--project", "p", "--location", "europe-west4-a", "--bucket", "b", "--dry-run"]
    said = subprocess.run([ROOT / "scripts/gke-up", *words], capture_output=True, text=True, check=True, env=os.environ)
    assert "# operator.yaml:   name: raysweep-operator" in said.stdout
    (value,) = [line.split()[-1] for line in said.stdout.splitlines() if line.startswith("# operator.yaml: value:")]
    ours = (ROOT / "cluster/base/priority.yaml").read_text().splitlines()
    assert int(value) > max(int(line.split()[-1]) for line in ours if line.startswith("value:"))
    assert "raysweep-operator" in next(line for line in said.stdout.splitlines() if "patch deployment" in line)


@pytest.mark.parametrize(
    ("status", "message", "said", "remedy"),
    [
        (401, "Unauthorized", "the cluster does not accept the credentials (401): Unauthorized", client.LOG_IN),
        (403, "rayjobs is forbidden", "the account lacks a right (403): rayjobs is forbidden", client.BASE),
        (404, 'namespaces "raysweep" not found', 'the cluster refused: namespaces "raysweep" not found', client.BASE),
        (404, "the server could not find it", "the cluster refused: the server could not find it", client.OPERATOR),
        (422, "bad", "the cluster refused: bad", "see the message"),
    ],
)
def test_a_refusal_says_whose_it_is_and_what_helps(status, message, said, remedy):
    error = apiserver._refused(status, json.dumps({"reason": "R", "message": message}).encode(), None)
    told = client.explained(error, ["RayJob"])
    assert (told.missing, told.remedy) == (said, remedy)


def test_an_answer_that_is_no_status_is_shown_as_it_came():
    error = apiserver._refused(502, b"<html>bad gateway</html>", None)
    assert client.explained(error, ["Pod"]).missing == "the cluster refused: <html>bad gateway</html>"
