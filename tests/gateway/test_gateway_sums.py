"""Sums over calls, limits and the reading of answers, by cases and by hypothesis; no server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.config.apis import Connections, Prices
from raysweep.gateway.call import Call, failure_of_status
from raysweep.gateway.limits import COOL_DOWN_S, AdaptiveLimit, Bucket
from raysweep.gateway.money import Wallet
from raysweep.gateway.reading import AnswerReader, read_request
from raysweep.gateway.sums import cost, sum_calls


def call(began, ended, failure=None, **more):
    return Call(1, "/v1/messages", began, ended=ended, failure=failure, status=more.pop("status", 200), **more)


def test_a_wait_for_the_next_try_is_blocked_time():
    calls = [call(0, 1, "rate_limited"), call(11, 12, "down"), call(20, 25)]
    facts = sum_calls(calls, end=100)
    assert facts.blocked_s == 20  # 0..11 and 11..20
    assert facts.waiting_s == 7
    assert facts.errors == {"rate_limited": 1, "down": 1}
    assert (facts.last_failure, facts.main_failure) == (None, "down")


def test_an_agent_at_work_in_its_sandbox_is_not_blocked():
    facts = sum_calls([call(0, 1, "rate_limited"), call(50, 51)], end=60, busy=[(5, 40), (39, 45)])
    assert facts.blocked_s == 10


def test_an_agent_that_never_calls_again_is_blocked_to_its_end():
    facts = sum_calls([call(0, 1), call(2, 3, "timed_out", error="no answer")], end=30)
    assert facts.blocked_s == 28
    assert facts.refusal == "200 timed_out: no answer"
    assert facts.last_failure == "timed_out"


def test_queueing_is_blocked_and_no_part_of_the_first_token():
    facts = sum_calls([call(0, 10, queued_s=4.0, first_token=5.0, tokens_out=51)], end=10)
    assert facts.blocked_s == 4
    assert facts.first_token_p50_ms == 1000
    assert facts.tokens_per_s_p50 == 10


@pytest.mark.parametrize("failure", ["bad_request", "cut", "over_budget"])
def test_the_agent_s_own_failures_block_nobody(failure):
    facts = sum_calls([call(0, 1, failure), call(30, 31)], end=40)
    assert facts.blocked_s == 0
    assert facts.main_failure is None


SPANS = st.tuples(st.integers(0, 100), st.integers(0, 30))


@given(st.lists(st.tuples(SPANS, st.sampled_from([None, "down", "rate_limited", "cut"]))), st.lists(SPANS))
def test_times_stay_within_the_attempt_and_busy_time_only_takes_away(given_calls, busy):
    calls = [call(low, low + length, failure) for (low, length), failure in sorted(given_calls, key=lambda c: c[0][0])]
    spans = [(low, low + length) for low, length in busy]
    facts, free = sum_calls(calls, 200, spans), sum_calls(calls, 200)
    covered = {t for low, high in spans for t in range(low, high)}
    blocked = set()
    for one in calls:
        if one.failure in {"down", "rate_limited"}:
            after = [c.began for c in calls if c is not one and c.began >= one.ended]
            blocked |= set(range(one.began, min(after, default=200)))
    assert free.blocked_s == len(blocked)
    assert facts.blocked_s == len(blocked - covered)


def test_quantiles_are_of_the_nearest_rank():
    facts = sum_calls([call(0, n) for n in range(1, 21)], end=30)
    assert (facts.latency_p50_ms, facts.latency_p95_ms) == (10_000, 19_000)


def test_a_cost_counts_what_caches_held_at_its_own_price():
    prices = Prices(input=3, output=15, cached=0.3, cache_write=3.75)
    used = call(0, 1, tokens_in=1000, tokens_cached=600, tokens_cache_write=100, tokens_out=200)
    assert cost(used, prices) == pytest.approx((300 * 3 + 600 * 0.3 + 100 * 3.75 + 200 * 15) / 1e6)
    assert cost(used, Prices(input=3, output=15)) == pytest.approx((1000 * 3 + 200 * 15) / 1e6)
    assert cost(used, None) is None
    assert cost(call(0, 1, tokens_in=5), prices) is None
    assert cost(call(0, 1, "rate_limited", status=429), None) == 0.0


def test_calls_of_unknown_cost_are_counted_beside_the_sum():
    facts = sum_calls([call(0, 1, usd=0.5), call(1, 2, usd=None), call(2, 3, usd=0.25)], end=3)
    assert (facts.usd, facts.unpriced) == (0.75, 1)
    assert sum_calls([call(0, 1, usd=None)], end=3).usd is None


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (200, None),
        (304, None),
        (400, "bad_request"),
        (403, "refused"),
        (404, "bad_request"),
        (408, "timed_out"),
        (503, "down"),
    ],
)
def test_what_a_status_counts_as(status, failure):
    assert failure_of_status(status) == failure


class TestAdaptiveLimit:
    def test_it_grows_by_one_after_a_round_of_successes_up_to_its_most(self):
        limit = AdaptiveLimit(Connections(start=3, most=4))
        for _ in range(2):
            limit.succeeded()
        assert limit.allowed == 3
        limit.succeeded()
        assert limit.allowed == 4
        for _ in range(20):
            limit.succeeded()
        assert limit.allowed == 4

    def test_it_shrinks_once_within_its_cool_down(self):
        limit = AdaptiveLimit(Connections(start=20))
        for at in (0.0, 1.0, COOL_DOWN_S - 0.1):
            limit.rate_limited(at)
        assert limit.allowed == 16
        limit.rate_limited(COOL_DOWN_S)
        assert limit.allowed == 12

    def test_a_share_takes_its_part_and_never_less_than_one(self):
        assert AdaptiveLimit(Connections(start=20), share=0.25).allowed == 5
        assert AdaptiveLimit(Connections(start=2, most=2), share=0.1).allowed == 1


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 30)), min_size=1, max_size=50))
def test_a_bucket_never_lets_more_through_than_its_rate_and_its_room(steps):
    bucket, now, passed = Bucket(per_minute=60.0), 0.0, 0.0
    for wait, amount in steps:
        now += wait
        delay = bucket.delay(amount, now)
        now += delay
        assert bucket.delay(amount, now) == pytest.approx(0.0, abs=1e-6)
        assert passed <= 6.0 + now + 1e-6  # what had passed before, with its debts paid
        bucket.take(amount, now)
        passed += min(amount, 6.0)


def test_a_wallet_reserves_the_worst_that_a_call_can_cost():
    wallet = Wallet({"m": Prices(input=1.0, output=2.0)}, most=1.0)
    one = Call(1, "/", 0.0, model="m", request_bytes=100_000)
    reserved, refused = wallet.reserve(one, 200_000)
    assert (reserved, refused) == (pytest.approx(0.5), None)
    assert wallet.reserve(one, 200_000)[1] is None
    assert "0.0000 are left" in wallet.reserve(one, 1000)[1]
    wallet.settle(reserved, 0.1)
    assert wallet.spent == 0.1
    wallet.settle(reserved, None)
    assert wallet.spent == pytest.approx(0.6)


def test_only_streams_of_chat_completions_are_asked_for_their_usage():
    body = json.dumps({"model": "m", "stream": True, "max_tokens": 7, "temperature": 0.1}).encode()
    chat, messages = Call(1, "/v1/chat/completions", 0.0), Call(1, "/v1/messages", 0.0)
    changed, most = read_request(chat, body)
    assert json.loads(changed) == {**json.loads(body), "stream_options": {"include_usage": True}}
    assert most == 7
    assert read_request(messages, body) == (body, 7)


@given(st.binary(max_size=300), st.booleans(), st.lists(st.integers(1, 50), max_size=20))
def test_no_answer_breaks_its_reader_however_it_is_cut(data, events, cuts):
    call = Call(1, "/", 0.0)
    reader = AnswerReader(call, lambda: 1.0, events=events)
    whole = b"data: " + data + b"\n\n"
    size_of_all = len(whole)
    for size in cuts:
        reader.feed(whole[:size])
        whole = whole[size:]
    reader.feed(whole)
    reader.close()
    assert call.response_bytes == size_of_all


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_way_a_stream_is_cut_into_pieces_changes_nothing(size):
    lines = [
        {
            "type": "message_start",
            "message": {"model": "x", "usage": {"input_tokens": 10, "cache_read_input_tokens": 5}},
        },
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hé"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    data = b"".join(b"event: e\ndata: " + json.dumps(e, ensure_ascii=False).encode() + b"\n\n" for e in lines)
    one = Call(1, "/v1/messages", 0.0, status=200)
    reader = AnswerReader(one, lambda: 3.0, events=True)
    for i in range(0, len(data), size):
        reader.feed(data[i : i + size])
    assert reader.complete
    assert (one.tokens_in, one.tokens_cached, one.tokens_out, one.finish) == (15, 5, 9, "end_turn")
    assert (one.model_named, one.first_token) == ("x", 3.0)


def test_an_error_within_a_stream_is_a_failure_with_its_words():
    one = Call(1, "/v1/messages", 0.0, status=200)
    reader = AnswerReader(one, lambda: 3.0, events=True)
    reader.feed(b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n')
    assert (one.failure, one.error) == ("rate_limited", "Overloaded")
