"""Who asks: a source's own keys, the machine's identity, or a role assumed on top of either."""

import asyncio
import hashlib
import re
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode

import botocore.session
import msgspec
from botocore.exceptions import BotoCoreError

from trailhook.clock import Clock
from trailhook.errors import CredentialsInvalid, Transient
from trailhook.model import Credentials
from trailhook.net.base import Transport
from trailhook.settings import Settings
from trailhook.sources.aws import AwsHttp, Call, Keys, OnRequest, service_host
from trailhook.sources.aws_xml import UnreadableXml, leaf_texts
from trailhook.sources.base import Access

ROLE_DURATION_S = 3_600
"""The longest that AWS grants to a role assumed from a role."""
REFRESH_BEFORE_S = 300.0
MACHINE_KEPT_S = 60.0
"""How long the machine's keys are used before botocore is asked again; it renews them itself in time."""
_ANSWER_BYTES_MAX = 64 * 1024


class CredentialProvider(Protocol):
    """Knows which keys sign a source's requests."""

    async def keys(self, access: Access) -> Keys:
        """Keys that are good for some minutes at least. Raises `NeedsAttention` or `Transient`."""

    def forget(self, access: Access) -> None:
        """AWS refused these keys: obtain new ones next time, where that is possible."""


class MachineIdentity:
    """What botocore finds on this machine: environment, profile, container or instance role. It may block."""

    def __init__(self, session: Callable[[], botocore.session.Session] = botocore.session.Session) -> None:
        self._open = session
        self._session: botocore.session.Session | None = None
        self._lock = threading.Lock()  # a session is not made for several threads

    def keys(self) -> Keys | None:
        """The present keys, None where the machine has no identity. Raises `CredentialsInvalid`."""
        try:
            with self._lock:
                self._session = self._session or self._open()
                credentials = self._session.get_credentials()
                frozen = credentials.get_frozen_credentials() if credentials else None
        except BotoCoreError as error:
            raise CredentialsInvalid(
                f"This machine's own AWS identity cannot be read ({type(error).__name__}).",
                "Correct it, or give the source an access key.",
            ) from error
        if frozen is None:
            return None
        return Keys(access_key_id=frozen.access_key, secret_access_key=frozen.secret_key, session_token=frozen.token)


class _Kept:
    """The keys obtained for one source, and the right to be the only one who renews them."""

    def __init__(self, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        self.keys: Keys | None = None
        self.lock = asyncio.Lock()

    def is_of_use(self, now: float) -> bool:
        return self.lock.locked() or (self.keys is not None and (self.keys.expires_at or 0.0) > now)


class Identities:
    """The `CredentialProvider` of production. Keys that were obtained are kept until shortly before they end."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        clock: Clock,
        *,
        machine: Callable[[], Keys | None] | None = None,
        on_request: OnRequest | None = None,
    ) -> None:
        self._http = AwsHttp(transport, clock, on_request)
        self._settings = settings
        self._clock = clock
        self._machine = machine or MachineIdentity().keys
        self._kept: dict[str, _Kept] = {}

    async def keys(self, access: Access) -> Keys:
        static = _static(access.credentials)
        if static is not None and access.credentials.role_arn is None:
            return static
        kept = self._kept_for(access)
        async with kept.lock:
            if kept.keys is None or not self._is_fresh(kept.keys):
                kept.keys = await self._obtain(access, static)
            return kept.keys

    def forget(self, access: Access) -> None:
        self._kept.pop(access.source.id, None)

    async def _obtain(self, access: Access, static: Keys | None) -> Keys:
        base = static or await self._machine_keys()
        return await self._assume(access, base) if access.credentials.role_arn else base

    def _is_fresh(self, keys: Keys) -> bool:
        return keys.expires_at is not None and keys.expires_at - self._clock.now() > REFRESH_BEFORE_S

    def _kept_for(self, access: Access) -> _Kept:
        """What is kept for this source as it is now; what has ended goes, so that no removed source stays here."""
        source = access.source
        about = (source.region, source.endpoint_url, access.credentials)
        fingerprint = hashlib.sha256(msgspec.json.encode(about)).digest()
        kept = self._kept.get(source.id)
        if kept is None or kept.fingerprint != fingerprint:
            now = self._clock.now()
            self._kept = {key: each for key, each in self._kept.items() if each.is_of_use(now)}
            kept = self._kept[source.id] = _Kept(fingerprint)
        return kept

    async def _machine_keys(self) -> Keys:
        keys = await asyncio.to_thread(self._machine)
        if keys is None:
            raise CredentialsInvalid(
                "The source has no access key, and this machine has no AWS identity of its own.",
                "Give the source an access key, or run Trailhook where AWS gives it a role.",
            )
        return keys.but(expires_at=self._clock.now() + REFRESH_BEFORE_S + MACHINE_KEPT_S)

    async def _assume(self, access: Access, base: Keys) -> Keys:
        """Over our own transport rather than botocore's: `endpointUrl` is the user's, so the guard must see it."""
        source, role_arn = access.source, access.credentials.role_arn or ""
        fields = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": role_arn,
            "RoleSessionName": re.sub(r"[^\w+=,.@-]", "-", f"trailhook-{source.id}", flags=re.ASCII)[:64],
            "DurationSeconds": str(ROLE_DURATION_S),
        }
        if access.credentials.external_id:
            fields["ExternalId"] = access.credentials.external_id
        call = Call(
            operation="AssumeRole",
            service="sts",
            region=source.region,
            method="POST",
            url=(source.endpoint_url or f"https://{service_host('sts', source.region)}").rstrip("/") + "/",
            headers=[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            body=urlencode(fields).encode(),
            answer_bytes_max=_ANSWER_BYTES_MAX,
            deadline_s=self._settings.aws_timeout_s,
            ca_certificate=source.ca_certificate,
            resource=role_arn,
        )
        return _assumed((await self._http.send(call, base)).body)


def _static(credentials: Credentials) -> Keys | None:
    if credentials.access_key_id is None or credentials.secret_access_key is None:
        return None
    return Keys(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key,
        session_token=credentials.session_token,
    )


def _assumed(body: bytes) -> Keys:
    try:
        texts = leaf_texts(body)
        return Keys(
            access_key_id=texts["AccessKeyId"],
            secret_access_key=texts["SecretAccessKey"],
            session_token=texts["SessionToken"],
            expires_at=datetime.fromisoformat(texts["Expiration"]).timestamp(),
        )
    except (UnreadableXml, KeyError, ValueError) as error:
        raise Transient(f"AssumeRole: the answer cannot be read ({type(error).__name__}).") from error
