"""Trying a way in out: is there an identity, can it find units, can it read one?"""

from collections.abc import AsyncIterator, Awaitable, Callable

from trailhook.errors import AccessDenied, NeedsAttention, ObjectGone, TrailhookError, Transient
from trailhook.model import FoundUnit, Unit
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access, Check, Page, Reading

NOTHING_THERE = "Nothing to read was found yet, so reading could not be tried."


async def by_reading(
    pages: AsyncIterator[Page],
    read: Callable[[Access, Unit], Awaitable[bytes | Reading]],
    provider: CredentialProvider,
    access: Access,
    *,
    find: str,
    found: str,
    where: str,
) -> AsyncIterator[Check]:
    """Find units and read the smallest of the first page that has any.

    `find` names the check of finding and `found` tells of its success; `where` says which setting decides where units
    are looked for.
    """
    try:
        await provider.keys(access)
    except (NeedsAttention, Transient) as error:
        yield failed("identity", error)
        return
    yield Check(name="identity", ok=True, detail="There are keys to sign with.")
    try:
        unit = await _first(pages, access)
    except (NeedsAttention, Transient) as error:
        yield failed(find, error)
        return
    yield Check(name=find, ok=True, detail=found)
    if unit is None:
        yield Check(name="get", ok=True, detail=NOTHING_THERE, remedy=f"If there should be something: {where}")
        return
    try:
        await read(access, unit)
    except ObjectGone:
        yield Check(name="get", ok=True, detail="Reading was answered; the object tried was gone by then.")
    except TrailhookError as error:
        yield failed("get", error)
    else:
        yield Check(name="get", ok=True, detail=f"Read {unit.name}.")


def failed(name: str, error: TrailhookError) -> Check:
    """The check that ended in an error."""
    if isinstance(error, NeedsAttention):
        action = error.action if isinstance(error, AccessDenied) else None
        return Check(
            name=name, ok=False, detail=error.reason, remedy=error.remedy, action=action or "", state=error.state
        )
    remedy = "Try again in a while." if isinstance(error, Transient) else ""
    return Check(name=name, ok=False, detail=str(error), remedy=remedy)


async def _first(pages: AsyncIterator[Page], access: Access) -> Unit | None:
    """The smallest unit of the first page that has any."""
    async for page in pages:
        wanted = [unit for unit in page.units if unit.ignored is None]
        if wanted:
            return _as_kept(min(wanted, key=lambda unit: unit.size_bytes), access)
    return None


def _as_kept(found: FoundUnit, access: Access) -> Unit:
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return Unit(id=0, source_id=access.source.id, **fields)
