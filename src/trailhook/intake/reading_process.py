"""`python -m trailhook.intake.reading_process`: a process that reads for another one, which is at its standard input
and output. It opens no store, knows no credentials, and ends when the other one does, however that ends.
"""

import logging
import os
import signal
import sys
from typing import Final

import msgspec

from trailhook import memory
from trailhook.body import LaidOut
from trailhook.intake import pipe
from trailhook.intake.harvest import Harvest, Terms, freeze
from trailhook.intake.reading import read_group
from trailhook.model import Value
from trailhook.settings import Settings
from trailhook.telemetry import configure_logging

log = logging.getLogger(__name__)

_START: Final = msgspec.msgpack.Decoder(pipe.Start)
_REQUEST: Final = msgspec.msgpack.Decoder(pipe.Request)


class _Reading:
    """What is held for the other process, by its numbers."""

    def __init__(self, start: pipe.Start) -> None:
        self._bounds = start.bounds
        self._laid_out_bytes_max = start.laid_out_bytes_max
        self._held: dict[int, tuple[Terms, Harvest]] = {}

    def answer(self, request: pipe.Request) -> Value | None:
        """Do what is asked; what is to be answered."""
        match request:
            case pipe.Read():
                harvest = read_group(request.terms, request.fetched, self._bounds)
                self._held[request.number] = request.terms, harvest
                return harvest.found()
            case pipe.Freeze():
                return self._freeze(*self._held[request.number], frozenset(request.known))
            case pipe.Forget():
                self._held.pop(request.number, None)
                return None

    def _freeze(self, terms: Terms, harvest: Harvest, known: frozenset[bytes]) -> pipe.Frozen:
        laid_out = LaidOut(self._laid_out_bytes_max)
        batches = freeze(terms, harvest.stretches, known, laid_out)
        return pipe.Frozen(batches=batches, laid_out=[laid_out.take(batch) for batch in batches])


def main() -> None:
    """Answer until there is nobody to be answered. Signals to stop are the other process's affair."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.dup(1)
    os.dup2(2, 1)  # so that nothing printed gets among the answers
    if (first := pipe.receive(requests)) is None:
        return
    start = _START.decode(first)
    configure_logging(Settings(log_level=start.log_level, log_format=start.log_format), sys.stderr)
    reading = _Reading(start)
    memory.settle()
    try:
        while (encoded := pipe.receive(requests)) is not None:
            if (answer := reading.answer(_REQUEST.decode(encoded))) is not None:
                pipe.send(answers, answer)
            del encoded, answer
    except BrokenPipeError:
        return
    except Exception:
        log.exception("reading for another process failed unexpectedly")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
