"""The simulated AWS account: moto's S3 in a process of its own, and the few calls that the demo makes to it."""

import http.client
import logging
import signal
import threading
from urllib.parse import quote

from trailhook.demo.children import end_with_parent
from trailhook.errors import TrailhookError

READY = "Simulated AWS at "
TIMEOUT_S = 10.0


class BucketFailed(TrailhookError):
    """The simulated account did not take an object."""


class Bucket:
    """A bucket of the simulated account, which asks nobody who they are. For one thread."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self._address = address

    def create(self) -> None:
        """Raises `BucketFailed`."""
        self._put(f"/{self.name}", b"")

    def put(self, key: str, body: bytes) -> None:
        """Raises `BucketFailed`."""
        self._put(f"/{self.name}/{quote(key)}", body)

    def _put(self, path: str, body: bytes) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request("PUT", path, body, {"content-type": "application/octet-stream"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise BucketFailed(f"The simulated AWS account does not answer: {type(error).__name__}") from error
        finally:
            connection.close()
        if status != http.client.OK:
            raise BucketFailed(f"The simulated AWS account answered {status}")


def main() -> None:
    """Serve S3 on a free loopback port until SIGTERM, or until the demo is gone."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow, and only the child needs it

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    end_with_parent()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"{READY}{host}:{port}", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
