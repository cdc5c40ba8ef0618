from __future__ import annotations

import os
import subprocess

import pytest

from raysweep.errors import InputError
from raysweep.tasks.load import choose, load_tasks
from raysweep.units import GIB, MIB, Resources
from support.task_folders import SPEC, make_task


def only(tmp_path, **options):
    (task,) = load_tasks(str(tmp_path), base=tmp_path, **options)
    return task


def problems(tmp_path, **options):
    with pytest.raises(InputError) as caught:
        load_tasks(str(tmp_path), base=tmp_path, **options)
    return caught.value.problems


@pytest.mark.parametrize(
    ("lines", "memory", "storage"),
    [
        ('memory = "2G"\nstorage = "10G"', 2 * GIB, 10 * GIB),
        ('memory = "512M"\nstorage_mb = 512', 512 * MIB, 512 * MIB),
        ("memory_mb = 2048", 2 * GIB, None),
        ('memory = "2G"\nmemory_mb = 2048', 2 * GIB, None),
        ('memory = "1.5G"', 3 * GIB // 2, None),
    ],
)
def test_both_spellings_are_binary(tmp_path, lines, memory, storage):
    make_task(tmp_path, toml=f"[environment]\ncpus = 0.25\n{lines}\n")
    assert only(tmp_path).spec == Resources(cpu=250, memory=memory, storage=storage)


def test_every_field_of_a_full_task(tmp_path):
    make_task(
        tmp_path,
        "full",
        toml="""
version = "1.0"
odd = 1
[agent]
timeout_sec = 12
[verifier]
timeout_sec = 34
env = {A = "1"}
[environment]
build_timeout_sec = 56
cpus = 2
memory = "4G"
allow_internet = false
workdir = "/work"
env = {B = "2"}
[solution]
env = {C = "3"}
""",
        files={
            "tests/test.sh": "pytest --ctrf /logs/verifier/ctrf.json",
            "strategies/b/run.sh": "",
            "strategies/a/run.sh": "",
        },
    )
    task = only(tmp_path)
    assert (task.name, task.instruction) == ("full", "Solve full.\n")
    assert (task.agent_timeout_s, task.verifier_timeout_s, task.build_timeout_s) == (12, 34, 56)
    assert (task.network, task.workdir, task.ctrf, task.strategies) == (False, "/work", True, ("a", "b"))
    assert (task.env, task.verifier_env, task.solution_env) == ({"B": "2"}, {"A": "1"}, {"C": "3"})
    assert (task.build_steps, task.needs_image) == ("setup", None)
    assert task.notes == (
        "unknown key odd ignored",
        "version read as schema_version (old spelling)",
        "environment.allow_internet read as network_mode (old spelling)",
    )


@pytest.mark.parametrize(
    ("lines", "network"),
    [
        ("", True),
        ('network_mode = "public"', True),
        ('network_mode = "no-network"', False),
        ("allow_internet = true", True),
    ],
)
def test_network_is_harbors_default_or_what_the_task_says(tmp_path, lines, network):
    make_task(tmp_path, toml=SPEC + lines)
    assert only(tmp_path).network is network


def test_defaults_fill_only_what_a_task_leaves_open(tmp_path):
    make_task(tmp_path, toml="[environment]\ncpus = 2\n")
    task = only(tmp_path, default_cpu=500, default_memory=GIB, default_storage=3 * GIB)
    assert task.spec == Resources(cpu=2000, memory=GIB, storage=3 * GIB)


def test_a_task_without_a_spec_or_a_default_is_refused_by_name(tmp_path):
    make_task(tmp_path, "bare", toml="")
    cpu, memory = problems(tmp_path)
    assert "task bare states no cpus" in cpu.message
    assert memory.key == "environment.memory"
    assert memory.remedy == "set tasks.defaults.memory in the sweep"


@pytest.mark.parametrize(
    ("toml", "key", "reason"),
    [
        (SPEC + "[[steps]]\nname = 'a'\n", "steps", "multi-step"),
        (SPEC + "[verifier]\nenvironment_mode = 'separate'\n", "verifier.environment_mode", "separate verifier"),
        (SPEC + "[verifier.environment]\ncpus = 1\n", "verifier.environment_mode", "separate verifier"),
        (SPEC + "[[verifier.collect]]\ncommand = 'x'\n", "verifier.collect", "separate verifier"),
        (SPEC + "gpus = 1\n", "environment.gpus", "GPUs"),
        (SPEC + "network_mode = 'allowlist'\n", "environment.network_mode", "allowlist"),
        (SPEC + "[agent]\nnetwork_mode = 'no-network'\n", "agent.network_mode", "per phase"),
        (SPEC + "os = 'windows'\n", "environment.os", "linux"),
        (SPEC + "[[environment.mcp_servers]]\nname = 'm'\n", "environment.mcp_servers", "MCP"),
        (SPEC + "[environment.healthcheck]\ncommand = 'x'\n", "environment.healthcheck", "health checks"),
        (SPEC + "[agent]\nuser = 'nobody'\n", "agent.user", "root"),
        (SPEC + "[environment.env]\nKEY = '${KEY}'\n", "environment.env.KEY", "host's environment"),
        ("schema_version = '1.5'\n" + SPEC, "schema_version", "newer than 1.4"),
    ],
)
def test_what_is_not_supported_is_refused_with_key_and_reason(tmp_path, toml, key, reason):
    make_task(tmp_path, toml=toml)
    (problem,) = problems(tmp_path)
    assert problem.key == key
    assert reason in problem.message
    assert problem.remedy
    assert problem.file == str(tmp_path / "one" / "task.toml")


def test_a_shared_verifier_with_the_newest_schema_is_taken(tmp_path):
    make_task(tmp_path, toml="schema_version = '1.4'\n" + SPEC + "[verifier]\nenvironment_mode = 'shared'\n")
    assert only(tmp_path).notes == ()


@pytest.mark.parametrize("name", ["docker-compose.yaml", "compose.yml"])
def test_compose_is_refused(tmp_path, name):
    make_task(tmp_path, files={f"environment/{name}": "services: {}"})
    (problem,) = problems(tmp_path)
    assert "docker-compose" in problem.message
    assert problem.value == f"environment/{name}"


@pytest.mark.parametrize(
    ("lines", "key", "line", "value"),
    [
        ("memory = '2 apples'", "environment.memory", 4, "'2 apples'"),
        ("storage_mb = -5", "environment.storage_mb", 4, "-5"),
        ("build_timeout_sec = 0", "environment.build_timeout_sec", 4, "0"),
        ("cpus = 2", None, 4, None),
        ("memory = '2G'", "environment", 1, None),
    ],
)
def test_a_bad_value_names_file_line_key_and_value(tmp_path, lines, key, line, value):
    make_task(tmp_path, toml=SPEC + lines)
    (problem,) = problems(tmp_path)
    assert (problem.key, problem.line, problem.value) == (key, line, value)


def test_all_problems_of_all_tasks_come_at_once(tmp_path):
    make_task(tmp_path, "a", toml="[environment]\ncpus = -1\nmemory = 'x'\n")
    make_task(tmp_path, "b", toml=SPEC + "gpus = 2\n[agent]\nuser = 'me'\n")
    (make_task(tmp_path, "c") / "instruction.md").unlink()
    make_task(tmp_path, "fine")
    files = [str(p.file).removeprefix(str(tmp_path)) for p in problems(tmp_path)]
    assert files == ["/a/task.toml"] * 2 + ["/b/task.toml"] * 2 + ["/c/instruction.md"]


def test_a_task_left_out_is_not_looked_into(tmp_path):
    make_task(tmp_path, "broken", toml="= 1")
    make_task(tmp_path, "fine")
    assert only(tmp_path, exclude=["brok*"]).name == "fine"


def test_globs_choose_sorted_names():
    names = ["apple", "banana", "cherry"]
    assert choose(names, ["*"], []) == names
    assert choose(names, ["c*", "a*"], []) == ["apple", "cherry"]
    assert choose(names, ["*"], ["*an*"]) == ["apple", "cherry"]


def test_a_glob_without_a_match_names_the_nearest_tasks():
    with pytest.raises(InputError, match=r"tasks\.include: no task matches 'banan'.*nearest names are banana"):
        choose(["apple", "banana"], ["banan", "apple"], [])
    with pytest.raises(InputError, match=r"tasks\.exclude: no task matches"):
        choose(["apple"], ["*"], ["pear*"])
    with pytest.raises(InputError, match="no task is left"):
        choose(["apple"], ["*"], ["apple"])


def test_a_single_task_directory_and_a_path_relative_to_the_sweep(tmp_path):
    make_task(tmp_path / "sets", "one")
    (task,) = load_tasks("sets/one", base=tmp_path)
    assert task == load_tasks("sets", base=tmp_path)[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "is not a folder"),
        (".", "no task directory"),
        ("bundled:nothing", "no bundled task set 'nothing'.*use bundled:headroom"),
        ("bundled:../headroom", "no bundled task set"),
        ("synthetic:0", "not a number of tasks"),
        ("synthetic:many", "not a number of tasks"),
        ("git+https://example.invalid/x@main", "not a pinned git source"),
        ("git+ext::sh@" + "0" * 40, "not a pinned git source"),
    ],
)
def test_a_source_that_is_none(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        load_tasks(source, base=tmp_path, cache=tmp_path / "cache")


def test_synthetic_tasks_have_a_spec_and_distinct_digests(tmp_path):
    tasks = load_tasks("synthetic:3", base=tmp_path)
    assert [t.name for t in tasks] == ["task-000", "task-001", "task-002"]
    assert {t.spec for t in tasks} == {Resources(cpu=1000, memory=2 * GIB)}
    assert len({t.digest for t in tasks}) == 3
    assert tasks == load_tasks("synthetic:3", base=tmp_path)
    (small,) = load_tasks("synthetic:1", base=tmp_path, default_cpu=250, default_memory=MIB)
    assert small.spec == Resources(cpu=250, memory=MIB)
    assert small.digest != tasks[0].digest


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository whose first commit holds one task, and whose second one changes it."""
    origin = tmp_path / "origin"
    make_task(origin / "sets", "one")
    git(origin, "init", "--quiet")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "first")
    first = git(origin, "rev-parse", "HEAD")
    (origin / "sets" / "one" / "instruction.md").write_text("Changed.\n")
    git(origin, "commit", "--quiet", "-am", "second")
    return origin, first


def test_a_git_source_is_the_pinned_commit_and_is_cloned_once(tmp_path, repository):
    origin, first = repository
    source = f"git+file://{origin}@{first}#subdirectory=sets"
    cache = tmp_path / "cache"
    (task,) = load_tasks(source, base=tmp_path, cache=cache)
    assert task.instruction == "Solve one.\n"
    origin.rename(tmp_path / "gone")
    assert load_tasks(source, base=tmp_path, cache=cache) == (task,)
    assert [p.name.startswith(".clone-") for p in cache.iterdir()] == [False]


def test_a_git_source_that_fails_leaves_nothing_behind(tmp_path, repository):
    origin, first = repository
    cache = tmp_path / "cache"
    with pytest.raises(InputError, match="git failed"):
        load_tasks(f"git+file://{origin}@{'0' * 40}", base=tmp_path, cache=cache)
    assert list(cache.iterdir()) == []
    with pytest.raises(InputError, match="no folder elsewhere"):
        load_tasks(f"git+file://{origin}@{first}#subdirectory=elsewhere", base=tmp_path, cache=cache)
    with pytest.raises(InputError, match=r"no folder \.\./\.\."):
        load_tasks(f"git+file://{origin}@{first}#subdirectory=../..", base=tmp_path, cache=cache)


def test_pipes_in_a_task_are_named_and_nothing_waits_for_them(tmp_path):
    os.mkfifo(make_task(tmp_path) / "environment" / "pipe")
    (problem,) = problems(tmp_path)
    assert problem.file == str(tmp_path / "one" / "environment" / "pipe")
    assert "named pipe" in problem.message


@pytest.mark.parametrize("script", ["tests/test.sh", "environment/setup.sh"])
def test_windows_line_ends_in_a_script_are_named(tmp_path, script):
    make_task(tmp_path, files={script: "#!/bin/sh\r\ntrue\r\n"})
    (problem,) = problems(tmp_path)
    assert (problem.file, problem.line) == (str(tmp_path / "one" / script), 1)
    assert "CR LF" in problem.message


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("cpus = 1\nmemory = 4096", "environment.memory"),
        ("cpus = 1\nmemory = 1073741824", "environment.memory"),
        ('cpus = 1\nmemory = "512K"', "environment.memory"),
        ("cpus = 1\nmemory_mb = 0.0000001", "environment.memory_mb"),
        ("cpus = 1\nmemory_mb = 64\nstorage = 10", "environment.storage"),
        ("cpus = 0.0004\nmemory_mb = 64", "environment.cpus"),
    ],
)
def test_sizes_that_are_none_are_refused(tmp_path, lines, key):
    make_task(tmp_path, toml=f"[environment]\n{lines}\n")
    (problem,) = problems(tmp_path)
    assert problem.key == key
    assert problem.line == 2 + lines.split("\n").index(next(t for t in lines.split("\n") if t.startswith(key[12:])))


def test_a_default_that_is_bytes_by_mistake_is_refused_too(tmp_path):
    make_task(tmp_path, toml="[environment]\ncpus = 1\n")
    (problem,) = problems(tmp_path, default_memory=4096)
    assert "4096 bytes" in problem.message
