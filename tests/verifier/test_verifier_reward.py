from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.verifier import parse_reward


@pytest.mark.parametrize(
    ("as_json", "as_text", "reward"),
    [
        (None, b"1\n", 1.0),
        (None, b" 0.25 ", 0.25),
        (None, b"-1e-3", -0.001),
        (b'{"reward": 0.5, "speed": 9}', None, 0.5),
        (b'{"accuracy": 1}', None, 1.0),
        (b'{"reward": 0}', b"1", 0.0),
    ],
)
def test_a_reward(as_json, as_text, reward):
    assert parse_reward(as_json, as_text) == (reward, None)


@pytest.mark.parametrize(
    ("as_json", "as_text", "problem"),
    [
        (None, None, "neither"),
        (None, b"", "reward.txt is empty"),
        (None, b" \n", "reward.txt is empty"),
        (None, b"passed", "not a number"),
        (None, b"\xff", "not a number"),
        (None, b"nan", "not a finite number"),
        (None, b"inf", "not a finite number"),
        (b"", b"1", "reward.json is empty"),
        (b"{", b"1", "not JSON"),
        (b"\xff\xfe", b"1", "not JSON"),
        (b"[" * 100_000, b"1", "not JSON"),
        (b"1", b"1", "not an object"),
        (b"{}", b"1", "not an object"),
        (b'{"reward": true}', None, "reward is not a finite number"),
        (b'{"reward": NaN}', None, "reward is not a finite number"),
        (b'{"reward": 1, "more": {"a": 1}}', None, "more is not a finite number"),
        (b'{"reward": "1"}', None, "reward is not a finite number"),
        (b'{"reward": 1' + b"0" * 400 + b"}", None, "reward is not a finite number"),
        (b'{"a": 1, "b": 0}', None, 'none is called "reward"'),
    ],
)
def test_no_reward_says_why(as_json, as_text, problem):
    reward, why = parse_reward(as_json, as_text)
    assert reward is None
    assert why is not None
    assert problem in why


@given(st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=60))
def test_any_bytes_give_a_finite_reward_or_a_problem_never_both(as_json, as_text):
    reward, problem = parse_reward(as_json, as_text)
    assert (reward is None) != (problem is None)
    assert reward is None or math.isfinite(reward)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_comes_back(value):
    assert parse_reward(None, repr(value).encode()) == (value, None)
    assert parse_reward(f'{{"reward": {value!r}}}'.encode(), None) == (value, None)
