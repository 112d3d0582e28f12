"""Where the published CloudTrail logs are that some tests run over; they are not part of this repository."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def real_data() -> Path:
    """The folder, or a skip that says how to provide it."""
    path = Path(os.environ.get("TRAILHOOK_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (path / "EXPECTED.json").exists():
        pytest.skip("real CloudTrail logs are not here: set TRAILHOOK_REAL_DATA to their folder")
    return path
