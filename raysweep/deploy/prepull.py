"""A DaemonSet that brings a sweep's images to every sandbox node before the sweep does. Pure.

Each image is an init container that runs the static helper's `true`, so nothing of the image itself is run or needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from raysweep.config.container import Toleration
from raysweep.config.model import Sweep
from raysweep.deploy.names import PART_OF, STUDY, Json, study_name
from raysweep.deploy.pods import HARDENED, PULL, USER
from raysweep.deploy.render import cluster_of

FOLDER = "/helper"
HELPER = f"{FOLDER}/supervisor"
COPY = (
    "import os, platform, shutil; from raysweep.sandbox.supervisor import binary; "
    f"shutil.copyfile(binary(platform.machine()), '{HELPER}'); os.chmod('{HELPER}', 0o555)"
)
LEAST: Json = {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}
"""Of every container: small beside any sandbox, and the same on every node."""


def prepull(sweep: Sweep, images: Sequence[str]) -> Json:
    """The DaemonSet for these images (each once, in this order), on the nodes that `sandbox` selects.

    InputError where the sweep has no `cluster`, whose image brings the helper.
    """
    cluster, sandbox, study = cluster_of(sweep), sweep.sandbox, study_name(sweep.name)
    labels = {PART_OF: "raysweep", STUDY: study, "raysweep.dev/role": "prepull"}
    mount = {"name": "helper", "mountPath": FOLDER}

    def container(name: str, image: str, command: list[str], pull: str, **more: object) -> Json:
        own = {"name": name, "image": image, "command": command, "imagePullPolicy": PULL[pull]}
        return {**own, "resources": LEAST, "securityContext": HARDENED, **more}

    begun = container("helper", cluster.image, ["python3", "-c", COPY], cluster.pull, volumeMounts=[mount])
    pulled = [
        container(f"image-{n}", image, [HELPER, "true"], "missing", volumeMounts=[{**mount, "readOnly": True}])
        for n, image in enumerate(dict.fromkeys(images), 1)
    ]
    secrets = dict.fromkeys((*sandbox.option("pull_secrets", ()), *cluster.pull_secrets))
    tolerations: tuple[Toleration, ...] = sandbox.option("tolerations", ())
    tolerated = [toleration.model_dump(exclude_none=True) for toleration in tolerations]
    selector: dict[str, str] = sandbox.option("node_selector", {})
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": tolerated} if tolerated else {}),
        **({"imagePullSecrets": [{"name": name} for name in secrets]} if secrets else {}),
        "initContainers": [begun, *pulled],
        "containers": [container("done", cluster.image, ["sleep", "infinity"], cluster.pull)],
        "volumes": [{"name": "helper", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": f"{study}-prepull", "namespace": sandbox.option("namespace", "default"), "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
