"""A run's ledger as a Ray Dataset, in batch and while it grows; and the source of new rows that both views rest on.

Belongs here: what follows a ledger (cursor, follow, ending: no Ray) and Ray's views of it (datasource, view). Does not:
what rows mean, or any statistics. `import raysweep.dataset` starts nothing and imports no Ray.
"""

from raysweep.dataset.view import read, stream

__all__ = ["read", "stream"]
