"""Sandboxes in containers of a Docker Engine (Docker Desktop, Linux, podman's socket), over the Engine API.

Belongs here: finding and asking the engine, images, containers, their leftovers, and what the engine enforces. The
supervisor inside and its client are `sandbox.supervised`'s; nothing of Kubernetes belongs here.
"""
