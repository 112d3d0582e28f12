"""What every test may ask for."""

from collections.abc import Iterator

import hypothesis
import pytest

from support.aws import SimulatedAws, simulated_aws
from support.mongod import shared_mongodb
from support.valkey import any_redis

hypothesis.settings.register_profile("untimed", deadline=None)  # on a busy machine any example may take long
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def aws() -> Iterator[SimulatedAws]:
    """A simulated AWS account; each test has buckets of its own in it."""
    with simulated_aws() as account:
        yield account


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A database in a Redis or Valkey; a test that uses it empties it first."""
    with any_redis() as url:
        yield url


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MongoDB; a test appends the name of its database."""
    with shared_mongodb(tmp_path_factory.mktemp("mongod")) as url:
        yield url
