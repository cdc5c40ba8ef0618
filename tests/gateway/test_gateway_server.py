"""The gateway between real HTTP clients and a scripted model server: what passes, what is recorded, what is refused."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time

import aiohttp
import pytest

from raysweep.config.apis import Connections, ModelApi, Prices
from raysweep.errors import InputError
from raysweep.gateway import Gateway
from raysweep.testing.model_server import Conditions, ModelServer
from raysweep.testing.model_wire import Reply

KEY = "the-real-key"
BODIES = {
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "say it"}]},
    "/v1/responses": {"model": "m", "input": "say it"},
    "/v1/messages": {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "say it"}]},
}
LONG = "word " * 100
OFFSET = time.time() - time.monotonic()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    with ModelServer(lambda _: Reply(LONG)) as running:
        yield running


def api(server, **keys):
    protocol = keys.pop("protocol", "openai")
    return ModelApi(protocol=protocol, base_url=keys.pop("base_url", server.url), key_env="THE_KEY", **keys)


@pytest.fixture
async def gateway():
    running = Gateway()
    yield running
    await running.close()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def post(access, path, body, header="Authorization"):
    headers = {header: f"Bearer {access.token}" if header == "Authorization" else access.token}
    async with (
        aiohttp.ClientSession() as session,
        session.post(access.base_url + path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", BODIES)
async def test_a_call_passes_and_its_record_equals_what_the_server_did(server, gateway, path, stream):
    protocol = "anthropic" if path == "/v1/messages" else "openai"
    attempt, access = await gateway.admit("a", api(server, protocol=protocol), OFFSET)
    status, text = await post(access, path, {**BODIES[path], "stream": stream})
    assert status == 200
    assert "word" in text
    (served,) = server.calls
    (call,) = attempt.calls
    assert served.key == KEY
    assert (call.status, call.failure, call.model, call.model_named, call.stream) == (200, None, "m", "m", stream)
    assert (call.tokens_in, call.tokens_out, call.tokens_cached) == (
        served.tokens_in,
        served.tokens_out,
        served.tokens_cached,
    )
    assert call.request_id == served.id
    assert call.finish is not None
    assert (call.first_token is not None) == stream
    assert call.began <= call.first_byte <= call.ended
    assert abs(call.ended - served.ended) < 30  # the same clock: not monotonic seconds


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "api-key"])
async def test_the_token_counts_wherever_clients_put_their_key(server, gateway, header):
    _, access = await gateway.admit("a", api(server), OFFSET)
    status, _ = await post(access, "/v1/responses", BODIES["/v1/responses"], header)
    assert status == 200


async def test_a_token_opens_nothing_but_calls_of_models(server, gateway):
    _, access = await gateway.admit("a", api(server), OFFSET)
    for path in ("/v1/files", "/v1/organization/admin_api_keys", "/v1/messages/batches", "/v1/../v1/files"):
        status, _ = await post(access, path, {})
        assert status == 404
    assert server.calls == []


async def test_an_unknown_or_ended_token_is_refused(server, gateway):
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    await gateway.dismiss(attempt)
    status, text = await post(access, "/v1/responses", BODIES["/v1/responses"])
    assert status == 401
    assert "no such attempt" in text
    assert server.calls == []
    assert attempt.calls == []


async def test_the_end_of_an_attempt_cuts_its_open_calls(server, gateway):
    server.conditions = Conditions(silent=True)
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    calling = asyncio.ensure_future(post(access, "/v1/responses", BODIES["/v1/responses"]))
    await until(lambda: server.calls)
    await gateway.dismiss(attempt)
    with pytest.raises(aiohttp.ClientError):
        await calling
    (call,) = attempt.calls
    assert call.failure == "cut"
    assert call.usd is None


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (429, "rate_limited"),
        (529, "rate_limited"),
        (500, "down"),
        (504, "timed_out"),
        (401, "refused"),
        (400, "bad_request"),
    ],
)
async def test_errors_pass_as_they_are_with_their_words(server, gateway, status, failure):
    server.conditions = Conditions(fail=[status], retry_after="7")
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    assert (await post(access, "/v1/responses", BODIES["/v1/responses"]))[0] == status
    (call,) = attempt.calls
    assert (call.status, call.failure, call.error) == (status, failure, f"scripted {status}")
    assert call.retry_after == ("7" if status == 429 else None)
    assert call.usd == 0.0


@pytest.mark.parametrize("path", BODIES)
async def test_a_broken_stream_is_passed_on_as_broken(server, gateway, path):
    server.conditions = Conditions(drop=1)
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    with pytest.raises(aiohttp.ClientError):
        await post(access, path, {**BODIES[path], "stream": True})
    await until(lambda: not attempt.open)
    (call,) = attempt.calls
    assert call.failure == "down"
    assert call.first_byte is not None


async def test_an_api_that_is_not_there_is_down(server, gateway):
    attempt, access = await gateway.admit("a", api(server, base_url="http://127.0.0.1:9"), OFFSET)
    status, _ = await post(access, "/v1/responses", BODIES["/v1/responses"])
    assert status == 502
    assert attempt.calls[0].failure == "down"


async def test_an_api_that_is_silent_has_timed_out(server, gateway):
    server.conditions = Conditions(silent=True)
    attempt, access = await gateway.admit("a", api(server, silence_timeout="200ms"), OFFSET)
    status, _ = await post(access, "/v1/responses", BODIES["/v1/responses"])
    assert status == 504
    assert attempt.calls[0].failure == "timed_out"


async def test_an_agent_that_hangs_up_is_cut_and_nothing_goes_on(server, gateway):
    server.conditions = Conditions(per_event_s=0.05)
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {access.token}"}
        body = {**BODIES["/v1/chat/completions"], "stream": True}
        async with session.post(access.base_url + "/v1/chat/completions", json=body, headers=headers) as answer:
            await answer.content.readline()
    await until(lambda: not attempt.open)
    (call,) = attempt.calls
    assert call.failure == "cut"
    assert not server.calls[0].whole


async def test_calls_in_flight_stay_within_the_api_s_limit(server, gateway):
    server.conditions = Conditions(latency_s=0.05)
    limited = api(server, connections=Connections(start=2, most=2))
    attempt, access = await gateway.admit("a", limited, OFFSET)
    await asyncio.gather(*(post(access, "/v1/responses", BODIES["/v1/responses"]) for _ in range(8)))
    spans = sorted((c.began, c.ended) for c in server.calls)
    most = max(sum(began <= at < ended for began, ended in spans) for at, _ in spans)
    assert most == 2
    assert max(c.queued_s for c in attempt.calls) >= 0.1


async def test_a_money_bound_holds_by_the_server_s_own_count_with_sixteen_calls_in_flight(server, gateway):
    prices = {"m": Prices(input=100.0, output=1000.0)}
    attempt, access = await gateway.admit("a", api(server, prices=prices), OFFSET, most_usd=1.0)
    body = {**BODIES["/v1/messages"], "max_tokens": 130}
    for _ in range(4):
        answers = await asyncio.gather(*(post(access, "/v1/messages", body) for _ in range(16)))
    assert {status for status, _ in answers} == {402}
    spent = sum(c.tokens_in * 100 + c.tokens_out * 1000 for c in server.calls if c.status == 200) / 1e6
    assert 0.7 < spent <= 1.0
    facts = attempt.facts()
    assert facts.usd == pytest.approx(spent)
    assert facts.errors["over_budget"] + len(server.calls) == 64


async def test_a_money_bound_refuses_models_without_a_price(server, gateway):
    attempt, access = await gateway.admit("a", api(server), OFFSET, most_usd=1.0)
    status, text = await post(access, "/v1/responses", BODIES["/v1/responses"])
    assert status == 402
    assert "do not name the model 'm'" in text
    assert server.calls == []
    assert attempt.calls[0].failure == "over_budget"


async def test_a_silent_change_of_the_model_is_recorded(server, gateway):
    server.conditions = Conditions(named="m-mini")
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    await post(access, "/v1/chat/completions", {**BODIES["/v1/chat/completions"], "stream": True})
    assert attempt.facts().models_named == ("m-mini",)


async def test_bodies_that_are_no_json_pass_unchanged(server, gateway):
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {access.token}"}
        async with session.post(access.base_url + "/v1/responses", data=b"\x00no json", headers=headers) as answer:
            assert answer.status == 500  # the server's own judgement
    assert attempt.calls[0].failure == "down"


async def test_a_key_that_is_not_there_is_bad_input_that_names_the_variable(server, gateway, monkeypatch):
    monkeypatch.delenv("THE_KEY")
    with pytest.raises(InputError, match="THE_KEY"):
        await gateway.admit("a", api(server), OFFSET)


async def test_nothing_that_an_agent_gets_or_a_record_holds_has_the_key(server, gateway):
    attempt, access = await gateway.admit("a", api(server), OFFSET)
    status, text = await post(access, "/v1/messages", BODIES["/v1/messages"])
    assert status == 200
    assert KEY not in text + repr(access) + repr(attempt) + json.dumps([repr(c) for c in attempt.calls])


def test_the_server_of_the_bundled_tasks_says_where_it_answers_and_ends_when_told(tmp_path):
    command = [sys.executable, "-m", "raysweep.testing.headroom_model", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_port_that_is_taken_is_told(server):
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "raysweep.testing.headroom_model", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be had" in done.stderr
