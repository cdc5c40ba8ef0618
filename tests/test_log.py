"""The log: what a line holds, what is cut out of it, and where it goes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import raysweep
from raysweep import log
from raysweep.record import logs
from raysweep.record.logs import RunLog
from raysweep.record.place import Remote
from support.cli_runs import simulated

LOG = logging.getLogger("raysweep.somewhere")


def made(form: logging.Formatter, text: str, *args: object, exc_info: object = None) -> str:
    return form.format(LOG.makeRecord(LOG.name, logging.WARNING, "f", 1, text, args, exc_info))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _terminal_off() -> Iterator[None]:
    yield
    log.show_on_terminal(verbose=False, as_json=False)


def test_a_json_line_has_time_level_module_text_and_the_ids_of_run_trial_and_attempt() -> None:
    with log.ids(trial_id="t1", attempt_id="t1-2"):
        line = json.loads(made(log.JsonForm(run_id="r1"), "lost after %d s", 3))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning", "event": "log", "logger": "raysweep.somewhere", "text": "lost after 3 s",
        "run_id": "r1", "trial_id": "t1", "attempt_id": "t1-2",
    }  # fmt: skip
    assert "trial_id" not in json.loads(made(log.JsonForm(), "later"))


def test_a_line_for_a_person_names_module_and_attempt() -> None:
    with log.ids(attempt_id="t1-2"):
        line = made(log.PlainForm(), "lost")
    assert line.endswith(" warning somewhere t1-2: lost")


def test_tasks_keep_their_ids_apart() -> None:
    async def one(name: str) -> str:
        with log.ids(attempt_id=name):
            await asyncio.sleep(0)
            return log.current_ids()["attempt_id"]

    async def both() -> list[str]:
        return await asyncio.gather(one("a"), one("b"))

    assert asyncio.run(both()) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123 refused", "Authorization: Bearer [hidden] refused"),
        ("https://me:s3cret@host/x", "https://me:[hidden]@host/x"),
        ("GET /x?token=abc&n=1", "GET /x?token=[hidden]&n=1"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "[hidden]", "n": 1}'),
        ("the key sandbox.kind is unknown", "the key sandbox.kind is unknown"),
    ],
)
def test_keys_tokens_and_passwords_are_cut_out(text: str, shown: str) -> None:
    assert log.without_secrets(text) == shown


def test_values_of_the_environment_that_are_keys_are_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_API_KEY", "sk-very-long-value")
    monkeypatch.setenv("MONKEY", "a banana a day")
    error = ValueError("bad answer to sk-very-long-value")
    told = made(log.JsonForm(), "a banana a day", exc_info=(ValueError, error, None))
    assert "sk-very" not in told
    assert "bad answer to [hidden]" in told
    assert "banana" in told


def lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl*")) for line in file.read_text().splitlines()]


def test_a_run_logs_into_its_directory_and_not_what_another_run_does(tmp_path: Path) -> None:
    with RunLog(tmp_path, "r1").of("driver"):
        LOG.info("ours")
        LOG.debug("a detail")
        with log.ids(run_id="r2"):
            LOG.info("another's")
    LOG.info("after")
    assert [(one["text"], one["run_id"], one["process"]) for one in lines(tmp_path / "logs")] == [
        ("ours", "r1", "driver")
    ]


def test_details_are_logged_where_they_were_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.show_on_terminal(verbose=True, as_json=False)
    with logs.run_log(tmp_path, "r1").of("driver"):
        LOG.debug("a detail")
    assert [one["text"] for one in lines(tmp_path / "logs")] == ["a detail"]
    assert "debug somewhere: a detail" in capsys.readouterr().err


def test_nothing_is_said_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    log.show_on_terminal(verbose=False, as_json=False)
    LOG.info("quiet")
    assert capsys.readouterr().err == ""


def test_files_are_rotated_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 1000)
    with RunLog(tmp_path, "r1").of("driver"):
        for number in range(100):
            LOG.info("line %d", number)
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == logs.FILES
    assert all(file.stat().st_size <= 1000 for file in files)
    assert "line 99" in [one["text"] for one in lines(tmp_path / "logs")]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    with RunLog(tmp_path, "r1").of("driver"):
        LOG.warning("lost")
    assert "Traceback" not in capsys.readouterr().err


class Bucket:
    """A store that keeps blobs, or refuses them."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.refuses = False

    def replace(self, name: str, data: bytes) -> None:
        if self.refuses:
            raise OSError("no answer")
        self.blobs[name] = data

    def remove(self, name: str) -> None:
        self.blobs.pop(name, None)

    def texts(self) -> list[str]:
        order = sorted(self.blobs, key=lambda name: int(name.partition(".jsonl")[2].lstrip(".") or 0))
        return [json.loads(line)["text"] for name in order for line in self.blobs[name].splitlines()]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    store = Bucket()
    monkeypatch.setattr(logs, "store_at", lambda _: store)
    return store


def log_into(count: int) -> list[str]:
    with RunLog(Remote("s3://bucket/run"), "r1").of("runner-1"):
        for number in range(count):
            LOG.info("line %d", number)
    return [f"line {number}" for number in range(count)]


def test_a_bucket_gets_every_line_in_pieces(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PIECE_BYTES", 1000)
    said = log_into(20)
    assert bucket.texts() == said
    assert len(bucket.blobs) > 2
    assert max(len(blob) for blob in bucket.blobs.values()) <= 1000


def test_a_bucket_keeps_the_newest_pieces(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PIECE_BYTES", 1000)
    monkeypatch.setattr(logs, "PIECES", 3)
    said = log_into(200)
    assert len(bucket.blobs) <= 3 + 1
    assert bucket.texts() == said[-len(bucket.texts()) :]


def test_a_bucket_that_refuses_stops_nothing(bucket: Bucket) -> None:
    bucket.refuses = True
    log_into(3)
    assert bucket.blobs == {}


def test_a_sweep_leaves_its_seals_and_the_retries_of_its_trials(tmp_path: Path) -> None:
    study = raysweep.load(simulated(tmp_path, tasks=20, platform="{node_lost: 0.05}"))
    run = raysweep.run(study, tmp_path / "run")
    said = lines(tmp_path / "run" / "logs")
    rows = run.attempts.to_pylist()
    lost = {row["attempt_id"] for row in rows if row["cause"] == "node_lost"}
    ended = [one for one in said if one["text"].startswith("the platform ended attempt")]
    assert lost
    assert {one["attempt_id"] for one in ended} == lost
    again = {one["attempt_id"] for one in said if one["text"].startswith("retrying trial")}
    assert again == {row["attempt_id"] for row in rows if row["attempt"] > 1}
    assert sum(int(one["text"].split()[1]) for one in said if one["text"].startswith("sealed")) == len(rows)
    assert {one["run_id"] for one in said} == {rows[0]["run_id"]}
