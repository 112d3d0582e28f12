"""TLS as a client: 1.2 or newer, the server always verified, against the system's authorities or a given one's."""

import ssl
from collections import OrderedDict

from trailhook.net.base import CertificateRefused

KEPT_MAX = 128
"""Contexts kept, one for each own authority in use; building the system's takes some 20 ms."""


class Contexts:
    """TLS contexts by the authority they trust; the least recently used is dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str | None, ssl.SSLContext] = OrderedDict()

    def trusting(self, ca_certificate: str | None) -> ssl.SSLContext:
        """A context that trusts this authority (PEM) alone; with None, the system's.

        Raises `CertificateRefused` if the PEM cannot be read.
        """
        context = self._kept.get(ca_certificate) or _context(ca_certificate)
        self._kept[ca_certificate] = context
        self._kept.move_to_end(ca_certificate)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return context


def _context(ca_certificate: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_certificate is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca_certificate)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise CertificateRefused("the source's own CA certificate cannot be read: PEM is expected") from error
    return context
