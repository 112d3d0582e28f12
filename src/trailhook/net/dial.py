"""Making a connection that the guard has nothing against: each step in its own time, each failure in our words."""

import asyncio
import os
import ssl
from collections.abc import Sequence
from ipaddress import ip_address

from trailhook.net.addresses import Address
from trailhook.net.base import CertificateRefused, ExchangeFailed, Phase
from trailhook.net.connection import Connection
from trailhook.net.guard import Guard, Target
from trailhook.net.tls import Contexts
from trailhook.settings import Settings


class Dialer:
    """The three steps to a connection: `resolve`, `connect`, `secure`."""

    def __init__(self, guard: Guard, settings: Settings) -> None:
        self._guard = guard
        self._contexts = Contexts()
        self._dns_timeout_s = settings.dns_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self._tls_timeout_s = settings.tls_timeout_s

    async def resolve(self, target: Target) -> Sequence[Address]:
        """At least one address, all vetted. Raises Refused or `ExchangeFailed`."""
        try:
            async with asyncio.timeout(self._dns_timeout_s):
                return await self._guard.resolve(target)
        except TimeoutError as error:
            raise ExchangeFailed(Phase.DNS, "resolving the host name took too long", timed_out=True) from error

    async def connect(self, target: Target, addresses: Sequence[Address]) -> Connection:
        """TCP to the first of these addresses that takes it. Raises Refused or `ExchangeFailed`, the last one's."""
        failure = ExchangeFailed(Phase.CONNECT, "there is no address to connect to")
        for address in addresses:
            try:
                connection = await self._connect(address, target.port)
            except ExchangeFailed as error:
                failure = error
            else:
                self._check_peer(target, connection)
                return connection
        raise failure

    async def secure(self, connection: Connection, target: Target, ca_certificate: str | None) -> None:
        """TLS, the certificate verified for the URL's own host. Raises `CertificateRefused` or `ExchangeFailed`."""
        context = self._contexts.trusting(ca_certificate)
        try:
            async with asyncio.timeout(self._tls_timeout_s):
                await connection.upgrade(context, target.host)
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(f"the server's certificate does not verify: {error.verify_message}") from error
        except TimeoutError as error:
            raise ExchangeFailed(Phase.TLS, "the TLS handshake took too long", timed_out=True) from error
        except OSError as error:
            raise ExchangeFailed(Phase.TLS, f"the TLS handshake failed: {_reason(error)}") from error

    async def _connect(self, address: Address, port: int) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(Connection, str(address), port)
        except TimeoutError as error:
            raise ExchangeFailed(Phase.CONNECT, "connecting took too long", timed_out=True) from error
        except OSError as error:
            raise ExchangeFailed(Phase.CONNECT, f"connecting failed: {_reason(error)}") from error
        return connection

    def _check_peer(self, target: Target, connection: Connection) -> None:
        peer = connection.peer()
        if peer is None:
            connection.abort()
            raise ExchangeFailed(Phase.CONNECT, "the connection was closed at once")
        try:
            self._guard.vet(target, ip_address(peer))
        except BaseException:
            connection.abort()
            raise


def _reason(error: OSError) -> str:
    """Without the address, which is nobody's business but the resolver's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "protocol error").replace("_", " ").lower()
    return os.strerror(error.errno).lower() if error.errno else "the connection was closed"
