"""The scripts in processes of their own: --jobs, errors and terminals."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from pretended_runs import pretend

import experiments


def side_by_side(path, *pairs, stop=None):
    """The names that failed, after `pairs` ran in two processes."""
    failed = []

    def finish(name, what, result):
        experiments.record(path, failed, name, what, result)
        if stop:
            signal.raise_signal(stop)

    experiments.run_all(list(pairs), pretend, finish, jobs=2)
    return failed


def recorded(path):
    return sorted(json.loads(line)["variant"] for line in path.read_text().splitlines())


def test_a_run_that_diverges_does_not_stop_the_others(tmp_path):
    failed = side_by_side(tmp_path / "a", ("a", "runs"), ("b", "diverges"), ("c", "runs"))
    assert failed == ["b, seed diverges: the loss is nan"]
    assert recorded(tmp_path / "a") == ["a", "c"]


@pytest.mark.parametrize(
    "stop, error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_stopping_ends_the_processes_and_keeps_what_is_recorded(tmp_path, stop, error):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    start, pairs = time.monotonic(), [("a", "runs"), ("b", "lasts"), ("c", "lasts"), ("d", "lasts")]
    with pytest.raises(error):
        side_by_side(tmp_path / "a", *pairs, stop=stop)
    assert recorded(tmp_path / "a") == ["a"] and time.monotonic() - start < 80


@pytest.mark.parametrize("dies", [0, 1])
def test_a_process_that_is_killed_is_one_sentence_at_once(tmp_path, dies):
    what = ["lasts", "lasts"]
    what[dies] = "dies"
    start = time.monotonic()
    with pytest.raises(OSError, match="process was killed, perhaps .* with fewer --jobs"):
        side_by_side(tmp_path / "a", *zip("ab", what, strict=True))
    assert time.monotonic() - start < 80


def test_an_error_is_one_sentence():
    command = [sys.executable, "train.py", "--flags", "width=-1", "--device", "cpu"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("train.py: 's7' can't be built with {'width': -1}: width has")


def test_a_terminal_without_arrows(tmp_path):
    """A path that Windows' cp1252 can't show is printed all the same."""
    code = "import experiments as e; e.run_all = lambda *a: None; e.run_script(e.main)"
    records = tmp_path / "\u2192\xb1" / "a.jsonl"  # an arrow and plus-minus
    arguments = ["analysis", "--records", records, "--device", "cpu"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    said = result.stdout.decode("cp1252")
    assert result.returncode == 0, result.stderr
    assert "8 runs to do; 0 are in " in said and "?\xb1" in said
