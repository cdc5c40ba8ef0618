"""The commands of the deployment docs are valid, and are those that the tests run."""

import functools
import re
import shlex
import subprocess
from itertools import dropwhile, pairwise
from pathlib import Path

import pytest
import typer
import yaml

from raysweep.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ("docs/kubernetes.md", "docs/gke.md")
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STANDS_FOR = {"CONFIG": "configs/cluster-gke.yaml", "RUN": "runs/x"}
"""What a reader puts in, as something that is there."""
LINE = re.compile(r"^(?:\$ )?((?:[A-Z_]+=\S* )*(?:raysweep |kubectl |scripts/|cluster/).*)$", re.MULTILINE)


def commands(text):
    """Words of each command of ours in the code blocks, without comments and assignments before it."""
    for block in BLOCK.findall(text):
        for line in LINE.findall(block.replace("\\\n", " ")):
            parts = [[]]
            for word in shlex.split(line, comments=True):
                parts = [*parts, []] if word in {"&&", "|", ";"} else [*parts[:-1], [*parts[-1], word]]
            for part in parts:
                words = tuple(dropwhile(lambda word: re.match("[A-Z_]+=", word), part))
                if words and LINE.match(f"{words[0]} "):
                    yield words


DOCUMENTED = sorted({words for name in DOCS for words in commands((ROOT / name).read_text())})


@functools.cache
def text_of_tests():
    own = Path(__file__)
    return "\n".join(p.read_text() for p in sorted((ROOT / "tests").rglob("*.py")) if p != own)


def subcommand(words):
    """(names of the command, command, what follows), as the command line itself finds it."""
    command, names, rest = typer.main.get_command(app), [], list(words[1:])
    while hasattr(command, "commands"):
        assert rest, f"no command in {words}"
        assert rest[0] in command.commands, f"`raysweep {' '.join([*names, rest[0]])}` is no command"
        names.append(rest.pop(0))
        command = command.commands[names[-1]]
    return names, command, [STANDS_FOR.get(word, word) for word in rest]


def options(words):
    return {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}


@pytest.mark.parametrize("words", [w for w in DOCUMENTED if w[0] == "raysweep"], ids=" ".join)
def test_a_command_of_raysweep_is_understood_and_tested(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    names, command, rest = subcommand(words)
    command.make_context(" ".join(names), rest)
    called = r",\s*".join(f'"{name}"' for name in names)
    assert re.search(called, text_of_tests()), f"no test calls {names}"
    assert [o for o in options(rest) if f'"{o}"' not in text_of_tests()] == []


@pytest.mark.parametrize("words", [w for w in DOCUMENTED if w[0].startswith("scripts/")], ids=" ".join)
def test_a_script_does_a_dry_run(words, tmp_path):
    sweep = yaml.safe_load((ROOT / "configs" / "cluster-gke.yaml").read_text())
    sweep["sandbox"]["image"] = f"registry.example/python@sha256:{'0' * 64}"  # nothing to be looked up
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    told = [str(tmp_path / "sweep.yaml") if word == "CONFIG" else word for word in words if word != "--dry-run"]
    done = subprocess.run([*told, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("words", [w for w in DOCUMENTED if w[0].startswith("cluster/")], ids=" ".join)
def test_the_build_of_the_image_is_what_ci_runs(words):
    assert (ROOT / words[0]).stat().st_mode & 0o111
    assert words[0] in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("words", [w for w in DOCUMENTED if w[0] == "kubectl"], ids=" ".join)
def test_what_kubectl_is_given_is_there(words):
    for option, value in pairwise(words):
        if (
            option == "-k" and "github.com/" not in value
        ):  # every folder of cluster/ with this file is built and admitted in tests/deploy
            assert (ROOT / value / "kustomization.yaml").is_file()
            assert value.startswith("cluster/")
        if option == "-f" and value != "-" and "://" not in value:
            assert (ROOT / value).exists()


def test_the_docs_have_commands_of_each_kind():
    assert {words[0].partition("/")[0] for words in DOCUMENTED} >= {"raysweep", "kubectl", "scripts", "cluster"}
