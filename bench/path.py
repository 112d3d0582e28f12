"""How far the path of the data is from its floor, on generated files: `make bench ARGS=--path`.

The floor is the least that any forwarder must do with the same bytes: inflate a file, find where its records begin
and end, join them into bodies. The path is the product's own code, from a file's bytes to signed batches. Neither
includes the store, the network or AWS. CPU time of one core, best of several rounds.
"""

import argparse
import gzip
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from isal import isal_zlib

from trailhook import body
from trailhook.cloudtrail.records import ReadRecords
from trailhook.delivery import sign
from trailhook.demo.generator import Generator
from trailhook.intake.cut import cut
from trailhook.intake.harvest import Terms
from trailhook.intake.inflate import inflate
from trailhook.intake.reading import Bounds
from trailhook.model import DeliveryOptions
from trailhook.settings import Settings

STARTED_AT = 1_750_000_000.0
SOURCE_ID = "00000000-0000-4000-8000-000000000000"
SECRET = bytes(range(32))
LARGE_RECORDS = 2_000
GZIP_WINDOW = 31

SETTINGS = Settings()
OPTIONS = DeliveryOptions()
TERMS = Terms(source_id=SOURCE_ID, filter=None, delivery=OPTIONS, verify_integrity=False, backfill=False)

Stages = dict[str, float]
"""CPU seconds by stage."""


class Raws(msgspec.Struct):
    """A log file, its records untouched."""

    Records: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of one shape, in the groups that share an intake transaction."""

    name: str
    groups: Sequence[Sequence[bytes]]
    files: int
    events: int
    inflated_bytes: int


@contextmanager
def timed(stages: Stages, stage: str) -> Iterator[None]:
    """Add the CPU time of what runs inside to a stage."""
    started_s = time.process_time()
    yield
    stages[stage] = stages.get(stage, 0.0) + time.process_time() - started_s


def generated(events: int, seed: int) -> list[tuple[bytes, ...]]:
    """The records of as many generated files as it takes: 5 to 53 a file, now and then hundreds."""
    generator, files = Generator(seed), []
    while generator.records < events:
        file = generator.next_file(STARTED_AT + 10.0 * generator.files)
        if file.records:
            files.append(file.records)
    return files


def corpus(name: str, files: Sequence[Sequence[bytes]]) -> Corpus:
    """Write the records as CloudTrail's files and group those as intake would."""
    plain = [b'{"Records":[' + b",".join(records) + b"]}" for records in files]
    zipped = [gzip.compress(each, 6, mtime=0) for each in plain]
    return Corpus(name, list(grouped(zipped)), len(files), sum(map(len, files)), sum(map(len, plain)))


def grouped(files: Sequence[bytes]) -> Iterator[list[bytes]]:
    """By the limits of one intake transaction."""
    group: list[bytes] = []
    for file in files:
        full = sum(map(len, group)) + len(file) > SETTINGS.group_bytes_max
        if group and (full or len(group) == SETTINGS.group_units_max):
            yield group
            group = []
        group.append(file)
    yield group


def floor(corpus: Corpus) -> Stages:
    """Inflate, split, join: nothing is looked at, nothing is kept."""
    stages: Stages = {}
    decoder = msgspec.json.Decoder(Raws)
    for group in corpus.groups:
        with timed(stages, "inflate"):
            plain = [isal_zlib.decompress(file, GZIP_WINDOW) for file in group]
        with timed(stages, "split"):
            records = [record for each in plain for record in decoder.decode(each).Records]
        with timed(stages, "join"):
            for start in range(0, len(records), OPTIONS.max_events):
                b",".join(records[start : start + OPTIONS.max_events])
    return stages


def path(corpus: Corpus) -> Stages:
    """The product's own code, as `intake` and `deliver` call it."""
    stages: Stages = {}
    for group in corpus.groups:
        with timed(stages, "inflate"):
            plain = [
                inflate(file, bytes_max=SETTINGS.small_unit_bytes_max, ratio_max=SETTINGS.inflate_ratio_max)
                for file in group
            ]
        with timed(stages, "split, keys, fields"):
            stretches = [stretch for each in _read(plain) for stretch in each.stretches]
        with timed(stages, "cut"):
            pieces = list(cut(stretches, OPTIONS, source_id=SOURCE_ID))
        with timed(stages, "freeze (join, compress, hash)"):
            batches = [
                body.freeze(piece, source_id=SOURCE_ID, options=OPTIONS, batch_id=body.new_batch_id())
                for piece in pieces
            ]
        with timed(stages, "check and inflate to send"):
            wires = [body.wire(batch) for batch in batches]
        with timed(stages, "sign"):
            for batch, wire in zip(batches, wires, strict=True):
                sign.headers(batch.id, wire, STARTED_AT, [SECRET])
    return stages


def _read(group: Sequence[bytes]) -> list[ReadRecords]:
    judge = Bounds.of(SETTINGS).judge(TERMS)
    return list(map(judge.whole, group))


def best(measure: Callable[[Corpus], Stages], corpus: Corpus, rounds: int) -> Stages:
    """The round that took the least."""
    return min((measure(corpus) for _ in range(rounds)), key=lambda stages: sum(stages.values()))


def report(corpus: Corpus, rounds: int) -> None:
    """Print both, stage by stage, in microseconds an event."""
    results = {"floor": best(floor, corpus, rounds), "path": best(path, corpus, rounds)}
    size = corpus.inflated_bytes // corpus.events
    print(f"\n{corpus.name}: {corpus.files:,} files, {corpus.events:,} events of {size:,} bytes")
    for name, stages in results.items():
        for stage, seconds in stages.items():
            print(f"  {name:6} {stage:30} {seconds / corpus.events * 1e6:7.2f} µs an event")
        total_s = sum(stages.values())
        print(f"  {name:6} {'total':30} {total_s / corpus.events * 1e6:7.2f} µs an event", end="")
        print(f", {corpus.events / total_s:,.0f} events/s a core")
    print(f"  path / floor {sum(results['path'].values()) / sum(results['floor'].values()):32.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure small files, as real accounts have them, and large ones."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000, help="about how many to generate (default 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    print(f"Python {platform.python_version()}, {platform.machine()}, one core, best of {options.rounds}")
    files = generated(options.events, options.seed)
    records = [record for file in files for record in file]
    large = [records[start : start + LARGE_RECORDS] for start in range(0, len(records), LARGE_RECORDS)]
    for each in (corpus("small files", files), corpus("large files", large)):
        report(each, options.rounds)


if __name__ == "__main__":
    main()
