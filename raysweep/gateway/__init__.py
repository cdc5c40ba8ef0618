"""The recording pass-through between agents and model APIs: one per runner, a token per attempt, every call a record.

The real key is put in here, on the way; agents and sandboxes only ever have the token, which dies with the attempt.
Belongs here: serving calls, reading what passes, limits on calls, sums over an attempt's calls. Does not: what an
attempt counts as (trial.classify) and what agents do with a model (agent).
"""

from raysweep.gateway.server import Gateway, ModelAccess

__all__ = ["Gateway", "ModelAccess"]
