"""The least that any forwarder must do with a corpus: inflate, find the records, join them."""

import time

import msgspec
from isal import isal_zlib

from bench.corpus import Corpus
from bench.measured import on_core

GROUP_RECORDS = 1_000
ROUNDS = 3
GZIP_WINDOW = 31


class _File(msgspec.Struct):
    Records: list[msgspec.Raw]


_DECODER = msgspec.json.Decoder(_File)


def floor_cpu_s(files: Corpus) -> float:
    """The processor time of that on the product's core, of the best round: nothing is looked at, nothing is kept."""
    with on_core(first=True):
        return min(_round_cpu_s(files) for _ in range(ROUNDS))


def _round_cpu_s(files: Corpus) -> float:
    total_s = 0.0
    held: list[msgspec.Raw] = []
    for body in files.bodies():
        started_s = time.process_time()
        held += _DECODER.decode(isal_zlib.decompress(body, GZIP_WINDOW)).Records
        while len(held) >= GROUP_RECORDS:
            b",".join(held[:GROUP_RECORDS])
            del held[:GROUP_RECORDS]
        total_s += time.process_time() - started_s
    return total_s
