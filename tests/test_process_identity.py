"""Whether the process that made something still runs: the same one, in the same place."""

import os
import subprocess
import sys

import pytest

from raysweep.process import (
    ALIVE,
    DEAD,
    UNKNOWN,
    died_here,
    is_alive,
    owner_state,
    owner_token,
    place,
    process_token,
    start_of,
)


@pytest.fixture
def child():
    """A process that ends when its standard input does."""
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    if started.poll() is None:
        started.kill()
    started.communicate()


def test_a_process_is_alive_until_it_ends(child):
    token = process_token(child.pid)
    assert is_alive(token)
    assert not died_here(place(), token)
    child.communicate(b"\n")
    assert not is_alive(token)
    assert died_here(place(), token)


def test_a_zombie_has_ended(child):
    token = process_token(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(token)


def test_an_id_that_is_used_again_is_another_process():
    pid, started = process_token().split("-")
    assert is_alive(f"{pid}-{started}")
    assert not is_alive(f"{pid}-{int(started) + 1}")


@pytest.mark.parametrize("token", ["", "-", "pid-1", "7"])
def test_what_is_no_token_is_no_live_process(token):
    assert not is_alive(token)


@pytest.mark.parametrize("where", ["", "elsewhere", place() + "1"])
def test_a_process_elsewhere_is_never_known_to_be_dead(where):
    pid, started = process_token().split("-")
    assert not died_here(where, f"{pid}-{int(started) + 1}")


def test_an_owner_is_this_very_process_and_dies_with_it():
    assert owner_state(owner_token()) == ALIVE
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = owner_token(child.pid)
    assert owner_state(token) == ALIVE
    child.communicate(b"\n")
    assert owner_state(token) == DEAD


def test_a_process_id_used_again_is_not_the_owner():
    *rest, start = owner_token().split("/")
    assert owner_state("/".join([*rest, start + "1"])) == DEAD


@pytest.mark.parametrize(("part", "state"), [(0, UNKNOWN), (1, DEAD), (2, UNKNOWN)])
def test_owners_on_another_machine_boot_or_in_another_container(part, state):
    parts = owner_token().split("/")
    parts[part] = "another"
    assert owner_state("/".join(parts)) == state


@pytest.mark.parametrize("text", ["", "a/b", "a/b/c/d/e/f", "a/b/c/pid/e"])
def test_what_is_no_owner_is_unknown(text):
    assert owner_state(text) == UNKNOWN


def test_owners_are_told_where_there_is_no_proc(monkeypatch):
    """As on macOS: ps tells when a process began."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert owner_state(owner_token()) == ALIVE
    assert "/" not in start_of(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", ""])
    token = owner_token(child.pid)
    child.wait()
    assert owner_state(token) == DEAD
