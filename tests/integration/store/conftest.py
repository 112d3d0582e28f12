"""A MongoDB that the tests here may kill, and have commands fail on."""

from collections.abc import Iterator

import pytest

from support.mongod import Mongod, own_mongod


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with own_mongod(tmp_path_factory.mktemp("mongod")) as server:
        yield server
