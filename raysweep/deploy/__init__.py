"""A sweep on Kubernetes: its manifests as plain values, and the few calls that bring them to an API server.

Belongs here: what head, runners and submitters are made of, schedules, names. Does not: sandboxes (raysweep.sandbox),
accounts and policies (cluster/base, which whoever owns the cluster applies), anything that runs trials.
"""

from raysweep.deploy.render import FORMS, Form, default_form, render

__all__ = ["FORMS", "Form", "default_form", "render"]
