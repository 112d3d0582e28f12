"""From a leased batch to the request that sends it."""

from trailhook import body
from trailhook.clock import Clock
from trailhook.delivery import sign
from trailhook.delivery.headers import AGENT, of_batch
from trailhook.errors import LeaseLost, NotFound
from trailhook.model import Batch, NewBatch, Source
from trailhook.net.base import Request
from trailhook.security.secrets import SourceSecrets
from trailhook.settings import Settings
from trailhook.store.base import Store
from trailhook.tracing import Span, header


class Outgoing:
    """Finds what travels, and signs it."""

    def __init__(
        self, store: Store, laid_out: body.LaidOut, secrets: SourceSecrets, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._laid_out = laid_out
        self._secrets = secrets
        self._settings = settings
        self._clock = clock

    async def wire(self, batch: Batch) -> bytes:
        """What travels: as it was laid out a moment ago, else from what is stored. Raises `Invalid`, `LeaseLost`."""
        laid_out = self._laid_out.take(batch)
        if laid_out is not None:
            return laid_out
        return body.wire(batch if batch.body else await self.whole(batch))

    async def whole(self, batch: Batch) -> Batch:
        """With body and columns. Raises `LeaseLost` if they are gone: with the source, or once another has sent it."""
        try:
            whole = await self._store.batch(batch.id)
        except NotFound as error:
            raise LeaseLost("the source was removed") from error
        if not whole.body:
            raise LeaseLost("the body was dropped")
        return whole

    def request(
        self, source: Source, batch: NewBatch, wire: bytes, *, attempt: int, span: Span | None = None
    ) -> Request:
        """Signed now. Raises `KeyUnavailable`."""
        now = self._clock.now()
        own = self._secrets.headers(source)
        headers = [
            *of_batch(batch, source.id, attempt),
            AGENT,
            *sign.headers(batch.id, wire, now, self._secrets.signing(source, now)),
            *header(span, own),
            *own.items(),
        ]
        return Request(
            method="POST",
            url=source.callback_url,
            headers=headers,
            body=wire,
            body_bytes_max=self._settings.answer_bytes_max,
            deadline_s=self._settings.callback_timeout_s,
            ca_certificate=source.ca_certificate,
        )
