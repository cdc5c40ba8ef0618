"""The gateway under OpenAI's own client library: what users' agents are made of."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from raysweep.config.apis import ModelApi
from raysweep.gateway import Gateway
from raysweep.testing.model_server import Conditions, ModelServer
from raysweep.testing.model_wire import Reply

OFFSET = time.time() - time.monotonic()
ASK = [{"role": "user", "content": "say it"}]
TOOL = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}


@pytest.fixture
def server():
    with ModelServer(lambda p: Reply("all right", command="ls -l /app" if p.tools else None)) as running:
        yield running


@pytest.fixture
async def access(server):
    gateway = Gateway()
    attempt, given = await gateway.admit("a", ModelApi(protocol="openai", base_url=server.url), OFFSET)
    async with openai.AsyncOpenAI(base_url=f"{given.base_url}/v1", api_key=given.token, max_retries=0) as client:
        yield client, attempt, gateway
    await gateway.close()


async def test_chat_completions_whole_and_as_a_stream_with_a_tool(access, server):
    client, attempt, _ = access
    whole = await client.chat.completions.create(model="m", messages=ASK)
    assert whole.choices[0].message.content == "all right"
    stream = await client.chat.completions.create(model="m", messages=ASK, tools=[TOOL], stream=True)
    chunks = [chunk async for chunk in stream]
    calls = [c.choices[0].delta.tool_calls for c in chunks if c.choices and c.choices[0].delta.tool_calls]
    assert "".join(part.function.arguments or "" for parts in calls for part in parts) == '{"command": "ls -l /app"}'
    assert [c.finish for c in attempt.calls] == ["stop", "tool_calls"]
    assert sum(c.tokens_out for c in attempt.calls) == sum(c.tokens_out for c in server.calls)


async def test_responses_whole_and_as_a_stream(access, server):
    client, attempt, _ = access
    whole = await client.responses.create(model="m", input="say it")
    assert whole.output_text == "all right"
    events = [event async for event in await client.responses.create(model="m", input="say it", stream=True)]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "all right"
    assert [c.finish for c in attempt.calls] == ["completed", "completed"]
    assert sum(c.tokens_in for c in attempt.calls) == sum(c.tokens_in for c in server.calls)


async def test_its_errors_are_the_api_s_own(access, server):
    client, attempt, gateway = access
    server.conditions = Conditions(fail=[429, 500])
    with pytest.raises(openai.RateLimitError, match="scripted 429"):
        await client.chat.completions.create(model="m", messages=ASK)
    with pytest.raises(openai.InternalServerError, match="scripted 500"):
        await client.chat.completions.create(model="m", messages=ASK)
    server.conditions = Conditions(drop=1)
    with pytest.raises(httpx.RemoteProtocolError):
        _ = [c async for c in await client.chat.completions.create(model="m", messages=ASK, stream=True)]
    await gateway.dismiss(attempt)
    with pytest.raises(openai.AuthenticationError, match="no such attempt"):
        await client.chat.completions.create(model="m", messages=ASK)
    assert [c.failure for c in attempt.calls] == ["rate_limited", "down", "down"]


async def test_the_client_s_own_retries_are_calls_of_their_own(access, server):
    client, attempt, _ = access
    server.conditions = Conditions(fail=[429, 503], retry_after="0")
    answer = await client.with_options(max_retries=2).chat.completions.create(model="m", messages=ASK)
    assert answer.choices[0].message.content == "all right"
    assert [c.status for c in attempt.calls] == [429, 503, 200]
    assert attempt.facts().last_failure is None
