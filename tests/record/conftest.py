"""The S3 server that the tests of runs in a bucket share."""

from __future__ import annotations

import itertools

import pytest

from support.s3_server import BUCKET, Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """One server for the session, with its clients' environment set."""
    server = Server(tmp_path_factory.mktemp("s3"))
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.kill()


@pytest.fixture
def bucket(s3_server):
    """URL of a prefix that no other test uses."""
    return f"s3://{BUCKET}/test-{next(_numbers)}"
