"""Sandboxes as pods of a Kubernetes cluster.

Belongs here: talking to the API server, pods as values, watching, making and removing them, and the doctor's checks of
a cluster. Not here: what happens inside a container (raysweep.sandbox.supervised), tasks, agents, and the judgement of
evidence.
"""
