"""The ids of traces, and the steps that lead to a batch."""

import re

import pytest

from support.clock import FakeClock
from trailhook import body
from trailhook.model import Unit
from trailhook.tracing import Span, Steps, header, root_of


def unit(number: int) -> Unit:
    return Unit(id=number, source_id="s", intake="s3", place="logs", name=f"log-{number}")


def test_the_trace_of_a_batch_is_the_same_wherever_it_is_asked_for() -> None:
    assert root_of("msg_a") == root_of("msg_a")
    assert root_of("msg_a").trace_id != root_of("msg_b").trace_id
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", root_of("msg_a").traceparent)


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (0.25, 200, 300), (1.0, 1000, 1000)])
def test_the_share_that_is_asked_for_is_sampled(ratio: float, least: int, most: int) -> None:
    sampled = sum(root_of(f"msg_{number}", ratio=ratio).sampled for number in range(1000))
    assert least <= sampled <= most


def test_a_greater_share_holds_all_of_a_smaller_one() -> None:
    ids = [body.new_batch_id() for _ in range(200)]
    few, many = ({each for each in ids if root_of(each, ratio=ratio).sampled} for ratio in (0.2, 0.6))
    assert few < many


def test_a_batch_has_the_steps_of_its_own_units_and_of_the_group() -> None:
    clock = FakeClock()
    steps = Steps(clock)
    with steps.step("lease"):
        clock.advance(1.0)
    for number in (1, 2):
        with steps.step("read", unit(number)):
            clock.advance(2.0)
    found = [(each.name, each.unit and each.unit.id, each.ended_at - each.began_at) for each in steps.of({2})]
    assert found == [("lease", None, 1.0), ("read", 2, 2.0)]


def test_what_failed_led_to_no_batch_and_what_is_done_apart_is_seen_there_only() -> None:
    steps = Steps(FakeClock())
    with pytest.raises(OSError, match="gone"), steps.step("read", unit(1)):
        raise OSError("gone")
    with steps.apart().step("claim and commit"):
        pass
    assert steps.of({1}) == []


def test_a_header_is_sent_unless_the_user_has_set_one() -> None:
    span = Span("a" * 32, "b" * 16, sampled=False)
    assert header(span, {}) == [("traceparent", f"00-{'a' * 32}-{'b' * 16}-00")]
    assert header(span, {"TraceParent": "x"}) == []
    assert header(None, {}) == []
