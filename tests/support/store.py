"""An S3-compatible server in the cluster: SeaweedFS of the dev dependencies, its binary mounted from this machine."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from pathlib import Path

from support.deployed import kubectl

WEED = str(Path(sys.executable).parent / "weed")
PORT = 8333
BUCKET = "runs"
PATIENCE_S = 300.0


def start(namespace, image):
    """Environment by which clients in pods and on this machine reach the bucket; the pod goes with its namespace."""
    command = [
        "/weed", "server", "-dir=/data", "-ip=127.0.0.1", "-ip.bind=0.0.0.0", "-s3", f"-s3.port={PORT}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.minFreeSpace=1MiB",
    ]  # fmt: skip
    container = {
        "name": "weed",
        "image": image,
        "imagePullPolicy": "Never",
        "command": command,
        "volumeMounts": [{"name": "weed", "mountPath": "/weed"}, {"name": "data", "mountPath": "/data"}],
    }
    volumes = [
        {"name": "weed", "hostPath": {"path": WEED, "type": "File"}},
        {"name": "data", "emptyDir": {}},
    ]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    metadata = {"name": "store", "namespace": namespace}
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    kubectl("wait", "pod/store", "-n", namespace, "--for=condition=Ready", f"--timeout={PATIENCE_S:g}s")
    pod = json.loads(kubectl("get", "pod", "store", "-n", namespace, "-o", "json"))
    url = f"http://{pod['status']['podIP']}:{PORT}"
    until = time.monotonic() + PATIENCE_S
    while not _writable(url):
        assert time.monotonic() < until, kubectl("logs", "store", "-n", namespace)
        time.sleep(0.5)
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
    }


def _writable(url):
    with contextlib.suppress(OSError):
        _put(f"{url}/{BUCKET}")
    try:
        _put(f"{url}/{BUCKET}/is-it-writable")
    except OSError:
        return False
    return True


def _put(url):
    request = urllib.request.Request(url, data=b"x", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
