"""A run directory in a bucket of S3 or Google Cloud Storage, or of a store that speaks their protocols.

Every write is one request of the whole blob, so nothing is ever seen torn; new names are taken with create-only
requests (If-None-Match: *), and the lock with conditional ones (If-Match). Reads go through the same client: it takes
about half the time of pyarrow.fs (benchmarks/results/ledger.txt), with one set of credentials.
Credentials, region and endpoint come from the environment as their SDKs read them (AWS_ACCESS_KEY_ID, AWS_REGION,
AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS or the machine's own account).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any

from raysweep.errors import InputError, bad_input

_log = logging.getLogger(__name__)

RETRY_S = 120.0
"""How long a request is tried again while the store does not answer (or answers 5xx)."""
RETRIES = 60
"""A bound far beyond what fits into RETRY_S with pauses of up to BACKOFF_S."""
BACKOFF_S = 5.0

BROKEN_S = 0.5
"""Pause after a connection that broke."""
_REFUSED = "non-2xx status"
"""In the message of an answer that was an error, which the client has tried again as often as makes sense."""


class ObjectStore:
    """Blobs under a URL such as "s3://bucket/prefix"; see Store."""

    def __init__(self, url: str, retry_s: float = RETRY_S) -> None:
        self._url = url.rstrip("/")
        self._google = url.startswith("gs:")
        self._retry_s = retry_s

    @property
    def where(self) -> str:
        """As Store.where."""
        return self._url

    @cached_property
    def _store(self) -> Any:
        from obstore.store import from_url  # noqa: PLC0415 - the command line starts without it

        options: dict[str, Any] = {
            "retry_config": {
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=self._retry_s),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=BACKOFF_S),
                    "base": 2,
                },
            },
        }
        if any(os.environ.get(k, "").startswith("http://") for k in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")):
            options["client_options"] = {"allow_http": True}
        return from_url(self._url, **options)

    def put_new(self, name: str, data: bytes) -> None:
        """As Store.put_new. A taken name with the same bytes is our own write, whose answer was lost."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(name), self._found_bucket(name):
            try:
                self._put(name, data, "create")
            except obstore.exceptions.AlreadyExistsError:
                if self.get(name) != data:
                    raise FileExistsError(f"{self._url}/{name}") from None

    def replace(self, name: str, data: bytes) -> None:
        """As Store.replace."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(name), self._found_bucket(name):
            obstore.put(self._store, name, data, use_multipart=False)

    def swap(self, name: str, data: bytes, tag: str | None) -> str | None:
        """Write where the blob's version still is `tag` (None: where there is none); the new tag, None if it is not.

        What is written must be like no other write, so that one whose answer was lost is known again.
        """
        import obstore  # noqa: PLC0415 - as above

        mode: Any = "create" if tag is None else {"version" if self._google else "e_tag": tag}
        with self._named(name):
            try:
                put = self._put(name, data, mode)
            except (
                obstore.exceptions.AlreadyExistsError,
                obstore.exceptions.PreconditionError,
                FileNotFoundError,
            ):
                seen = self.get_tagged(name)
                return seen[1] if seen is not None and seen[0] == data else None
        return self._tag(put)

    def _put(self, name: str, data: bytes, mode: Any) -> Any:
        """A conditional PUT, tried again where the connection broke in the middle of it.

        The client itself does not, because it cannot know whether the first one was done; callers here find out by what
        is stored.
        """
        import obstore  # noqa: PLC0415 - as above

        until = time.monotonic() + self._retry_s
        while True:
            try:
                return obstore.put(self._store, name, data, mode=mode, use_multipart=False)
            except obstore.exceptions.GenericError as error:
                if _REFUSED in str(error) or time.monotonic() >= until:
                    raise
                _log.warning("writing %s again in %.1f s: %s", name, BROKEN_S, error)
                time.sleep(BROKEN_S)

    def get(self, name: str) -> bytes:
        """As Store.get."""
        found = self.get_tagged(name)
        if found is None:
            raise FileNotFoundError(f"{self._url}/{name}")
        return found[0]

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """The blob and the tag of this version; None when there is none."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(name):
            try:
                found = obstore.get(self._store, name)
                return found.bytes().to_bytes(), self._tag(found.meta)
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """As Store.names."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(folder), self._found_bucket(folder):
            found = obstore.list_with_delimiter(self._store, folder or None)["objects"]
        # Some servers list the folder itself as an object.
        paths = [str(o["path"]) for o in found]
        return sorted(p.rpartition("/")[2] for p in paths if p not in {"", folder})

    def exists(self, name: str) -> bool:
        """As Store.exists."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(name):
            try:
                obstore.head(self._store, name)
            except FileNotFoundError:
                return False
            return True

    def remove(self, name: str) -> None:
        """As Store.remove."""
        import obstore  # noqa: PLC0415 - as above

        with self._named(name):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def regroup(self, folder: str, without: Collection[str], bring: Collection[str]) -> None:
        """As Store.regroup: a bucket changes one name at a time."""

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Turn what the store refuses into InputError with the object and the remedy."""
        import obstore  # noqa: PLC0415 - as above

        try:
            yield
        except (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError) as error:
            remedy = "give the credentials in use the right to get, put, list and delete there"
            raise self._problem(name, error, remedy) from error
        except obstore.exceptions.BaseError as error:
            remedy = "see that the bucket, region, endpoint and credentials are right and that the store answers"
            raise self._problem(name, error, remedy) from error

    @contextmanager
    def _found_bucket(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self._problem(name, error, "make the bucket, or correct its name") from error

    def _problem(self, name: str, error: Exception, remedy: str) -> InputError:
        told = str(error).partition("\n")[0].strip()
        remedy = f"{remedy}; what is sealed is kept, and the same command resumes"
        return bad_input(told, remedy, file=f"{self._url}/{name}")

    def _tag(self, told: Any) -> str:
        """What identifies a version in conditions: the generation in Google Cloud Storage, else the ETag."""
        return str(told["version" if self._google else "e_tag"])
