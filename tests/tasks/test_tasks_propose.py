"""Textual edits of task.toml: only what was to change changes, and the originals stay."""

from __future__ import annotations

import subprocess
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from raysweep.errors import InputError
from raysweep.tasks.propose import DIFF, SpecChange, edit_toml, write_proposals
from raysweep.units import GIB, MIB
from support.task_folders import make_task

FULL = """\
# a task
schema_version = "1.4"   # newest

[metadata]
note = \"\"\"
[environment]
memory_mb = 1   # not this one
\"\"\"

[agent]
timeout_sec = 20.0  # seconds

[environment]
  cpus = 0.25
memory_mb = 64# tight on purpose
storage_mb = 512

# the verifier
[verifier]
timeout_sec = 20.0
"""
CHANGE = SpecChange(memory=256 * MIB, cpu=500, agent_timeout_s=64.0)


def test_values_change_and_nothing_else():
    edited = edit_toml(FULL, CHANGE)
    assert edited == FULL.replace("timeout_sec = 20.0  # seconds", "timeout_sec = 64.0  # seconds").replace(
        "cpus = 0.25", "cpus = 0.5"
    ).replace("memory_mb = 64#", "memory_mb = 256#")


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ('[environment]\nmemory = "2G"\n', SpecChange(memory=4 * GIB), '[environment]\nmemory = "4G"\n'),
        ('[environment]\nmemory = "2G"\n', SpecChange(memory=512 * MIB), '[environment]\nmemory = "512M"\n'),
        ("[environment]\nmemory = 67108864\n", SpecChange(memory=128 * MIB), "[environment]\nmemory = 134217728\n"),
        ("[environment]\ncpus = 1\n", SpecChange(cpu=4000), "[environment]\ncpus = 4\n"),
        ("[environment]\ncpus = 1\n", SpecChange(cpu=500), "[environment]\ncpus = 0.5\n"),
        ("[agent]\ntimeout_sec = 900\n", SpecChange(agent_timeout_s=2048.0), "[agent]\ntimeout_sec = 2048\n"),
        (
            '[environment]\nmemory_mb = 2048\nmemory = "2G"',
            SpecChange(memory=4 * GIB),
            '[environment]\nmemory_mb = 4096\nmemory = "4G"',
        ),
    ],
)
def test_the_spelling_of_the_file_is_kept(text, change, expected):
    assert edit_toml(text, change) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "[environment]\n",
        "[environment]\ncpus = 1\n\n# next\n[agent]\nuser = 'a'\n",
        "[a]\nb = 1\n[[steps]]\nc = 2\n",
    ],
)
def test_what_the_file_does_not_state_is_added(text):
    parsed = tomllib.loads(edit_toml(text, CHANGE))
    assert parsed["environment"]["memory_mb"] == 256
    assert parsed["environment"]["cpus"] == 0.5
    assert parsed["agent"]["timeout_sec"] == 64


def test_a_key_is_added_within_its_table_above_the_next_ones_comment():
    text = "[environment]\ncpus = 1\n\n# the agent\n[agent]\n"
    assert edit_toml(text, SpecChange(memory=64 * MIB)) == (
        "[environment]\ncpus = 1\nmemory_mb = 64\n\n# the agent\n[agent]\n"
    )


def test_line_ends_of_windows_stay():
    text = "[environment]\r\nmemory_mb = 64\r\n"
    assert edit_toml(text, SpecChange(memory=128 * MIB, cpu=2000)) == "[environment]\r\nmemory_mb = 128\r\ncpus = 2\r\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("environment = {memory_mb = 64}\n", "environment = {memory_mb = 128,cpus = 2}\n"),
        ("environment.memory_mb = 64\n", "environment.memory_mb = 128\nenvironment.cpus = 2\n"),
        ('["environment"]\nmemory_mb = 64\n', '["environment"]\nmemory_mb = 128\ncpus = 2\n'),
        (
            "[environment]\nmemory_mb = 64\nx = [\n[1, 2] # y\n]\ncpus = 1 # z\n",
            "[environment]\nmemory_mb = 128\nx = [\n[1, 2] # y\n]\ncpus = 2 # z\n",
        ),
        (
            "[environment]\nmemory_mb = 64\n[environment.env]\nA = 'b'\n",
            "[environment]\nmemory_mb = 128\ncpus = 2\n\n[environment.env]\nA = 'b'\n",
        ),
    ],
    ids=["inline", "dotted", "quoted", "list-of-lists", "table-below"],
)
def test_every_spelling_of_a_table_is_edited(text, expected):
    assert edit_toml(text, SpecChange(memory=128 * MIB, cpu=2000)) == expected


