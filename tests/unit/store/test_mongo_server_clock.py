"""The time that a server's answers tell."""

from support.clock import START_AT, FakeClock
from trailhook.store.mongo.server_clock import ServerClock


def test_before_any_answer_it_is_the_machines_time() -> None:
    assert ServerClock(FakeClock()).now() == START_AT


def test_an_answer_corrects_what_it_contradicts() -> None:
    machine = FakeClock()
    clock = ServerClock(machine)
    clock.heard(START_AT + 100, asked_at=machine.now())
    assert clock.now() == START_AT + 100
    machine.advance(5)
    assert clock.now() == START_AT + 105
    clock.heard(START_AT - 50, asked_at=machine.now())
    assert clock.now() == START_AT - 50


def test_an_answer_that_took_its_time_corrects_no_more_than_is_certain() -> None:
    machine = FakeClock()
    clock = ServerClock(machine)
    asked_at = machine.now()
    machine.advance(2)
    clock.heard(START_AT + 1, asked_at=asked_at)
    assert clock.now() == START_AT + 2
    clock.heard(START_AT + 10, asked_at=asked_at)
    assert clock.now() == START_AT + 10


def test_it_is_calm_while_answers_agree() -> None:
    machine = FakeClock()
    clock = ServerClock(machine)
    clock.heard(START_AT + 7, asked_at=machine.now())
    for took_s in (0.5, 0.001, 2.0):
        asked_at = machine.now()
        machine.advance(took_s)
        clock.heard(machine.now() + 7 - took_s / 2, asked_at=asked_at)
        assert clock.now() == machine.now() + 7


async def test_it_sleeps_as_the_machine_does() -> None:
    machine = FakeClock()
    await ServerClock(machine).sleep(3)
    assert machine.slept == [3]
