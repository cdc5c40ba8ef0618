"""run.json through its one model: what earlier and later versions wrote stays as it is, damage is named."""

import json
import tarfile
from pathlib import Path

import pytest

from raysweep.errors import InputError
from raysweep.record.run_facts import RunFacts, read_facts
from raysweep.record.store import LocalStore
from support.run_facts import RUN_FACTS

OLD = sorted((Path(__file__).parent / "ledgers").glob("*.tar.xz"))


@pytest.mark.parametrize("archive", OLD, ids=lambda path: path.name)
def test_what_earlier_versions_wrote_is_read_and_written_byte_by_byte(archive):
    with tarfile.open(archive) as files:
        member = next(m for m in files.getmembers() if m.name.endswith("run.json"))
        data = files.extractfile(member).read()
    facts = RunFacts.from_json(data, "run.json")
    assert facts.run_id.startswith("run-")
    assert facts.min_reader is None
    assert facts.to_json() == data


def test_there_are_ledgers_of_earlier_versions():
    assert len(OLD) >= 4


def test_what_a_later_version_states_is_kept():
    later = RUN_FACTS.as_json() | {"frozen": {"task": "sha256:1"}}
    data = json.dumps(later, indent=1).encode()
    assert RunFacts.from_json(data, "run.json").to_json() == data


def test_what_a_run_does_not_state_is_unknown_and_not_written():
    assert RUN_FACTS.concurrency is None
    assert "concurrency" not in json.loads(RUN_FACTS.to_json())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", r"run\.json: .*cannot be read"),
        (b"[]", "not an object"),
        (b"{}", "run_id: field required"),
        (json.dumps(RUN_FACTS.as_json() | {"bands": "1x"}).encode(), "bands: input should be a valid tuple"),
        (b'{"min_reader": 9}', "newer raysweep"),
    ],
)
def test_damage_is_named_with_the_file_and_the_key(tmp_path, data, says):
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(InputError, match=says):
        read_facts(LocalStore(tmp_path))


def test_a_run_without_run_json_is_named(tmp_path):
    with pytest.raises(InputError, match=r"RUN/run\.json: .*missing"):
        read_facts(LocalStore(tmp_path), "RUN")
