"""What every test may ask for."""

from collections.abc import Iterator

import pytest

from support.aws import SimulatedAws, simulated_aws


@pytest.fixture(scope="session")
def aws() -> Iterator[SimulatedAws]:
    """A simulated AWS account; each test has buckets of its own in it."""
    with simulated_aws() as account:
        yield account
