"""What a sandbox's containers may do: capability profiles and the rest of the hardening, the same in every arm."""

from __future__ import annotations

from typing import Any

PACKAGE_INSTALL = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "SETPCAP", "SETFCAP", "KILL", "NET_BIND_SERVICE",
    "SYS_CHROOT",
)  # fmt: skip
"""What chown, su, chroot, apt and dpkg need; all of it passes Pod Security's level `baseline`."""

CAPABILITIES: dict[str, tuple[str, ...]] = {"package-install": PACKAGE_INSTALL, "strict": ()}
"""Capabilities that are added, after all were dropped, by the name of the profile."""


def security_context(profile: str) -> dict[str, Any]:
    """A container's securityContext; KeyError for a profile that does not exist.

    Root whatever the image's USER is: task files, /logs and the supervisor's spool are root's, as in Harbor.
    allowPrivilegeEscalation false sets no_new_privs: setuid programs such as sudo stay without effect.
    """
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    added = CAPABILITIES[profile]
    if added:
        capabilities["add"] = list(added)
    return {"runAsUser": 0, "runAsGroup": 0, "allowPrivilegeEscalation": False, "capabilities": capabilities}


def hardening() -> dict[str, Any]:
    """Fields of a pod's spec that keep the cluster out of its reach.

    No token of the API server, no list of the namespace's services in the environment, the runtime's own seccomp
    filter, and process namespaces of its own for each container: with a shared one root in the task could end the
    keeper.
    """
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
