"""Looking at a Redis (or Valkey) from outside: who answers, as what. Nothing is changed."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trailhook.errors import SettingsError, StoreUnavailable
from trailhook.model import Value


class Look(Value, frozen=True, kw_only=True):
    """What was found."""

    name: str
    version: str
    eviction: str
    """What it does when its memory is full."""


async def look(url: str, *, within_s: float) -> Look:
    """Ask the server at `url`. Raises `StoreUnavailable` without an answer, `SettingsError` for a URL that is none."""
    try:
        async with Redis.from_url(url, socket_timeout=within_s, socket_connect_timeout=within_s) as client:
            await client.ping()
            said = await client.info()
    except ValueError as error:
        raise SettingsError("TRAILHOOK_REDIS_URL is not a Redis URL") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis does not answer: {type(error).__name__}") from error
    name = str(said.get("server_name", "redis"))
    return Look(
        name=name,
        version=str(said.get(f"{name}_version", said["redis_version"])),
        eviction=str(said.get("maxmemory_policy", "noeviction")),
    )
