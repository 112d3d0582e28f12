"""The simulated AWS account: moto and what it lacks, in a process of their own, and the few calls the demo makes."""

import http.client
import itertools
import logging
import signal
import threading
import time
from urllib.parse import quote

from trailhook.demo.digests import PublicKeys
from trailhook.demo.events import ACCOUNTS, REGIONS
from trailhook.demo.history import Recorder
from trailhook.demo.lookup_events import LookupEvents
from trailhook.demo.validation import Validation
from trailhook.errors import TrailhookError
from trailhook.parent import end_with_parent

READY = "Simulated AWS at "
TIMEOUT_S = 10.0
HISTORY_EVENTS_MAX = 20_000
"""What LookupEvents knows of an account and region: some 50 MB, for the demo may run for days."""


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
    """Serve S3, SQS and CloudTrail's questions on a free loopback port until SIGTERM, or until the demo is gone."""
    from moto.moto_server import werkzeug_app as moto  # noqa: PLC0415 - slow, and only the child needs it
    from werkzeug.serving import make_server  # noqa: PLC0415

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    end_with_parent()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    keys = PublicKeys(app=moto.DomainDispatcherApplication(moto.create_backend_app))
    history = LookupEvents(
        app=Validation(keys, keys, places=list(itertools.product(ACCOUNTS, REGIONS)), now=time.time),
        now=time.time,
        account=ACCOUNTS[0],
        kept_max=HISTORY_EVENTS_MAX,
    )
    server = make_server("127.0.0.1", 0, Recorder(history), threaded=True, request_handler=moto.MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{READY}127.0.0.1:{server.server_port}", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
