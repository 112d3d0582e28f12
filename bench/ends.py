"""Both ends by themselves, for any forwarder between them: `python -m bench.ends SHAPE`, until Ctrl-C."""

import argparse
import contextlib
import threading

from bench.corpus import corpus
from bench.run import shapes
from bench.s3_pages import BUCKET
from bench.stage import staged


def main() -> None:
    """Say where they listen, and wait."""
    named = {shape.name: shape for shape in shapes(full=False)}
    parser = argparse.ArgumentParser(prog="python -m bench.ends", description=__doc__)
    parser.add_argument("shape", choices=sorted(named))
    files = corpus(named[parser.parse_args().shape])
    with staged(files) as stage, contextlib.suppress(KeyboardInterrupt):
        print(f"S3    http://{stage.stub}  (bucket {BUCKET}, prefix AWSLogs/, path style, any keys)")
        print(f"SQS   http://{stage.stub}/queue/{BUCKET}  (one message an object)")
        print(f"sink  http://{stage.sink}/  ({files.distinct:,} distinct events)", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
