"""docs/config.md says what the models say, and its examples are true."""

from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter

from raysweep.config.explain import flow
from raysweep.config.reference import markdown, sections

DOC = Path(__file__).parents[2] / "docs" / "config.md"


def test_the_page_is_what_the_models_say():
    assert DOC.read_text() == markdown(), "write it anew: python -m raysweep.config.reference > docs/config.md"


def test_every_key_is_described():
    bare = [f"{path}.{key}" for path, model in sections() for key, f in model.model_fields.items() if not f.description]
    assert bare == []


EXAMPLES = [
    pytest.param(model, key, info, id=f"{path}.{key}")
    for path, model in sections()
    for key, info in model.model_fields.items()
    if info.examples and key != "windows"  # windows are read with the period beside them
]


@pytest.mark.parametrize(("model", "key", "info"), EXAMPLES)
def test_every_example_is_accepted_as_yaml(model, key, info):
    value = yaml.safe_load(flow(info.examples[0]))
    required = {k: None for k, f in model.model_fields.items() if f.is_required() and k != key}
    if not required:
        assert key in model.model_validate({key: value}).model_fields_set
    else:
        TypeAdapter(Annotated[info.annotation, key, *info.metadata]).validate_python(value)
