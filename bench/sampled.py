"""`python -m bench.sampled FILE serve …`: Trailhook with a thread beside it that samples where its time goes.

Every few milliseconds it looks at every thread's stack and charges what the thread has used of the processor since the
last look (its own clock, not the wall's) to the place in our code that it is at. Written to FILE at the end, as JSON:
stage → function → seconds.
"""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import trailhook
from trailhook.cli.main import main
from trailhook.parent import end_with_parent

EVERY_S = 0.002
SWITCH_S = 0.0001
"""Others are to let the sampler in where they are, not where they next wait."""
OWN = str(Path(trailhook.__file__).parent)
STAGES = {
    "store/": "store",
    "cloudtrail/columns.py": "freeze",
    "body.py": "freeze",
    "cloudtrail/": "split, keys, fields",
    "intake/inflate.py": "inflate",
    "intake/cut.py": "cut",
    "intake/": "intake, the loop",
    "sources/": "list and get",
    "net/": "network",
    "delivery/sign.py": "sign",
    "delivery/": "deliver, the loop",
    "queue/": "queue",
    "api/": "API",
}

Place = tuple[str, str]
"""A stage, and the function in it."""


class Sampler:
    """Charges processor time to places."""

    def __init__(self) -> None:
        self.seconds: Counter[Place] = Counter()
        self._used_ns: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        own = threading.get_ident()
        while not self._stop.wait(EVERY_S):
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    self._charge(ident, frame)

    def _charge(self, ident: int, frame: FrameType) -> None:
        try:
            used_ns = time.clock_gettime_ns(time.pthread_getcpuclockid(ident))
        except OSError:
            return  # it has just ended
        spent_ns = used_ns - self._used_ns.get(ident, used_ns)
        self._used_ns[ident] = used_ns
        if spent_ns:
            self.seconds[place_of(frame)] += spent_ns / 1e9  # type: ignore[assignment] # seconds are no counts


def place_of(frame: FrameType | None) -> Place:
    """The innermost function of ours on a stack."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OWN):
            module = name[len(OWN) + 1 :]
            stage = next((stage for start, stage in STAGES.items() if module.startswith(start)), module)
            return stage, f"{module} {frame.f_code.co_qualname}"
        frame = frame.f_back
    return "event loop, threads", "outside our code"


def write(path: Path, seconds: Counter[Place]) -> None:
    """By stage, the dearest first."""
    stages: dict[str, dict[str, float]] = {}
    for (stage, function), spent_s in seconds.most_common():
        stages.setdefault(stage, {})[function] = round(spent_s, 3)
    path.write_text(json.dumps(stages, indent=1))


if __name__ == "__main__":
    end_with_parent()
    sys.setswitchinterval(SWITCH_S)
    sampler = Sampler()
    sampler.start()
    out = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        sampler.stop()
        write(out, sampler.seconds)
