"""Whatever happened to a lane, whenever: time permits a request again, and good answers close it."""

import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trailhook import conditions
from trailhook.delivery import breaker
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.delivery.schedule import PROBE_S_MAX, RETRY_AFTER_S_MAX
from trailhook.model import Lane

IN_FLIGHT_MAX = 4
LEASE_S = 60.0
OK = Verdict(outcome=Outcome.DELIVERED)
LONGEST_WAIT_S = max(PROBE_S_MAX, RETRY_AFTER_S_MAX) + 2.0

verdicts = st.builds(
    Verdict,
    outcome=st.sampled_from(Outcome),
    timed_out=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 1e6),
)


@dataclass
class World:
    lane: Lane = field(default_factory=lambda: Lane(key="a"))
    now: float = 1_750_000_000.25
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def hear(self, verdict: Verdict) -> None:
        self.lane = breaker.after(self.lane, verdict, self.now, IN_FLIGHT_MAX, self.rng)

    def permit(self) -> breaker.Permit:
        return breaker.permit(self.lane, self.now, IN_FLIGHT_MAX)

    def claim(self) -> None:
        self.lane = breaker.claim_probe(self.lane, self.now, LEASE_S)


class AnyLane(RuleBasedStateMachine):
    """Answers, probes and jumps of the clock in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(verdict=verdicts, times=st.integers(1, 6))
    def hear(self, verdict: Verdict, times: int) -> None:
        for _ in range(times):
            self.world.hear(verdict)

    @rule(verdict=verdicts)
    def probe(self, verdict: Verdict) -> None:
        self.world.claim()
        self.world.hear(verdict)

    @rule()
    def claim_and_die(self) -> None:
        self.world.claim()

    @rule(seconds=st.sampled_from([0.1, 6.0, 61.0, 901.0, 4_321.0, 90_000.0, -30.0, -4_000.0, -1e6, -1e9]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.now += seconds

    @invariant()
    def it_is_whole(self) -> None:
        lane = self.world.lane
        assert lane.open == (lane.opened_at is not None)
        assert not lane.open or lane.successes or lane.condition.state != conditions.ACTIVE
        assert 0 <= lane.limit < IN_FLIGHT_MAX
        assert breaker.held_s(lane, self.world.now) >= lane.held_s >= 0
        permit = self.world.permit()
        assert 0 <= permit.limit <= (1 if lane.open else IN_FLIGHT_MAX)
        assert permit.probe == (lane.open and permit.limit == 1)

    @invariant()
    def time_always_permits_a_request(self) -> None:
        # Twice: after a jump back a stale Retry-After may come into reach while the probe is waited for.
        moments = [self.world.now + waits * LONGEST_WAIT_S for waits in range(3)]
        assert any(breaker.permit(self.world.lane, at, IN_FLIGHT_MAX).limit for at in moments)

    @invariant()
    def good_answers_always_close_it(self) -> None:
        world = World(lane=self.world.lane, now=self.world.now)
        for _ in range(12):
            if not world.permit().limit:
                world.now += LONGEST_WAIT_S
            world.claim()
            world.hear(OK)
        assert not world.lane.open
        assert world.permit() == breaker.Permit(limit=IN_FLIGHT_MAX)
        assert world.lane.condition.state == conditions.ACTIVE
        settled = world.lane
        world.hear(OK)
        assert world.lane is settled


TestAnyLane = AnyLane.TestCase
TestAnyLane.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
