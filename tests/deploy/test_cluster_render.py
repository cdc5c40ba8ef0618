"""raysweep.deploy, pure: what a sweep's cluster section becomes."""

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raysweep.config import parse
from raysweep.deploy import names, render
from raysweep.deploy.render import as_yaml, submission
from raysweep.errors import InputError

SWEEP = """
name: {name}
seed: 1
tasks: {{source: bundled:headroom}}
models: [{{name: lean, agent: scripted, strategy: lean}}]
bands: [{{name: 1x, limit: 1.0}}]
reference: 1x
repeats: 2
{buckets}
sandbox: {{kind: kubernetes}}
runner: {runner}
cluster:
  image: registry.example/raysweep:0.1.0
  run_dir: gs://studies/headroom-1
{cluster}"""
WINDOWS = '{night: "22:00-06:00", day: "06:00-18:30"}'
DAILY = f"buckets: {{timezone: America/Los_Angeles, windows: {WINDOWS}, weekdays: [sun, mon]}}"
CYCLES = 'buckets: {period: 120s, windows: {a: "0s-60s", b: "60s-120s"}}'


def sweep(buckets=DAILY, cluster="", runner="{concurrency: 96}", name="Head.Room"):
    return parse(SWEEP.format(buckets=buckets, cluster=cluster, runner=runner, name=name))


def of_kind(manifests, kind):
    return [m for m in manifests if m["kind"] == kind]


