"""Keys of model APIs that a run would miss: told before it begins, where its runners are here."""

from __future__ import annotations

import pytest

from raysweep.errors import InputError
from raysweep.study.load import load_study, refuse_missing_keys

SWEEP = """\
name: s
tasks: {{source: bundled:headroom}}
apis: {{a: {{protocol: openai, base_url: "http://127.0.0.1:9", key_env: A_KEY}}}}
models: [{{name: m, agent: mini-swe, api: a, model: x}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}]
reference: 1x
repeats: 1
sandbox: {{kind: local}}
runner: {{executor: {executor}}}
"""


@pytest.fixture
def study(tmp_path, request):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.format(executor=request.param))
    return load_study(path)


@pytest.mark.parametrize("study", ["ray", "inprocess"], indirect=True)
def test_a_missing_key_is_told_with_its_variable(study):
    with pytest.raises(InputError, match=r"A_KEY is empty or not set.*`cluster\.keys`"):
        refuse_missing_keys(study, {})
    refuse_missing_keys(study, {"A_KEY": "k"})


@pytest.mark.parametrize("study", ["ray"], indirect=True)
def test_the_driver_of_a_cluster_needs_no_key(study):
    with pytest.raises(InputError):
        refuse_missing_keys(study, {})  # the same sweep, with its runners here
    assert refuse_missing_keys(study, {"RAY_ADDRESS": "auto"}) is None


@pytest.mark.parametrize("study", ["inprocess"], indirect=True)
def test_attempts_in_this_process_need_it_whatever_ray_there_is(study):
    with pytest.raises(InputError, match="A_KEY"):
        refuse_missing_keys(study, {"RAY_ADDRESS": "auto"})
