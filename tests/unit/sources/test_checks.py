"""Trying a way in out by finding and reading, and what is left out once something failed."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from support.aws import CREDENTIALS, access
from trailhook.errors import (
    AccessDenied,
    CredentialsInvalid,
    FetchState,
    Invalid,
    ObjectGone,
    StoreUnavailable,
    TrailhookError,
)
from trailhook.model import Credentials, FoundUnit, Unit
from trailhook.sources.base import Access, Check, Page
from trailhook.sources.checks import by_reading

DENIED = AccessDenied("It may not be done.", "Allow it.", action="s3:GetObject")


class Scripted:
    """An identity, units and reading, each of which may fail."""

    def __init__(self, *pages: list[FoundUnit], failing: Mapping[str, TrailhookError] | None = None) -> None:
        self.pages = pages
        self.failing = failing or {}
        self.read_names: list[str] = []

    async def keys(self, access: Access) -> Credentials:
        self._fail("keys")
        return access.credentials

    async def found(self) -> AsyncIterator[Page]:
        self._fail("find")
        for units in self.pages:
            yield Page(units=units)

    async def read(self, _: Access, unit: Unit) -> bytes:
        self.read_names.append(unit.name)
        self._fail("read")
        return b""

    def _fail(self, what: str) -> None:
        if error := self.failing.get(what):
            raise error

    async def checks(self) -> list[Check]:
        what: Any = self
        tried = by_reading(
            self.found(), self.read, what, access("logs"), find="list", found="Found.", where="look elsewhere."
        )
        return [each async for each in tried]


def unit(name: str, size_bytes: int, ignored: str | None = None) -> FoundUnit:
    return FoundUnit(intake="s3", place="logs", name=name, size_bytes=size_bytes, ignored=ignored)


async def test_the_smallest_log_of_the_first_page_that_has_any_is_read() -> None:
    way = Scripted([unit("digest", 1, "digest")], [unit("big", 9), unit("small", 5)], [unit("later", 2)])
    assert [(each.name, each.ok) for each in await way.checks()] == [("identity", True), ("list", True), ("get", True)]
    assert way.read_names == ["small"]


async def test_nothing_to_read_is_no_failure_and_says_where_was_looked() -> None:
    *_, get = await Scripted([unit("digest", 1, "digest")]).checks()
    assert get.ok
    assert "look elsewhere." in get.remedy


@pytest.mark.parametrize(("part", "name"), [("keys", "identity"), ("find", "list"), ("read", "get")])
async def test_what_comes_after_a_failure_is_left_out(part: str, name: str) -> None:
    *before, last = await Scripted([unit("log", 1)], failing={part: DENIED}).checks()
    assert all(each.ok for each in before)
    expected = Check(
        name=name,
        ok=False,
        detail="It may not be done.",
        remedy="Allow it.",
        action="s3:GetObject",
        state=FetchState.ACCESS_DENIED,
    )
    assert last == expected


async def test_a_failure_that_passes_by_itself_says_to_try_again() -> None:
    *_, last = await Scripted(failing={"find": StoreUnavailable("away")}).checks()
    assert (last.ok, last.detail, last.remedy, last.state) == (False, "away", "Try again in a while.", None)


async def test_an_object_that_is_gone_by_then_shows_that_reading_is_allowed() -> None:
    *_, get = await Scripted([unit("log", 1)], failing={"read": ObjectGone("gone", "deleted")}).checks()
    assert get.ok


async def test_an_object_that_cannot_be_read_is_a_failure() -> None:
    *_, get = await Scripted([unit("log", 1)], failing={"read": Invalid("too_large", "It is too large.")}).checks()
    assert (get.ok, get.detail) == (False, "It is too large.")


async def test_no_check_repeats_the_credentials() -> None:
    error = CredentialsInvalid("AWS does not know the key.", "Enter another.")
    shown = repr(await Scripted(failing={"find": error}).checks())
    assert str(CREDENTIALS.secret_access_key) not in shown
