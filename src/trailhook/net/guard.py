"""Which hosts an outbound connection may go to: every URL that a user gave passes here, and so does every address.

A URL is judged by its spelling alone (`check_url`), then its name is resolved once and every address is judged
(`resolve`), then the address that was really reached is judged again (`vet`).
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Self

from trailhook.errors import Refused, SettingsError
from trailhook.model import Value
from trailhook.net.addresses import Address, Network, Tier, tier_of, unwrapped
from trailhook.net.base import ExchangeFailed, Phase
from trailhook.settings import PREFIX, Settings

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port in, addresses out in the order to try them. Raises OSError."""

HTTP_CALLBACKS = f"{PREFIX}ALLOW_HTTP_CALLBACKS"
CALLBACK_HOSTS = f"{PREFIX}ALLOW_CALLBACK_HOSTS"
CALLBACK_CIDRS = f"{PREFIX}ALLOW_CALLBACK_CIDRS"
AWS_ENDPOINTS = f"{PREFIX}ALLOW_AWS_ENDPOINTS"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORT_MAX = 65_535
_HOST_CHARS_MAX = 253
_VISIBLE = re.compile(r"[!-~]*")
_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^#]*)(?P<fragment>#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_AWS_HOST = re.compile(
    r"(?:.+\.)?(?:s3|sqs|queue|sts|cloudtrail)(?:-[a-z0-9-]+)?"
    r"(?:\.dualstack)?(?:\.[a-z]{2,4}(?:-[a-z]+)+-[0-9]+)?(?:\.vpce)?"
    r"\.(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws|api\.amazonwebservices\.(?:com\.cn|eu))"
)
"""The services we call at AWS. Not merely `*.amazonaws.com`: anybody's load balancers and machines are named so too."""


