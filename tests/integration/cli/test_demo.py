"""`trailhook demo` as users run it, with everything in it: its exit status is the truth."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TIME_LIMIT_S = 60


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo, killed if it takes too long."""
    command = [sys.executable, "-m", "trailhook", "demo", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0)
    watch = threading.Timer(TIME_LIMIT_S, running.kill)
    watch.start()
    try:
        with running:
            yield running
    finally:
        watch.cancel()


def read_until(running: subprocess.Popen[str], word: str) -> str:
    assert running.stdout is not None
    seen = ""
    for line in running.stdout:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"never said {word!r}: {seen}")


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def are_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{each}").exists() for each in pids)


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for children in /proc, which is Linux's")


@linux
def test_ctrl_c_ends_it_with_books_that_add_up_and_no_process_left(tmp_path: Path) -> None:
    with demo("--rate", "200", "--data-dir", str(tmp_path)) as running:
        read_until(running, "writing")
        children = children_of(running.pid)
        assert len(children) == 2
        running.send_signal(signal.SIGINT)
        rest = running.communicate()[0]
    assert running.returncode == 0, rest
    assert "It adds up." in rest
    assert are_gone(children)
    assert (tmp_path / "trailhook.sqlite").exists()


@linux
def test_a_product_that_dies_fails_the_demo_and_leaves_no_process() -> None:
    with demo() as running:
        read_until(running, "writing")
        children = children_of(running.pid)
        product = next(each for each in children if b"demo.product" in Path(f"/proc/{each}/cmdline").read_bytes())
        os.kill(product, signal.SIGKILL)
        rest = running.communicate()[0]
    assert running.returncode == 1
    assert "The product ended with status -9" in rest
    assert are_gone(children)
