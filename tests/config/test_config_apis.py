"""Model APIs in a sweep: names that must exist, keys that must not be there."""

from __future__ import annotations

import pytest

from raysweep.config import parse
from raysweep.errors import InputError

SWEEP = """\
name: s
tasks: {{source: "synthetic:2"}}
apis: {{a: {{protocol: openai, base_url: "{url}", {api}}}}}
models: [{{name: m, agent: oracle, {model}}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}]
reference: 1x
repeats: 1
sandbox: {{kind: local}}
"""


def read(*, url="https://api.example.com/v1/", api="key_env: A_KEY", model="api: a"):
    return parse(SWEEP.format(url=url, api=api, model=model))


def problem(**keys):
    with pytest.raises(InputError) as caught:
        read(**keys)
    (one,) = caught.value.problems
    return one


def test_an_api_is_read_without_the_version_in_its_address():
    api = read().apis["a"]
    assert (api.base_url, api.key_env, api.connections.most) == ("https://api.example.com", "A_KEY", 100)
    assert read(url="https://router.example.com/api/v1").apis["a"].base_url == "https://router.example.com/api"


@pytest.mark.parametrize("url", ["api.example.com", "ftp://x", "https://user:pass@x/v1", "https://x?key=1"])
def test_an_address_that_is_none_is_refused(url):
    assert problem(url=url).key == "apis.a.base_url"


def test_a_model_names_an_api_that_exists():
    told = problem(model="api: aa")
    assert (told.key, told.remedy) == ("models[0].api", "did you mean `a`?")


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"api": "key_env: sk-live-0123"}, "apis.a.key_env"),
        ({"model": "api: a, api_key: abc"}, "models[0].api_key"),
        ({"model": "api: a, parameters: {extra_headers: {x: sk-live-0123}}"}, "models[0].parameters.extra_headers.x"),
        ({"model": "api: a, auth_token: abcdef"}, "models[0].auth_token"),
    ],
)
def test_a_literal_key_is_refused_and_never_repeated(keys, place):
    told = problem(**keys)
    assert told.key == place
    assert "0123" not in str(told)
    assert "abc" not in str(told)


def test_options_that_only_sound_like_keys_pass():
    assert read(model="api: a, parameters: {max_tokens: 5}, monkey: banana").models[0].options["monkey"] == "banana"


@pytest.mark.parametrize(
    ("api", "place"),
    [
        ("key_env: A, key_file: /k", "apis.a.key_file"),
        ("connections: {start: 200}", "apis.a.connections.start"),
        ("connections: {least: 5, start: 2}", "apis.a.connections.start"),
        ("prices: {m: {input: 1}}", "apis.a.prices.m.output"),
        ("price: {}", "apis.a.price"),
        ("blocked_share: 0", "apis.a.blocked_share"),
        ("protocol: grpc", "apis.a.protocol"),
    ],
)
def test_what_is_wrong_in_an_api_is_named(api, place):
    with pytest.raises(InputError) as caught:
        read(api=api)
    assert place in {p.key for p in caught.value.problems}


def test_an_unknown_key_of_an_api_has_the_nearest_one_as_its_remedy():
    assert problem(api="key_enf: A").remedy == "did you mean `key_env`?"
