"""What ends with a driver: the retries of its RayJob where they cannot help, the schedules of a finished study."""

from __future__ import annotations

from collections.abc import Mapping

from raysweep.deploy.client import Cluster
from raysweep.deploy.names import STUDY

CLUSTER_NAME = "RAY_CLUSTER_NAME"
"""Variable in which KubeRay tells a head the name of its RayCluster."""


def end_retries(cluster: Cluster, environ: Mapping[str, str]) -> str | None:
    """Let the RayJob of this very driver begin no further Ray cluster; its name, None where it belongs to none.

    KubeRay retries whatever failed, by `backoffLimit` as it stands when the job fails; it knows no exit codes.
    """
    name = environ.get(CLUSTER_NAME)
    if not name:
        return None
    owners = cluster.get("RayCluster", name)["metadata"].get("ownerReferences") or ()
    job = next((str(owner["name"]) for owner in owners if owner["kind"] == "RayJob"), None)
    if job is not None:
        cluster.merge("RayJob", job, {"spec": {"backoffLimit": 0}})
    return job


def suspend_schedules(cluster: Cluster, study: str) -> list[str]:
    """Suspend the CronJobs of a study, until it is applied again; the names of those that were not."""
    begun = [one for one in cluster.find("CronJob", f"{STUDY}={study}") if not one["spec"].get("suspend")]
    names = [str(one["metadata"]["name"]) for one in begun]
    for name in names:
        cluster.merge("CronJob", name, {"spec": {"suspend": True}})
    return names
