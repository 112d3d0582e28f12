"""The composition root: settings in, running parts out. The one file that names concrete classes."""

from dataclasses import dataclass

from trailhook.clock import Clock
from trailhook.net.base import Transport
from trailhook.net.guard import Guard
from trailhook.queue.base import Queue
from trailhook.security.base import Vault
from trailhook.security.secrets import SourceSecrets
from trailhook.security.tokens import Tokens
from trailhook.settings import Settings
from trailhook.store.base import Store
from trailhook.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that runs, for those who put a face on it."""

    settings: Settings
    clock: Clock
    store: Store
    queue: Queue
    vault: Vault
    secrets: SourceSecrets
    tokens: Tokens
    callback_guard: Guard
    aws_guard: Guard
    callbacks: Transport
    aws: Transport
    metrics: Metrics
