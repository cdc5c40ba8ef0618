"""Identifiers stay what they are: runs are resumed by them."""

from __future__ import annotations

import hashlib
import json

import pytest

from raysweep.ids import id_of, json_parts, short_id


@pytest.mark.parametrize(
    "parts", [["plain", 1, 20260205], ['"quoted"\\', "naïve\u2028\x1f\n", "", -3], [None, True, "x,y"], []]
)
def test_an_id_is_the_digest_of_its_parts_as_json(parts):
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    assert f"[{json_parts(parts)}]" == text
    assert short_id("b", parts) == id_of("b", json_parts(parts)) == "b" + hashlib.sha256(text.encode()).hexdigest()[:12]
