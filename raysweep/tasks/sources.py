"""Where tasks come from: the bundled sets, a folder, a pinned git repository."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from raysweep.errors import bad_input

BUNDLED = Path(__file__).parent
_GIT = re.compile(r"^git\+(?P<url>.+?)@(?P<sha>[^@#/]*)(?:#subdirectory=(?P<folder>.+))?$")
_SHA = re.compile(r"^[0-9a-f]{40}$")
_SCHEMES = ("https://", "ssh://", "file://")


def bundled_folder(name: str, source: str) -> Path:
    """The folder of a task set that ships with raysweep; InputError when there is none of that name."""
    folder = BUNDLED / name
    if not re.fullmatch(r"[a-z0-9-]+", name) or not folder.is_dir():
        known = sorted({f"bundled:{p.parent.parent.name}" for p in BUNDLED.glob("*/*/task.toml")})
        raise bad_input(f"no bundled task set {name!r}", f"use {', '.join(known)}", key="tasks.source", value=source)
    return folder


def local_folder(source: str, base: Path) -> Path:
    """A folder given relative to the sweep's file; InputError when it is not there."""
    folder = (base / Path(source).expanduser()).resolve()
    if not folder.is_dir():
        raise bad_input(f"{folder} is not a folder", "give a folder of tasks", key="tasks.source", value=source)
    return folder


def git_folder(source: str, cache: Path) -> Path:
    """The folder of a `git+URL@SHA[#subdirectory=FOLDER]` source, cloned into `cache` once and kept there.

    A full commit sha is required: a branch can move between a run and its resumption. InputError when the source is
    malformed, git fails, or the folder is not in that commit.
    """
    found = _GIT.match(source)
    if found is None or not found["url"].startswith(_SCHEMES) or not _SHA.match(found["sha"]):
        raise bad_input(
            "not a pinned git source",
            "write git+https://HOST/REPOSITORY@<40 hex digits of the commit>#subdirectory=FOLDER",
            key="tasks.source",
            value=source,
        )
    url, sha = found["url"], found["sha"]
    clone = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{sha}"
    if not clone.is_dir():
        _clone(url, sha, clone, source)
    folder = (clone / (found["folder"] or ".")).resolve()
    if not folder.is_dir() or not folder.is_relative_to(clone.resolve()):
        raise bad_input(
            f"no folder {found['folder']} in that commit", "correct subdirectory=", key="tasks.source", value=source
        )
    return folder


def _clone(url: str, sha: str, dest: Path, source: str) -> None:
    """Clone beside `dest` and rename, so that a killed clone is never taken for a whole one."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=dest.parent, prefix=".clone-"))
    try:
        _git(source, "init", "--quiet", str(scratch))
        fetch = ["-C", str(scratch), "fetch", "--quiet", "--no-tags"]
        try:
            _git(source, *fetch, "--depth", "1", url, sha)
        except ValueError:  # servers may refuse single commits; then all branches are fetched
            _git(source, *fetch, url, "+refs/heads/*:refs/remotes/origin/*")
        _git(source, "-C", str(scratch), "checkout", "--quiet", "--detach", sha)
        shutil.rmtree(scratch / ".git")
        if not dest.is_dir():
            scratch.rename(dest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _git(source: str, *arguments: str) -> None:
    # No prompts, no hooks, no configuration of the user's that could change what is fetched.
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", *arguments]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise bad_input("git is not installed", "install git", key="tasks.source", value=source) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise bad_input(
            f"git failed: {last}", "check the URL, the commit and your access", key="tasks.source", value=source
        )
