"""Patterns with `*` (any characters) and `?` (one), as filters and searches take them."""

import re


def expression(pattern: str) -> str:
    """The pattern as a regular expression for `fullmatch` with DOTALL.

    It never goes back over what a `*` has settled, so it takes linear time.
    """
    first, *others = [_literal(part) for part in re.sub(r"\*+", "*", pattern).split("*")]
    if not others:
        return f"(?:{first})"
    *middle, last = others
    return f"(?:{first}{''.join(f'(?>.*?{part})' for part in middle)}.*{last})"


def _literal(part: str) -> str:
    return re.escape(part).replace(r"\?", ".")
