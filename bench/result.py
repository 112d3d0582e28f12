"""The figures of one run."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measured import NOTHING_USED, Usage

MIB = 2**20
DERIVED = ("events_per_s", "objects_per_s", "cpu_s_per_million", "times_floor")
PRODUCT = "product"
HELPERS = "helpers"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took, between two looks."""

    cpu_s: float
    written_mib: float
    peak_mib: float
    """Since it was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One shape through one forwarder."""

    shape: str
    who: str
    """The product's engine, or another forwarder's name."""
    idle: bool = False
    """Whether it mostly waited: then how fast it went says nothing."""
    files: int
    events: int
    event_bytes: int
    wall_s: float
    floor_cpu_s: float
    cost: Cost
    """The forwarder's own, all of its processes together."""
    beside: Mapping[str, Cost]
    """The other processes': both ends', and the database's where there is one; and of `cost` what helpers took, which
    the product started."""
    requests: int
    stub_gets_per_s: float = 0.0
    """What the stub gives at most, asked by a client that does nothing else: the ceiling of every figure here."""
    listed_to_answered_ms: Mapping[str, float] = field(default_factory=dict)
    """Percentiles over the files: from the first listing that had it to the answer to its last event."""

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def objects_per_s(self) -> float:
        return self.files / self.wall_s

    @property
    def cpu_s_per_million(self) -> float:
        return self.cost.cpu_s / self.events * 1e6

    @property
    def times_floor(self) -> float:
        return self.cost.cpu_s / self.floor_cpu_s

    @property
    def store_cpu_s_per_million(self) -> float | None:
        """The database's, None where it is inside the product."""
        return self.beside["mongod"].cpu_s / self.events * 1e6 if "mongod" in self.beside else None

    @property
    def written_mib(self) -> float:
        """By the product and its database."""
        return self.cost.written_mib + (self.beside["mongod"].written_mib if "mongod" in self.beside else 0.0)

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        document: dict[str, Any] = _rounded({**asdict(self), **{name: getattr(self, name) for name in DERIVED}})
        return document


def costs(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Cost]:
    """What each process took between two looks, or since it was started in between."""
    return {
        name: Cost(
            cpu_s=now.cpu_s - (was := before.get(name, NOTHING_USED)).cpu_s,
            written_mib=(now.written_bytes - was.written_bytes) / MIB,
            peak_mib=now.peak_bytes / MIB,
        )
        for name, now in after.items()
    }


def total(costs: Iterable[Cost]) -> Cost:
    """Of several processes together."""
    each = list(costs)
    return Cost(
        cpu_s=sum(one.cpu_s for one in each),
        written_mib=sum(one.written_mib for one in each),
        peak_mib=sum(one.peak_mib for one in each),
    )


def percentiles_ms(delays_s: Sequence[float]) -> dict[str, float]:
    """The median and the 95th of a hundred, and of how many."""
    if not delays_s:
        return {}
    cuts = statistics.quantiles(delays_s, n=100, method="inclusive") if len(delays_s) > 1 else [delays_s[0]] * 99
    return {"p50": round(cuts[49] * 1e3, 1), "p95": round(cuts[94] * 1e3, 1), "files": len(delays_s)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 3) if isinstance(value, float) else value