@pytest.mark.parametrize("text", ["environment = 3\n", "[[environment]]\nmemory_mb = 64\n"], ids=["number", "list"])
def test_an_environment_that_is_no_table_is_refused(text):
    with pytest.raises(InputError, match="by hand"):
        edit_toml(text, SpecChange(memory=128 * MIB, cpu=2000))


def test_what_is_no_toml_is_said():
    with pytest.raises(InputError, match="not valid TOML"):
        edit_toml("[environment\n", CHANGE)


@given(
    some.sampled_from(
        ["memory_mb = 64", 'memory = "2G"', "# memory_mb = 3", 's = """\n[agent]\n"""', "storage_mb = 9"]
    ),
    some.sampled_from(["", "\n", "# comment [x]\n", "[other]\ncpus = 7\n"]),
    some.integers(4, 20).map(lambda e: 2**e * MIB),
    some.sampled_from([250, 500, 1000, 16_000]),
)
def test_reading_the_edit_back_gives_the_values_and_all_that_was_there(line, before, memory, cpu):
    text = f"{before}[environment]\n{line}\n[agent]\ntimeout_sec = 1.5\n"
    after = tomllib.loads(edit_toml(text, SpecChange(memory=memory, cpu=cpu)))
    known = tomllib.loads(text)
    environment = after["environment"]
    assert environment["cpus"] == cpu / 1000
    assert {k: v for k, v in environment.items() if k not in {"cpus", "memory", "memory_mb"}} == {
        k: v for k, v in known["environment"].items() if k not in {"memory", "memory_mb"}
    }
    assert {k: v for k, v in after.items() if k != "environment"} == {
        k: v for k, v in known.items() if k != "environment"
    }


def tree(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_files_and_a_diff_that_patch_applies_and_originals_untouched(tmp_path):
    folders = {name: make_task(tmp_path / "tasks", name, FULL.rstrip("\n")) for name in ("one", "two", "three")}
    before = tree(tmp_path / "tasks")
    changes = {"two": CHANGE, "one": SpecChange(cpu=2000)}
    diff = write_proposals(changes, folders, tmp_path / "out")
    assert diff == tmp_path / "out" / DIFF
    assert tree(tmp_path / "tasks") == before
    assert set(tree(tmp_path / "out")) == {DIFF, "one/task.toml", "two/task.toml"}
    subprocess.run(["git", "apply", "-p1", str(diff)], cwd=tmp_path / "tasks", check=True)
    after = tree(tmp_path / "tasks")
    assert {k for k in before if before[k] != after[k]} == {"one/task.toml", "two/task.toml"}
    for name in changes:
        assert after[f"{name}/task.toml"] == (tmp_path / "out" / name / "task.toml").read_bytes()


def test_without_a_change_the_diff_is_empty(tmp_path):
    assert write_proposals({}, {}, tmp_path / "out").read_bytes() == b""


def test_a_folder_in_use_or_within_a_task_is_refused_before_anything_is_written(tmp_path):
    folder = make_task(tmp_path / "tasks", "one", FULL)
    before = tree(tmp_path)
    for out in (tmp_path / "tasks", folder / "new", folder / "task.toml"):
        with pytest.raises(InputError, match="--write"):
            write_proposals({"one": CHANGE}, {"one": folder}, out)
    assert tree(tmp_path) == before


def test_every_file_that_cannot_be_edited_is_named_and_nothing_is_written(tmp_path):
    folders = {
        "bad": make_task(tmp_path / "tasks", "bad", "[[environment]]\nmemory_mb = 64\n"),
        "worse": make_task(tmp_path / "tasks", "worse", "[environment\n"),
        "good": make_task(tmp_path / "tasks", "good", FULL),
    }
    with pytest.raises(InputError) as error:
        write_proposals(dict.fromkeys(folders, CHANGE), folders, tmp_path / "out")
    assert [p.file for p in error.value.problems] == [str(folders[n] / "task.toml") for n in ("bad", "worse")]
    assert not (tmp_path / "out").exists()
