"""Model APIs of a sweep: where they are, where their keys come from, what they cost and how much they take at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from raysweep.config.base import Number, Part, Rate, Seconds, Text, Whole
from raysweep.config.fault import Fault, nearest, refuse

_PRICE = Annotated[Number, Field(ge=0)]
_KEY_NAMES = re.compile(r"(^|_)(api_?key|secret|password|passwd|auth_?token|access_?token)$", re.IGNORECASE)
_KEY_VALUES = re.compile(r"^(sk-|sk_|AIza|gh[pousr]_|xox[abp]-|hf_|gsk_|Bearer )")
LITERAL_KEY = "looks like a key, and would be copied into the run directory"
KEY_REMEDY = "put the key into an environment variable and name that variable in `apis.NAME.key_env`"


def _root(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise refuse("is not the address of an API", "write it like https://api.example.com, without a key")
    return url.rstrip("/").removesuffix("/v1")


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or _KEY_VALUES.match(name):
        raise refuse("is not the name of an environment variable", "name the variable, never the key itself")
    return name


class Prices(Part):
    """Prices of one model in USD per million tokens; what is left out is unknown, not free."""

    input: _PRICE = Field(description="USD per million input tokens that no cache held", examples=[3.0])
    output: _PRICE = Field(description="USD per million output tokens, reasoning included", examples=[15.0])
    cached: _PRICE | None = Field(None, description="USD per million tokens read from a cache; left out: as `input`")
    cache_write: _PRICE | None = Field(
        None, description="USD per million tokens written to a cache; left out: as `input`"
    )


class Connections(Part):
    """Calls in flight to one model, adapted to what the API takes: fewer after each 429, more after successes."""

    start: Annotated[Whole, Field(ge=1)] = Field(20, description="calls in flight at the start of a run")
    least: Annotated[Whole, Field(ge=1)] = Field(1, description="never fewer than these")
    most: Annotated[Whole, Field(ge=1)] = Field(100, description="never more than these")


class ModelApi(Part):
    """One model API. The real key stays in the runner; sandboxes and agents get a token of their attempt instead."""

    protocol: Literal["openai", "anthropic"] = Field(
        description="openai: chat completions and responses, also of vLLM, llama.cpp or LiteLLM; anthropic: messages",
        examples=["anthropic"],
    )
    base_url: Annotated[Text, AfterValidator(_root)] = Field(
        description="address of the API, with or without a final /v1", examples=["https://api.anthropic.com"]
    )
    key_env: Annotated[Text, AfterValidator(_variable)] | None = Field(
        None, description="environment variable of the runners that holds the key", examples=["ANTHROPIC_API_KEY"]
    )
    key_file: Text | None = Field(
        None,
        description="file on the runners that holds the key, such as a mounted secret",
        examples=["/keys/anthropic"],
    )
    prices: dict[str, Prices] = Field(
        {}, description="prices by model, as calls name it", examples=[{"claude-x": {"input": 3.0, "output": 15.0}}]
    )
    connections: Connections = Field(
        Connections(), description="calls in flight for each model, over all runners of a run"
    )
    requests_per_minute: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="hard limit on calls, over all runners of a run; left out: none", examples=[500]
    )
    tokens_per_minute: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="hard limit on tokens, over all runners of a run; left out: none", examples=[400000]
    )
    silence_timeout: Seconds = Field(
        900.0, description="a call that receives nothing for this long is ended as timed out", examples=["15m"]
    )
    blocked_share: Annotated[Rate, Field(gt=0)] = Field(
        0.5,
        description="an agent that ran into its time limit and was kept waiting for at least this share of it by 429, "
        "5xx, outages or their back-off counts as `model_api` (retried), not as a failed trial",
        examples=[0.5],
    )


def api_faults(apis: Mapping[str, Any], models: Sequence[Any]) -> Iterator[Fault]:
    """What is wrong between models and APIs: names that do not exist, two sources of one key, literal keys."""
    for name, api in apis.items():
        if isinstance(api, Mapping):
            yield from (f.under("apis", name) for f in _one_api(api))
    for i, model in enumerate(models):
        if not isinstance(model, Mapping):
            continue
        api = model.get("api")
        if isinstance(api, str) and api not in apis:
            remedy = nearest(api, list(apis)) if apis else "add it to `apis`"
            yield Fault(("models", i, "api"), "is not the name of an API in `apis`", remedy, api)
        yield from (f.under("models", i) for f in literal_keys(model))


def _one_api(api: Mapping[str, Any]) -> Iterator[Fault]:
    if api.get("key_env") is not None and api.get("key_file") is not None:
        yield Fault(("key_file",), "names a second source of the key", "keep one of `key_env` and `key_file`")
    sizes = api.get("connections")
    if isinstance(sizes, Mapping):
        least, start, most = (sizes.get(k, d) for k, d in (("least", 1), ("start", 20), ("most", 100)))
        whole = all(isinstance(v, int) for v in (least, start, most))
        if whole and not least <= start <= most:
            yield Fault(("connections", "start"), "is not between `least` and `most`", f"use {least} to {most}", start)


def key_like(value: object) -> bool:
    """Whether a value of a sweep looks like a key, so that no message may repeat it."""
    return isinstance(value, str) and _KEY_VALUES.match(value) is not None


def literal_keys(options: Mapping[str, Any], *path: str) -> Iterator[Fault]:
    """Options whose name or value looks like a key; the value itself is not repeated."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from literal_keys(value, *path, str(name))
        elif isinstance(value, str) and value and (_KEY_NAMES.search(str(name)) or _KEY_VALUES.match(value)):
            yield Fault((*path, str(name)), LITERAL_KEY, KEY_REMEDY)
