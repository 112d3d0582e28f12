"""The small server under `trailhook listen` and the demo's receiver, over real sockets."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from trailhook.cli.hooks import CannotListen, HookServer, Reply
from trailhook.delivery.sign import headers

SECRET = b"0123456789abcdef0123456789abcdef"


def post(address: str, body: bytes, given: Mapping[str, str], *, method: str = "POST") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, "/", body, dict(given))
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_a_delivery_is_handed_over_whole_and_answered_as_told() -> None:
    taken: list[tuple[str, bytes]] = []

    def take(given: Mapping[str, str], body: bytes) -> Reply:
        taken.append((given["webhook-id"], body))
        return Reply(429, (("retry-after", "7"),))

    body = os.urandom(300_000)
    with HookServer(take) as server:
        answer = post(server.address, body, {"Webhook-Id": "msg_a"})
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert taken == [("msg_a", body)]


def test_only_post_is_taken() -> None:
    with HookServer(lambda *_: Reply(204)) as server:
        assert post(server.address, b"", {}, method="GET").status == 405


def test_a_port_that_is_taken_is_said_to_be_taken() -> None:
    with HookServer(lambda *_: Reply(204)) as server, pytest.raises(CannotListen, match="--port"):
        HookServer(lambda *_: Reply(204), port=int(server.address.rpartition(":")[2]))


def test_listen_shows_what_comes_and_ends_on_ctrl_c() -> None:
    command = [sys.executable, "-m", "trailhook", "listen", "--port", "0"]
    environ = {**os.environ, "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
    body = b'{"type":"cloudtrail.events","data":{"count":1,"events":[{"eventName":"GetObject"}]}}'
    good, bad = (dict(headers("msg_a", body, time.time(), [secret])) for secret in (SECRET, b"other"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as listening:
        try:
            assert listening.stdout is not None
            address = listening.stdout.readline().partition("http://")[2].partition("/")[0]
            assert [post(address, body, each).status for each in (good, good, bad)] == [204, 204, 401]
            listening.send_signal(signal.SIGINT)
            lines = listening.communicate(timeout=20)[0].splitlines()
        finally:
            listening.kill()
    assert listening.returncode == 0
    assert ["GetObject" in lines[0], "dropped" in lines[2], "BAD signature" in lines[3]] == [True] * 3
    assert lines[1].strip() == "GetObject"