def pods(manifest):
    """Every pod template inside a manifest."""
    if isinstance(manifest, dict):
        if "containers" in manifest.get("spec", {}):
            yield manifest
        for value in manifest.values():
            yield from pods(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from pods(value)


def secrets(template):
    (container,) = template["spec"]["containers"]
    return {source["secretRef"]["name"] for source in container.get("envFrom", ())}


def ray_job(of):
    (job,) = of_kind(render(of, "job"), "RayJob")
    return job


def test_head_has_no_slots_and_each_runner_those_of_one_actor():
    spec = ray_job(sweep())["spec"]["rayClusterSpec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = spec["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 2)
    # KubeRay puts the value into a shell command as it is, and the autoscaler drops quotes and backslashes.
    assert json.loads(group["rayStartParams"]["resources"][1:-1].replace("\\", "")) == {"trial_slots": 48}
    assert all(isinstance(v, str) for v in group["rayStartParams"].values())
    (three,) = ray_job(sweep(runner="{concurrency: 10, actors: 3}"))["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert three["maxReplicas"] == 3
    assert "4" in three["rayStartParams"]["resources"]


def test_a_ray_job_ends_with_its_driver_and_starts_again_by_itself():
    spec = ray_job(sweep(cluster="  retries: 3\n  ttl: 10m\n  deadline: 2h\n"))["spec"]
    told = {k: v for k, v in spec.items() if k != "rayClusterSpec"}
    assert told == {
        "entrypoint": "raysweep cluster run /etc/raysweep/sweep.yaml",
        "submissionMode": "SidecarMode",
        "backoffLimit": 3,
        "deletionStrategy": {
            "deletionRules": [
                {"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 600}},
                {"policy": "DeleteCluster", "condition": {"jobDeploymentStatus": "Failed", "ttlSeconds": 0}},
            ]
        },
        "activeDeadlineSeconds": 7200,
        "preRunningDeadlineSeconds": 1800,
    }
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["rayClusterSpec"]["autoscalerOptions"]["version"] == "v2"


@pytest.mark.parametrize(("deadline", "pre_running"), [("", 1800), ("  deadline: 10m\n", 600)])
def test_a_ray_job_whose_driver_never_runs_ends(deadline, pre_running):
    assert ray_job(sweep(cluster=deadline))["spec"]["preRunningDeadlineSeconds"] == pre_running


def test_keys_reach_runners_only_and_the_bucket_all():
    spec = ray_job(sweep(cluster="  keys: [models]\n  bucket_secrets: [bucket]\n"))["spec"]["rayClusterSpec"]
    head, runner = spec["headGroupSpec"]["template"], spec["workerGroupSpecs"][0]["template"]
    assert secrets(head) == {"bucket"}
    assert secrets(runner) == {"bucket", "models"}
    for cron_job in of_kind(render(sweep(cluster="  keys: [models]\n  bucket_secrets: [bucket]\n")), "CronJob"):
        (submitter,) = pods(cron_job)
        assert secrets(submitter) == {"bucket"}, "it looks whether the study is finished"


ALONE = "  operator: none\n"


@pytest.mark.parametrize(
    ("of", "form"),
    [
        (sweep(), "job"), (sweep(), "schedule"), (sweep(), "raycronjobs"), (sweep(), "raycluster"),
        (sweep(cluster=ALONE), "job"), (sweep(cluster=ALONE), "schedule"), (sweep(CYCLES, ALONE), "schedule"),
    ],
)  # fmt: skip
def test_every_pod_is_hardened_labelled_and_sized(of, form):
    found = [template for manifest in render(of, form) for template in pods(manifest)]
    assert found
    for template in found:
        spec, labels = template["spec"], template["metadata"]["labels"]
        assert labels[names.PART_OF] == "raysweep"
        assert spec["serviceAccountName"] == f"raysweep-{labels[names.ROLE]}"
        assert spec["restartPolicy"] == "Never"
        assert spec["securityContext"]["runAsNonRoot"]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
        mounts = {m["name"] for m in container["volumeMounts"]}
        assert mounts == {v["name"] for v in spec["volumes"]}
        if labels[names.ROLE] != "submitter":
            (shm,) = [v["emptyDir"] for v in spec["volumes"] if v["name"] == "shm"]
            assert shm == {"medium": "Memory", "sizeLimit": "512Mi"}


def test_windows_open_by_the_clock_of_the_sweeps_zone():
    day, night = of_kind(render(sweep()), "CronJob")
    assert [c["spec"]["schedule"] for c in (day, night)] == ["0 6 * * 0,1", "0 22 * * 0,1"]
    for cron_job in (day, night):
        spec = cron_job["spec"]
        assert spec["timeZone"] == "America/Los_Angeles"
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["suspend"] is False, "applied again, a finished study's schedule begins anew"
    assert day["spec"]["startingDeadlineSeconds"] == 12.5 * 3600
    (submitter,) = pods(night)
    assert submitter["spec"]["containers"][0]["command"][-2:] == ["--window", "night"]
    assert submitter["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "512Mi"}


def test_without_an_operator_the_pod_runs_the_window_itself():
    day, _ = of_kind(render(sweep(cluster=ALONE)), "CronJob")
    (pod,) = pods(day)
    command = pod["spec"]["containers"][0]["command"]
    assert command == ["raysweep", "cluster", "run", "/etc/raysweep/sweep.yaml", "--until-window-end"]
    (minutely,) = of_kind(render(sweep(CYCLES, ALONE)), "CronJob")
    assert minutely["spec"]["schedule"] == "* * * * *"


def test_a_window_job_says_its_deadline_and_its_window():
    job = submission(sweep(), "n", ("--until-window-end",), 100.0, **{names.WINDOW: "day"})
    assert job["spec"]["activeDeadlineSeconds"] == 100
    assert job["spec"]["entrypoint"].endswith("sweep.yaml --until-window-end")
    assert job["metadata"]["labels"][names.WINDOW] == "day"


def test_the_sweep_travels_as_it_is_and_yaml_says_the_same_again():
    of = sweep()
    manifests = render(of)
    (config,) = of_kind(manifests, "ConfigMap")
    assert config["data"] == {"sweep.yaml": of.source_text}
    assert list(yaml.safe_load_all(as_yaml(manifests))) == manifests
    assert "&id" not in as_yaml(render(of, "job"))


@pytest.mark.parametrize(
    ("of", "form", "said"),
    [
        (sweep(CYCLES), "schedule", "at no time of the clock"),
        (sweep(""), "schedule", "has no schedule"),
        (sweep(cluster=ALONE), "raycluster", "needs an operator"),
        (parse(SWEEP.format(buckets="", cluster="", runner="{}", name="x").partition("cluster:")[0]), "job", "cluster"),
    ],
)
def test_what_cannot_be_is_said_with_its_remedy(of, form, said):
    with pytest.raises(InputError, match=said) as caught:
        render(of, form)
    assert all(p.remedy for p in caught.value.problems)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: kubernetes", "kind: local"), "sandbox.kind: cannot run inside"),
        (("kind: kubernetes", "kind: kubernetes, context: mine"), "sandbox.context"),
        (("{concurrency: 96}", "{executor: inprocess}"), "runner.executor"),
        (("bundled:headroom", "../tasks"), "tasks.source: is a folder beside this file"),
        (("gs://studies/headroom-1", "runs/x"), "cluster.run_dir"),
        (("  image:", "  imag: x\n  image:"), "cluster.imag: unknown key"),
    ],
)
def test_a_sweep_that_pods_cannot_run_is_refused(change, said):
    text = SWEEP.format(buckets=DAILY, cluster="", runner="{concurrency: 96}", name="x")
    with pytest.raises(InputError, match=re.escape(said)):
        parse(text.replace(*change))


def test_a_run_directory_does_not_know_where_it_is_run():
    text = SWEEP.format(buckets=DAILY, cluster="", runner="{concurrency: 96}", name="x")
    other = text.replace("raysweep:0.1.0", "raysweep:0.2.0") + "  retries: 1\n"
    assert parse(text).study_text == parse(other).study_text
    assert "cluster" not in parse(text).study_text
    first, _, last = text.partition("cluster:")
    moved = "cluster:" + last + "\n" + first
    assert parse(moved).study_text.split() == first.split()
    plain = first.replace("Head", "Foot")
    assert parse(plain).study_text == plain


NAMES = ["x", "headroom-time-of-day", "Zeit_der.Messung", "9-lives", "a" * 63, "a" * 62 + "b", "x.y", "x_y", "x-y"]


def test_names_are_short_valid_and_different():
    studies = [names.study_name(n) for n in NAMES]
    windows = [names.window_job_name(s, w, dt.date(2026, 11, 24)) for s in studies for w in NAMES]
    assert len(set(studies)) == len(NAMES)
    assert len(set(windows)) == len(windows)
    for name in [*windows, *(names.job_name(s, dt.datetime(2026, 11, 24, 1, 2, 3, tzinfo=dt.UTC)) for s in studies)]:
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
        assert len(name) <= 47, "KubeRay takes no longer name of a RayJob"
    assert all(len(names.window_name(s, w)) <= 36 for s in studies for w in NAMES)
    assert names.window_job_name("study", "night", dt.date(2026, 3, 8)) == "study-20260308-night"


@pytest.mark.parametrize(
    ("moment", "window", "date"),
    [
        ("2026-11-22T21:59:59", "night", None), ("2026-11-22T22:00:00", "night", "2026-11-22"),
        ("2026-11-23T05:59:59", "night", "2026-11-22"), ("2026-11-23T06:00:00", "night", None),
        ("2026-11-23T06:00:00", "day", "2026-11-23"), ("2026-11-24T07:00:00", "day", None),  # a Tuesday
        ("2026-11-24T05:00:00", "night", "2026-11-23"), ("2026-11-22T05:00:00", "night", None),
    ],
)  # fmt: skip
def test_the_date_of_a_window_is_that_on_which_it_opened(moment, window, date):
    buckets = sweep().buckets
    local = dt.datetime.fromisoformat(f"{moment}-08:00")
    (found,) = [w for w in buckets.windows if w.name == window]
    told = names.open_date(buckets, found, local.astimezone(dt.UTC))
    assert (told and told.isoformat()) == date


RAYSWEEP = str(Path(sys.executable).parent / "raysweep")


def told(*words):
    return subprocess.run([RAYSWEEP, "cluster", *map(str, words)], capture_output=True, text=True, check=False)


def test_the_command_prints_what_the_library_renders(tmp_path):
    of = sweep()
    file = tmp_path / "sweep.yaml"
    file.write_text(of.source_text)
    done = told("render", file, "--form", "job")
    assert (done.returncode, list(yaml.safe_load_all(done.stdout))) == (0, render(of, "job"))
    wrong = told("render", file, "--form", "jobs")
    assert (wrong.returncode, "did you mean `job`?" in wrong.stderr) == (2, True)
    file.write_text(of.study_text)
    without = told("render", file)
    assert (without.returncode, "cluster: {image" in without.stderr) == (2, True)
    assert str(file) in without.stderr
