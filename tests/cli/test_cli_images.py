"""Images resolved to digests in plan.parquet, from a registry of the test's own; what cannot be is told once."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysweep.cli import mirror
from raysweep.errors import UnsuitableError
from raysweep.record.schema import arrow_schema
from raysweep.study import images as module
from raysweep.study.compose import planned_sandboxes, recipe
from raysweep.study.images import Images, first_seen, moved_tags, resolve_images
from raysweep.study.load import load_study
from support.cli_runs import raysweep
from support.fake_registry import FakeRegistry

INDEX = b'{"schemaVersion": 2, "manifests": []}'
OWN = "sha256:" + "c" * 64
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SWEEP = """\
name: imaged
seed: 3
tasks: {{source: tasks}}
models: [{{name: m, agent: oracle}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: 1
sandbox: {sandbox}
"""


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture
def registry():
    with FakeRegistry() as fake:
        yield fake


def write_task(folder: Path, name: str, image: str | None) -> None:
    own = "" if image is None else f'docker_image = "{image}"\n'
    files = {
        "task.toml": f"[agent]\ntimeout_sec = 60\n[environment]\ncpus = 1\nmemory_mb = 64\n{own}",
        "instruction.md": "Do it.\n",
        "environment/setup.sh": "#!/bin/sh\ntrue\n",
        "solution/solve.sh": "#!/bin/sh\ntrue\n",
        "tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n",
    }
    for path, text in files.items():
        place = folder / "tasks" / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


@pytest.fixture
def config(tmp_path, registry):
    """A sweep with a tag, a tag that is nowhere, a digest, and two tasks that take the sweep's own image."""

    def make(**sandbox: str) -> Path:
        write_task(tmp_path, "tagged", f"{registry.host}/team/task:1")
        write_task(tmp_path, "absent", f"{registry.host}/team/absent:1")
        write_task(tmp_path, "fixed", f"registry.invalid/fixed@{OWN}")
        write_task(tmp_path, "plain", None)
        write_task(tmp_path, "plain2", None)
        told = {"kind": "kubernetes", "image": f"'{registry.host}/base:1'", **sandbox}
        path = tmp_path / "sweep.yaml"
        path.write_text(SWEEP.format(sandbox="{" + ", ".join(f"{k}: {v}" for k, v in told.items()) + "}"))
        return path

    return make


def planned(path: Path) -> dict[str, tuple[str | None, str | None]]:
    rows = pq.read_table(path, columns=["task", "image", "image_digest"]).to_pylist()
    return {row["task"]: (row["image"], row["image_digest"]) for row in rows}


def test_plan_asks_registries_only_where_told(tmp_path, config, registry):
    task, base = registry.tag("team/task", "1", INDEX), registry.tag("base", "1", INDEX + b" ")
    path, out = config(), tmp_path / "plan.parquet"
    offline = raysweep("plan", path, "--out", out)
    assert (offline.returncode, offline.stderr, registry.asked) == (0, "", [])
    host = registry.host
    names = {
        "tagged": f"{host}/team/task:1",
        "absent": f"{host}/team/absent:1",
        "fixed": f"registry.invalid/fixed@{OWN}",
        "plain": f"{host}/base:1",
        "plain2": f"{host}/base:1",
    }
    assert planned(out) == {t: (name, OWN if t == "fixed" else None) for t, name in names.items()}
    asked = raysweep("plan", path, "--out", out, "--images")
    assert asked.returncode == 0
    digests = {"tagged": task, "absent": None, "fixed": OWN, "plain": base, "plain2": base}
    assert planned(out) == {t: (name, digests[t]) for t, name in names.items()}
    told = [line for line in asked.stderr.splitlines() if "digest" in line]
    assert len(told) == 1
    assert f"1 image could not be resolved to a digest and stays a tag: {host}/team/absent:1: " in told[0]
    assert sorted(registry.asked) == sorted(
        [("HEAD", "team/task", "1"), ("HEAD", "base", "1"), ("HEAD", "team/absent", "1")]
    )


def test_require_refuses_and_tags_asks_nobody(tmp_path, config, registry):
    registry.tag("team/task", "1", INDEX)
    refused = raysweep("plan", config(images="require"), "--out", tmp_path / "plan.parquet", "--images")
    assert refused.returncode == 4
    assert "2 images could not be resolved" in refused.stderr
    assert "set sandbox.images to resolve" in refused.stderr
    assert not (tmp_path / "plan.parquet").exists()
    before = list(registry.asked)
    resolved = resolve_images(load_study(config(images="tags")))
    assert {task: digest for task, (_, digest) in resolved.items() if digest} == {"fixed": OWN}
    resolve_images(load_study(config(pull="never")))
    assert registry.asked == before


def test_require_is_content_where_all_are_resolved(config, registry):
    for path in ("team/task", "team/absent", "base"):
        registry.tag(path, "1", INDEX)
    assert all(digest for _, digest in resolve_images(load_study(config(images="require"))).values())
    registry.access = "private"
    with pytest.raises(UnsuitableError, match="no access"):
        resolve_images(load_study(config(images="require")))


def test_what_came_in_time_is_kept_where_a_registry_is_silent(config, registry, monkeypatch, capsys):
    notes = []
    registry.silent = "team/absent"
    task = registry.tag("team/task", "1", INDEX)
    monkeypatch.setattr(module, "MAKING_S", 10.0)
    assert resolve_images(load_study(config()), notes.append)["tagged"][1] == task
    assert "team/absent:1: no answer within 10 s" in notes[0]
    assert resolve_images(load_study(config()))["tagged"][1] == task
    assert capsys.readouterr() == ("", "")


def test_sweeps_without_containers_have_no_images(tmp_path, config, registry):
    config()
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(sandbox="{kind: simulated}"))
    assert set(resolve_images(load_study(tmp_path / "sweep.yaml")).values()) == {(None, None)}
    assert registry.asked == []


def test_a_tag_that_moved_is_named_and_its_old_digest_kept(config, registry):
    for path in ("team/task", "base"):
        registry.tag(path, "1", INDEX)
    study = load_study(config())
    images = Images(resolve_images(study))
    assert moved_tags(study.sweep, images) == []
    old, new = images.pinned[f"{registry.host}/team/task:1"], registry.tag("team/task", "1", INDEX + b"\n")
    assert moved_tags(study.sweep, images) == [f"{registry.host}/team/task:1 ({old[:19]} -> {new[:19]})"]
    assert images.of("tagged") == f"{registry.host}/team/task@{old}"
    assert images.named(f"{registry.host}/base:1") == images.of("plain") != f"{registry.host}/base:1"
    assert images.of("absent") == images.named(f"{registry.host}/team/absent:1") == f"{registry.host}/team/absent:1"
    assert images.named("another:1") == "another:1"
    assert images.of("nobody") is None


def ledger(*rows: tuple[str, str | None, dict[str, str] | None]) -> pa.Table:
    table = pa.table({name: pa.nulls(len(rows), arrow_schema().field(name).type) for name in ("task", "cause", "node")})
    for position, name in enumerate(("task", "cause", "node")):
        values = [row[position] if name != "node" else list((row[position] or {}).items()) or None for row in rows]
        column = pa.array(values, pa.map_(pa.string(), pa.string()) if name == "node" else pa.string())
        table = table.set_column(position, name, column.cast(arrow_schema().field(name).type))
    return table


def test_the_first_sound_attempt_in_the_ledger_says_what_a_tag_means():
    images = Images({"one": ("one:1", None), "two": ("two:1", None), "pinned": ("p:1", OWN), "built": (None, None)})
    first_seen(
        ledger(
            ("one", None, None),
            ("one", "image", {"image_digest": B}),
            ("one", "oom_limit", {"image_digest": A}),
            ("one", None, {"image_digest": B}),
            ("two", None, {"image_digest": A, "image_id": B}),
            ("pinned", None, {"image_digest": A}),
            ("built", None, {"image_digest": A}),
        ),
        images,
    )
    assert images.seen == {"one:1": A, "two:1": B}
    images.note({"task": "one", "node": {"image_digest": B}, "cause": None})
    assert images.seen_of("one") == A
    assert images.seen_of("pinned") is images.seen_of("built") is images.seen_of("nobody") is None


def test_rows_of_a_run_that_goes_on_are_noted_but_void_ones():
    images = Images({"one": ("one:1", None)})
    for row in (
        {"task": "one", "cause": "runner_lost"},
        {"task": "one", "cause": "image", "node": {"image_digest": B}},
        {"task": "one", "cause": None, "node": {"image_digest": A}},
        {"task": "one", "cause": None, "node": {"image_digest": B}},
    ):
        images.note(row)
    assert images.seen == {"one:1": A}


def test_an_empty_ledger_tells_nothing():
    images = Images({"one": ("one:1", None)})
    first_seen(arrow_schema().empty_table(), images)
    assert images.seen == {}


def test_a_mirror_stands_in_for_every_image(config, registry, monkeypatch, capsys):
    kept = config(images="tags")
    exclude = "exclude: [absent]"
    kept.write_text(kept.read_text().replace("tasks: {source: tasks}", f"tasks: {{source: tasks, {exclude}}}"))
    tagged, base = registry.tag("team/task", "1", INDEX), registry.tag("base", "1", INDEX + b" ")
    host = registry.host
    monkeypatch.setattr(sys, "argv", ["mirror", str(kept), "r.example/copies"])
    assert mirror.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{host}/base@{base} r.example/copies/{host}/base:1",
        f"{host}/team/task@{tagged} r.example/copies/{host}/team/task:1",
        f"registry.invalid/fixed@{OWN} r.example/copies/registry.invalid/fixed:latest@{OWN}",
    ]
    mirrored = load_study(config(image_mirror="r.example/copies", images="tags"))
    images = Images(resolve_images(mirrored))
    assert images.of("tagged") == f"r.example/copies/{host}/team/task:1"
    assert images.of("plain") == f"r.example/copies/{host}/base:1"
    assert images.of("fixed") == f"r.example/copies/registry.invalid/fixed@{OWN}"
    assert {spec.image for spec in planned_sandboxes(mirrored).specs} == {
        None, f"r.example/copies/{host}/team/task:1", f"r.example/copies/{host}/team/absent:1",
        f"r.example/copies/registry.invalid/fixed:latest@{OWN}",
    }  # fmt: skip
    assert recipe(mirrored.sweep)("driver").options.image == f"r.example/copies/{host}/base:1"


def test_an_image_that_is_nowhere_is_not_mirrored(config, registry, monkeypatch, capsys):
    registry.tag("team/task", "1", INDEX)
    registry.tag("base", "1", INDEX)
    monkeypatch.setattr(sys, "argv", ["mirror", str(config()), "r.example/copies"])
    assert mirror.main() == 2
    told = capsys.readouterr()
    assert "team/absent:1" in told.err
    assert not told.out