class Target(Value, frozen=True, kw_only=True):
    """A URL taken apart. `host` is lower-case, an IPv6 literal in its shortest form without brackets."""

    scheme: str
    host: str
    port: int
    path_and_query: str

    @property
    def authority(self) -> str:
        """What the `host` header says: the port only where it is not the scheme's own."""
        return _bracketed(self.host) if self.port == _DEFAULT_PORTS[self.scheme] else self.host_and_port

    @property
    def host_and_port(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def literal(self) -> Address | None:
        """The address, where the host is one."""
        return _address(self.host)


LOOKUPS_MAX = 32
"""Lookups under way at a time. One that hangs is given up, but its thread is taken until the system gives up, too."""


class SystemResolver:
    """Asks the operating system, in threads of its own: lookups that hang hold up nothing but other lookups."""

    def __init__(self, look_up: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo) -> None:
        self._look_up = partial(look_up, type=socket.SOCK_STREAM)
        self._threads = ThreadPoolExecutor(max_workers=LOOKUPS_MAX, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port)
        return [str(each[4][0]) for each in found]


class Guard:
    """Judges URLs and addresses; for callbacks and for AWS the rules differ, see the two class methods.

    `hosts` are exact `host` or `host:port` entries that lift every tier, `cidrs` the private ranges that may be
    called. Raises SettingsError for an entry that is neither.
    """

    def __init__(
        self,
        *,
        hosts: Sequence[str] = (),
        cidrs: Sequence[str] = (),
        allow_http: bool = False,
        only_aws: bool = False,
        resolver: Resolver | None = None,
    ) -> None:
        self._only_aws = only_aws
        self._hosts_setting = AWS_ENDPOINTS if only_aws else CALLBACK_HOSTS
        self._hosts = frozenset(_host_entry(each, self._hosts_setting) for each in hosts)
        self._networks = tuple(_network(each) for each in cidrs)
        self._allow_http = allow_http
        self._resolver = resolver or SystemResolver()

    @classmethod
    def for_callbacks(cls, settings: Settings, *, resolver: Resolver | None = None) -> Self:
        """Public addresses over https; what else is up to the settings."""
        return cls(
            hosts=settings.allow_callback_hosts,
            cidrs=settings.allow_callback_cidrs,
            allow_http=settings.allow_http_callbacks,
            resolver=resolver,
        )

    @classmethod
    def for_aws(cls, settings: Settings, *, resolver: Resolver | None = None) -> Self:
        """The AWS services we call, over https, at public addresses or a VPC's private ones.

        A host listed in the settings may be anything anywhere, over http too.
        """
        return cls(hosts=settings.allow_aws_endpoints, only_aws=True, resolver=resolver)

    def check_url(self, url: str) -> Target:
        """Take `url` apart if its spelling, scheme and literal address are fine; asks no resolver.

        Raises Refused. The message never repeats the URL: its path may be a secret.
        """
        target = _parse(url)
        listed = self._listed(target)
        if self._only_aws and not (listed or _AWS_HOST.fullmatch(target.host)):
            raise _refused("this host is not an AWS endpoint", self._hosts_setting)
        if target.scheme == "http" and not (self._allow_http or (self._only_aws and listed)):
            raise _refused("the URL must begin with https://", AWS_ENDPOINTS if self._only_aws else HTTP_CALLBACKS)
        if (literal := target.literal) is not None:
            self.vet(target, literal)
        return target

    async def resolve(self, target: Target) -> Sequence[Address]:
        """Every address of the target, in the order to try them, all of them judged fine.

        Raises Refused if any one is not, and `ExchangeFailed` if there is none.
        """
        if (literal := target.literal) is not None:
            self.vet(target, literal)
            return (literal,)
        try:
            addresses = [ip_address(text) for text in await self._resolver(target.host, target.port)]
        except (OSError, ValueError) as error:
            raise ExchangeFailed(Phase.DNS, "the host name does not resolve") from error
        if not addresses:
            raise ExchangeFailed(Phase.DNS, "the host name has no address")
        for address in addresses:
            self.vet(target, address)
        return tuple(dict.fromkeys(addresses))

    def vet(self, target: Target, address: Address) -> None:
        """Raises Refused unless a connection for `target` may reach `address`."""
        if self._listed(target):
            return
        tier = tier_of(address)
        if tier is Tier.FORBIDDEN:
            raise _refused("this host has a loopback, link-local, metadata or reserved address", self._hosts_setting)
        if tier is Tier.PRIVATE and not self._only_aws and not self._in_networks(address):
            raise _refused("this host has a private address", CALLBACK_CIDRS)

    def _listed(self, target: Target) -> bool:
        return _bracketed(target.host) in self._hosts or target.host_and_port in self._hosts

    def _in_networks(self, address: Address) -> bool:
        return all(any(each in network for network in self._networks) for each in unwrapped(address))


def _parse(url: str) -> Target:
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise Refused(
            "the URL holds a space, a control character, a backslash or a letter beyond ASCII: "
            "percent-encode its path, and write its host in the xn-- form"
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise Refused("this is not a URL such as https://example.com/webhook")
    if match["fragment"] is not None:
        raise Refused("the URL must not have a fragment (#)")
    if "@" in match["authority"]:
        raise Refused("the URL must not hold a user name or password")
    scheme = match["scheme"].lower()
    host, port = _split_authority(match["authority"])
    path = match["path"]
    return Target(
        scheme=scheme,
        host=host,
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        path_and_query=path if path.startswith("/") else f"/{path}",
    )


def _split_authority(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority.lower())
    if match is None:
        raise Refused("the URL's host or port is malformed")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port <= _PORT_MAX:
        raise Refused(f"the URL's port must be from 1 to {_PORT_MAX}")
    return _canonical_host(match["host"]), port


def _canonical_host(host: str) -> str:
    """One spelling for every host: what other programs read as an address must be written as one."""
    try:
        if host.startswith("["):
            return str(IPv6Address(host[1:-1]))
        if _ENDS_IN_A_NUMBER.fullmatch(host):
            return str(IPv4Address(host))
    except AddressValueError as error:
        raise Refused("the URL's host is an address in an unusual spelling") from error
    if len(host) > _HOST_CHARS_MAX or not _NAME.fullmatch(host):
        raise Refused("the URL's host is not a plain host name (nor may it end in a dot)")
    return host


def _host_entry(entry: str, setting: str) -> str:
    bare_ipv6 = isinstance(_address(entry), IPv6Address)
    try:
        host, port = _split_authority(f"[{entry}]" if bare_ipv6 else entry)
    except Refused as error:
        raise SettingsError(f"{setting} must list exact hosts, as host or host:port") from error
    return _bracketed(host) if port is None else f"{_bracketed(host)}:{port}"


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        raise SettingsError(f"{CALLBACK_CIDRS} must list ranges such as 10.0.0.0/8") from error


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refused(what: str, setting: str) -> Refused:
    return Refused(f"{what}; {setting} can allow it", setting=setting)
