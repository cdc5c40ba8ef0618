"""What KubeRay's operator makes of a RayJob, without the operator: head with the submitting container, runners, token.

As in its sources (1.7): `ray start` is made of rayStartParams and run by bash under a raised limit of files, runners
wait for the head, the token comes from a Secret, the job is submitted by a second container of the head.
"""

from __future__ import annotations

import copy
import json

from support.deployed import kubectl

BASH = ["/bin/bash", "-c", "--"]
FILES = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
DASHBOARD = "http://127.0.0.1:8265"
ASK = f"import urllib.request as r; exit(b'success' not in r.urlopen('{DASHBOARD}/api/gcs_healthz').read())"
HEALTHY = f'python -c "{ASK}"'


def token_secret(namespace, name):
    """A Secret such as the operator makes for `authOptions: {mode: token}`."""
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    return {**manifest, "stringData": {"auth_token": "0123456789abcdef" * 4}}


def head_service(namespace, name):
    """The service by which runners find the head."""
    spec = {"clusterIP": "None", "selector": {"ray.io/cluster": name, "ray.io/node-type": "head"}}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{name}-head", "namespace": namespace}}
    return {**manifest, "spec": spec | {"ports": [{"name": "gcs", "port": 6379}]}}


def pods(job):
    """Head and runners of a RayJob as plain pods, all that its autoscaler could ask for."""
    spec = job["spec"]["rayClusterSpec"]
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    head, group = spec["headGroupSpec"], spec["workerGroupSpecs"][0]
    made = _pod(name, namespace, "head", head["template"])
    start = f"ray start --head --metrics-export-port=8080 --block {_flags(head['rayStartParams'])}"
    _ray_container(made, name, f"{FILES}; {start}")
    submitting = copy.deepcopy(made["spec"]["containers"][0])
    submit = f"ray job submit --address {DASHBOARD} --submission-id {name} -- {job['spec']['entrypoint']}"
    submitting |= {"name": "ray-job-submitter", "args": [f"until {HEALTHY} 2>/dev/null; do sleep 2; done; {submit}"]}
    for key in ("ports", "envFrom", "resources", "volumeMounts", "securityContext"):
        submitting.pop(key, None)
    made["spec"]["containers"].append(submitting)
    yield made
    address = f"{name}-head.{namespace}.svc:6379"
    for number in range(group["maxReplicas"]):
        made = _pod(name, namespace, "worker", group["template"], f"-{number}")
        wait = f"until ray health-check --address {address} >/dev/null 2>&1; do sleep 2; done"
        start = f"ray start --address={address} --metrics-export-port=8080 --block {_flags(group['rayStartParams'])}"
        _ray_container(made, name, f"{FILES}; {wait}; {start}")
        yield made


def _flags(parameters):
    return " ".join(f"--{key}={value}" for key, value in parameters.items())


def _pod(name, namespace, kind, template, suffix=""):
    labels = {**template["metadata"]["labels"], "ray.io/cluster": name, "ray.io/node-type": kind}
    metadata = {**template["metadata"], "name": f"{name}-{kind}{suffix}", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def _ray_container(pod, secret, line):
    container = pod["spec"]["containers"][0]
    container |= {"command": BASH, "args": [line]}
    container["env"] += [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "auth_token"}}},
    ]


def start(job):
    """Make all of it in the cluster."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    objects = [token_secret(namespace, name), head_service(namespace, name), *pods(job)]
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": objects})


def mend(job):
    """Make again what ended without the job's doing: Ray gives a node 30 s to start, which slow machines may miss."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    listed = json.loads(kubectl("get", "pods", "-n", namespace, "-l", f"ray.io/cluster={name}", "-o", "json"))["items"]
    lost = {pod["metadata"]["name"] for pod in listed if _ray_ended(pod)}
    for pod in pods(job):
        if pod["metadata"]["name"] in lost:
            words = ("-n", namespace, "--grace-period=0", "--force", "--wait=true")
            kubectl("delete", "pod", pod["metadata"]["name"], *words)
            kubectl("create", "-f", "-", given=pod)


def _ray_ended(pod):
    states = {c["name"]: c["state"] for c in pod["status"].get("containerStatuses", ())}
    return any("terminated" in states.get(name, {}) for name in ("ray-head", "ray-worker"))


def submitter_code(job):
    """Exit code of the container by which the job was submitted; None while there is none."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    listed = json.loads(kubectl("get", "pods", "-n", namespace, "-l", f"ray.io/cluster={name}", "-o", "json"))["items"]
    for pod in listed:
        for status in pod["status"].get("containerStatuses", ()):
            if status["name"] == "ray-job-submitter" and "terminated" in status["state"]:
                return status["state"]["terminated"]["exitCode"]
    return None


def finish(job, status):
    """Say that the job ended so, and take its cluster away, as the operator does."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    kubectl(
        "delete", "pod", "-n", namespace, "-l", f"ray.io/cluster={name}", "--grace-period=0", "--force", "--wait=true"
    )
    told = json.dumps({"status": {"jobDeploymentStatus": status}})
    kubectl("patch", "rayjob", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", told)
