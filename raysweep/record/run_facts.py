"""What run.json says: the identity of a run, and what the analysis must know of its sweep.

Belongs here: the one model of run.json, which everything that writes or reads it goes through. Does not: how the values
come out of a config (raysweep.study.directory).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from raysweep.errors import InputError, bad_input
from raysweep.record.store import Store
from raysweep.record.versions import refuse_newer_run

FILE = "run.json"


class _Facts(BaseModel):
    """Keys of later versions are kept; a key that is not in the file is not written either."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def as_json(self) -> dict[str, Any]:
        """The keys that were stated, as JSON has them."""
        return self.model_dump(mode="json", exclude_unset=True)


class RunIdentity(_Facts):
    """Which run it is.

    created: when it was made, seconds since the epoch. schema_version: of the ledger's columns as they were then.
    min_reader: see raysweep.record.versions.
    """

    run_id: str
    plan_id: str
    created: float
    schema_version: int | None = None
    min_reader: int | None = None


class SweepFacts(_Facts):
    """What the analysis must know of the sweep; earlier versions did not state all of it.

    bucket_hours: hour of the day at the middle of each bucket, empty where a date is no day. concurrency: most trials
    at once. pids: most processes inside a sandbox. network: which tasks have network. sandbox: its kind. factors:
    reference and levels of each swept factor besides the band.
    """

    name: str
    seed: int
    reference: str
    bands: tuple[str, ...]
    models: tuple[str, ...]
    buckets: tuple[str, ...]
    dates: int | None = None
    repeats: int | None = None
    timezone: str | None = None
    period_hours: float | None = None
    bucket_hours: tuple[float, ...] | None = None
    concurrency: int | None = None
    pids: int | None = None
    network: str | None = None
    sandbox: str | None = None
    factors: Mapping[str, Mapping[str, Any]] | None = None


class RunFacts(SweepFacts, RunIdentity):
    """Everything that run.json says."""

    @classmethod
    def begin(cls, identity: RunIdentity, sweep: SweepFacts) -> Self:
        """Those of a new run."""
        return cls(**identity.as_json(), **sweep.as_json())

    @classmethod
    def from_json(cls, data: bytes, file: str) -> Self:
        """Those that the bytes of run.json state.

        Args:
            data: the file.
            file: where it is, for the message.

        Raises:
            InputError: it is damaged, or needs a newer raysweep.

        """
        try:
            stated = json.loads(data)
        except ValueError as error:
            raise _broken(file, str(error)) from error
        if not isinstance(stated, dict):
            raise _broken(file, "not an object")
        refuse_newer_run(stated, file)
        try:
            return cls(**stated)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise _broken(file, f"{key}: {first['msg'].lower()}") from error

    def to_json(self) -> bytes:
        """The bytes of run.json; those of a run of an earlier version are what that version wrote."""
        return json.dumps(self.as_json(), indent=1).encode()


def read_facts(store: Store, where: str | None = None) -> RunFacts:
    """What run.json in `store` says; InputError where it is missing or damaged, or needs a newer raysweep.

    where: what to call the run directory in a message, its place where left out.
    """
    file = f"{where or store.where}/{FILE}"
    try:
        data = store.get(FILE)
    except FileNotFoundError:
        raise bad_input("this part of the run directory is missing", "restore it from a copy", file=file) from None
    return RunFacts.from_json(data, file)


def _broken(file: str, why: str) -> InputError:
    return bad_input(f"this part of the run directory cannot be read ({why})", "restore it from a copy", file=file)
