"""What CI does with tests that failed while several parts of the suite ran side by side (.ci/alone.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = Path(__file__).parents[2] / ".ci" / "alone.py"
TESTS = """
import os
import pytest

@pytest.mark.parametrize("name", ["a::b", "c[d] e", "f", "g"])
def test_it(name):
    assert name not in os.environ.get("FAILING", "").split(",")
"""


@pytest.fixture
def halves(tmp_path):
    """Two runs of one test file each, in a project of their own, that fail where they are asked to."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    for half in ("one", "two"):
        (tmp_path / f"test_{half}.py").write_text(TESTS)

    def run(command, failing=()):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "FAILING": ",".join(failing)}
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    def judged(one=(), two=(), alone=()):
        codes = [
            run(["-m", "pytest", "-q", "-o", f"cache_dir=cache/{half}", f"test_{half}.py"], failing).returncode
            for half, failing in (("one", one), ("two", two))
        ]
        return run([str(ALONE), f"{codes[0]}:cache/one", f"{codes[1]}:cache/two"], alone)

    judged.run = run
    return judged


def test_no_failure_is_no_further_run(halves):
    done = halves()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "==> no test failed\n"


def test_what_passes_alone_is_named_and_fails_nothing(halves):
    done = halves(one=["a::b", "c[d] e"], two=["f"])
    assert done.returncode == 0, done.stdout
    for name in ("test_one.py::test_it[a::b]", "test_one.py::test_it[c[d] e]", "test_two.py::test_it[f]"):
        assert f"==> failed beside other tests, passed alone: {name}\n" in done.stdout
    assert "2 passed" in done.stdout
    assert "1 passed" in done.stdout


def test_what_fails_again_fails_the_whole(halves):
    done = halves(one=["f"], two=["f", "g"], alone=["g"])
    assert done.returncode == 1
    assert "==> failed beside other tests, passed alone: test_one.py::test_it[f]\n" in done.stdout
    assert "==> failed beside other tests, passed alone: test_two.py::test_it[f]\n" in done.stdout
    assert "==> failed beside other tests, failed alone: test_two.py::test_it[g]\n" in done.stdout


def test_many_failures_are_not_run_again(halves):
    done = halves(one=["a::b", "f", "g"], two=["a::b", "f", "g"])
    assert done.returncode == 1
    assert done.stdout == "==> 6 tests failed: none is run again (at most 5 are)\n"


def test_a_run_that_broke_fails_with_its_code(halves):
    done = halves.run([str(ALONE), "0:cache/one", "4:cache/two"])
    assert done.returncode == 4
    assert "a run ended with exit code 4" in done.stdout


def test_static_checks_that_fail_before_any_test_fail_the_whole(halves):
    assert halves.run([str(ALONE), "1:cache/one", "0:cache/two"]).returncode == 1


def test_a_file_that_cannot_be_read_as_tests_fails_the_whole(halves, tmp_path):
    (tmp_path / "test_one.py").write_text("import nothing_of_this_name\n")
    assert halves().returncode == 2  # pytest's code for a collection that was interrupted
