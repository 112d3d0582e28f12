"""The demo's processes end: when told to, and when the demo is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from trailhook.demo import aws
from trailhook.demo.aws import Bucket, BucketFailed
from trailhook.demo.children import Child, ChildFailed

ORPHAN = """
import sys
from trailhook.demo.children import Child
child = Child("sleeper", "orphan_child")
child.wait_for("up", 20)
print(child.pid, flush=True)
sys.stdin.read()
"""
SLEEPER = """
import signal
from trailhook.parent import end_with_parent
end_with_parent()
print("up", flush=True)
signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up at last", flush=True)
while True:
    signal.pause()
"""


def module(folder: Path, name: str, code: str) -> dict[str, str]:
    """Put a module there; the environment in which it is found."""
    (folder / f"{name}.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_ends_when_its_context_does(tmp_path: Path) -> None:
    with Child("sleeper", "sleeper", environ=module(tmp_path, "sleeper", SLEEPER)) as child:
        child.wait_for("up", 20)
        child.check()
        assert is_running(child.pid)
    assert not is_running(child.pid)
    with pytest.raises(ChildFailed):
        child.check()


def test_a_child_that_will_not_end_is_killed(tmp_path: Path) -> None:
    child = Child("mule", "stubborn", environ=module(tmp_path, "stubborn", STUBBORN))
    assert child.wait_for("up", 20) == "at last"
    child.end(timeout_s=0.1)
    assert not is_running(child.pid)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    environ = module(tmp_path, "orphan_child", SLEEPER)
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(pid)


def test_a_child_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    environ = module(tmp_path, "broken", "raise SystemExit('no disk')")
    with Child("product", "broken", environ=environ) as child, pytest.raises(ChildFailed, match="no disk"):
        child.wait_for("up", 20)


def test_a_child_that_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    environ = module(tmp_path, "sleeper", SLEEPER)
    with Child("sleeper", "sleeper", environ=environ) as child, pytest.raises(ChildFailed, match="did not come up"):
        child.wait_for("never said", 0.5)


def test_the_simulated_account_keeps_objects() -> None:
    with Child("simulated AWS account", "trailhook.demo.aws") as child:
        address = child.wait_for(aws.READY, 30)
        bucket = Bucket(address, "example-trail-logs")
        bucket.create()
        bucket.put("AWSLogs/1/a b.json.gz", b"content")
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            region_name="us-east-1",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="x",
        )
        found = s3.get_object(Bucket="example-trail-logs", Key="AWSLogs/1/a b.json.gz")
        assert found["Body"].read() == b"content"
        s3.close()
        with pytest.raises(BucketFailed, match="404"):
            Bucket(address, "absent").put("x", b"")
    with pytest.raises(BucketFailed, match="does not answer"):
        bucket.put("x", b"")
