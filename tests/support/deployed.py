"""cluster/base under names of a test's own, and kubectl as a function."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONTROL, SANDBOXES = "raysweep", "raysweep-sandboxes"
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding"}


def kubectl(*words, given=None, check=True):
    """Output of kubectl with the administrator's kubeconfig."""
    text = json.dumps(given) if given is not None else None
    done = subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"kubectl {' '.join(words)}: {done.stderr}"
    return done.stdout if check else done


def built(folder):
    """What `kubectl kustomize` makes of a folder of cluster/."""
    return list(yaml.safe_load_all(kubectl("kustomize", str(ROOT / "cluster" / folder))))


@dataclass(frozen=True)
class Place:
    """Two namespaces that stand for raysweep and raysweep-sandboxes; `mark` makes names of the whole cluster unique."""

    control: str
    sandboxes: str
    mark: str

    def moved(self, manifests):
        """The manifests as they are in this place; PriorityClasses are of the whole cluster, and always the same."""
        return [m if m["kind"] == "PriorityClass" else self._moved(m) for m in manifests]

    def _moved(self, manifest):
        told = json.loads(json.dumps(manifest).replace(f'"{SANDBOXES}"', f'"{self.sandboxes}"'))
        if told["kind"] == "Namespace":
            told["metadata"]["name"] = {CONTROL: self.control}.get(told["metadata"]["name"], self.sandboxes)
        for holder in (told["metadata"], *told.get("subjects", ())):
            if holder.get("namespace") == CONTROL:
                holder["namespace"] = self.control
        if told["kind"] in CLUSTER_WIDE:
            told["metadata"]["name"] += self.mark
        if told.get("roleRef", {}).get("kind") in CLUSTER_WIDE:
            told["roleRef"]["name"] += self.mark
        return told


def apply(manifests, *options):
    """Server-side apply with strict validation of all manifests; one line for each."""
    many = {"apiVersion": "v1", "kind": "List", "items": manifests}
    words = ("apply", "--server-side", "--validate=strict", "--force-conflicts", *options, "-f", "-")
    return kubectl(*words, given=many).splitlines()


def reviewed(place, account, namespace):
    """Rights of an account in a namespace as (group, resource): verbs; without what every account has."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    user = f"--as=system:serviceaccount:{place.control}:{account}"
    status = json.loads(kubectl("create", user, "--validate=false", "-o", "json", "-f", "-", given=review))["status"]
    assert not status.get("incomplete")
    rights: dict[tuple[str, str], set[str]] = {}
    for rule in status["resourceRules"]:
        for group in set(rule["apiGroups"]) - {"authorization.k8s.io", "authentication.k8s.io"}:
            for resource in rule["resources"]:
                rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights


def has_cluster():
    """Whether $KUBECONFIG names a cluster."""
    return bool(os.environ.get("KUBECONFIG"))
