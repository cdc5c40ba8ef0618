"""The shared words: their classes, and that columns, JSON and configs hold plain strings."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from raysweep.config.model import Sweep
from raysweep.record.schema import to_table
from raysweep.report.palette import OUTCOMES
from raysweep.vocabulary import (
    CAUSE_CLASSES,
    PLATFORM_CAUSES,
    Cause,
    CauseClass,
    CheckStatus,
    Enforcement,
    OomScope,
    Outcome,
    Phase,
    causes_of,
)


def test_every_cause_has_its_classes_and_only_oom_node_has_two():
    assert set(CAUSE_CLASSES) == set(Cause)
    assert [c for c, classes in CAUSE_CLASSES.items() if len(classes) > 1] == ["oom_node"]
    assert set(causes_of(CauseClass.RESOURCE)) & set(PLATFORM_CAUSES) == {"oom_node"}
    assert causes_of(CauseClass.UNKNOWN) == ("oom_unknown",)


@pytest.mark.parametrize("words", [Outcome, Cause, CauseClass, Phase, Enforcement, OomScope, CheckStatus])
def test_a_word_is_its_string_in_arrow_and_in_json(words):
    values = [str(w.value) for w in words]
    assert pa.array(list(words)).to_pylist() == values
    assert json.loads(json.dumps(list(words))) == values


def test_words_in_a_row_become_plain_text():
    row = {"outcome": Outcome.INFRA, "cause": Cause.OOM_LIMIT, "cause_class": CauseClass.RESOURCE, "phase": Phase.AGENT}
    table = to_table([row])
    assert [table[name].to_pylist() for name in row] == [["infra"], ["oom_limit"], ["resource"], ["agent"]]
    assert {type(table[name][0].as_py()) for name in row} == {str}


def test_a_sweep_has_a_cap_for_every_platform_cause_under_plain_keys():
    caps = Sweep.model_fields["platform_retries"].get_default(call_default_factory=True)
    assert list(caps) == [c.value for c in PLATFORM_CAUSES]
    assert {type(key) for key in caps} == {str}


def test_every_ending_that_is_not_the_platforms_has_a_colour():
    own = {*causes_of(CauseClass.RESOURCE), *causes_of(CauseClass.UNKNOWN)}
    assert own | (set(Outcome) - {Outcome.SCORED, Outcome.INFRA}) <= set(OUTCOMES)


def test_the_glossary_names_every_outcome_class_and_phase_and_readers_find_it():
    docs = Path(__file__).parents[2] / "docs"
    glossary = (docs / "glossary.md").read_text()
    for word in (*Outcome, *CauseClass, Phase.AGENT, Phase.VERIFIER):
        assert word in glossary, word
    for page in (docs.parent / "README.md", docs / "architecture.md", docs / "validity.md"):
        assert "glossary.md)" in page.read_text(), page
