"""Sandboxes whose container runs raysweep's own supervisor as process 1; what pods and Docker share.

Belongs here: the supervisor's client and the sandbox made of a `Container`. How a container is made, reached, looked
at and removed is a backend's own business.
"""
