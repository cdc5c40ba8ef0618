"""Small pods for tests that need a pod and no sandbox."""


def small_pod(cluster, name, labels, *, command=("sleep", "600"), **spec):
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "task",
                    "image": cluster.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
                }
            ],
            **spec,
        },
    }


def runs(seen):
    return seen.pod["status"].get("phase") == "Running"
