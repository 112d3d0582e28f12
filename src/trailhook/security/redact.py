"""Takes secrets out of text before it is kept, shown or logged: a receiver may echo what it was sent.

It is the net under the rule that nothing secret is written down at all.
"""

import re
from collections.abc import Iterable

MASK = "***"
_KNOWN_LENGTH_MIN = 4
"""A known value shorter than this is no secret; masking every `1` would leave nothing to read."""

_LOOKS = (
    (re.compile(r"whsec_[A-Za-z0-9+/_-]+=*"), MASK),
    (re.compile(r"\bth_[a-z2-7]{20,}"), f"th_{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/-]{6,}=*"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)(x-amz-(?:security-token|signature|credential)\W{1,4})[^\s&\"',;]+"), rf"\1{MASK}"),
    (
        re.compile(r"(?i)((?:secret_?access_?key|session_?token|signing_?secret|password)\W{1,4})[^\s&\"',;}]+"),
        rf"\1{MASK}",
    ),
    # A password in a URL.
    (re.compile(r"(\w://[^\s/@:]*):[^\s/@]+@"), rf"\1:{MASK}@"),
    # The start of every AWS session token, by the generation of STS.
    (re.compile(r"(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/%]{60,}=*"), MASK),
    # An access key id, of which the last four characters may be shown.
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}(?=[A-Z0-9]{4}\b)"), MASK),
)
"""What secrets look like where they are at home."""
_SIGNS = re.compile(
    r"whsec_|th_|bearer|basic|x-amz-|secret|token|password|://|fwog|fqog|iqoj|akia|asia|[a-z0-9+/]{40}|[^\x00-\x7f]"
)
"""What a text has in it, in lower case, in which anything may look like a secret; letters beyond ASCII are other ways
to write some within. Most texts are short answers of receivers that have none of it."""
_FORTY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/])")
"""The shape of an AWS secret access key."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every one of `secrets`, each word of them, and whatever looks like a credential masked by `***`."""
    words = {word for secret in secrets for word in (secret, *secret.split()) if len(word) >= _KNOWN_LENGTH_MIN}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, MASK)
    if not _SIGNS.search(text.lower()):
        return text
    for look, mask in _LOOKS:
        text = look.sub(mask, text)
    return _FORTY.sub(_mask_mixed, text)


def _mask_mixed(found: re.Match[str]) -> str:
    """Keys have letters of both cases; forty characters of one are a SHA-1 or a path."""
    text = found.group()
    return text if text in (text.lower(), text.upper()) else MASK
