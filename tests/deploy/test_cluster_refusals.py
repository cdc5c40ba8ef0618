"""What the API server refuses is told as what it is."""

import json

import pytest

from raysweep.deploy import client


@pytest.mark.parametrize(
    ("status", "message", "said", "remedy"),
    [
        (401, "Unauthorized", "the cluster does not accept the credentials (401): Unauthorized", client.LOG_IN),
        (403, "rayjobs is forbidden", "the account lacks a right (403): rayjobs is forbidden", client.BASE),
        (404, 'namespaces "raysweep" not found', 'the cluster refused: namespaces "raysweep" not found', client.BASE),
        (404, "the server could not find it", "the cluster refused: the server could not find it", client.OPERATOR),
        (422, "bad", "the cluster refused: bad", "see the message"),
    ],
)
def test_a_refusal_says_whose_it_is_and_what_helps(status, message, said, remedy):
    error = client._refused(status, json.dumps({"reason": "R", "message": message}).encode())
    assert (str(error), error.status, client.remedy(error, ["RayJob"])) == (said, status, remedy)


def test_an_answer_that_is_no_status_is_shown_as_it_came():
    error = client._refused(502, b"<html>bad gateway</html>")
    assert str(error) == "the cluster refused: <html>bad gateway</html>"
    assert error.status == 502
