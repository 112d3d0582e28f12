"""What a process does that is there for the one that started it."""

import os
import signal
import threading


def end_with_parent() -> None:
    """End, as if told to, once the other end of our standard input is gone, however it went."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
