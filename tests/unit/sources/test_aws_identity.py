"""Whose keys sign: the source's, the machine's, or those of a role."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import parse_qs

import botocore.session
import pytest

from support.aws import CREDENTIALS, access
from support.bucket import refusal
from support.clock import FakeClock
from trailhook.errors import AccessDenied, CredentialsInvalid, Transient
from trailhook.model import Credentials
from trailhook.net.base import Answer, Request
from trailhook.settings import Settings
from trailhook.sources.aws import Keys
from trailhook.sources.aws_identity import Identities, MachineIdentity

ROLE = CREDENTIALS.but(role_arn="arn:aws:iam::111122223333:role/reader", external_id="an id & more")
MACHINE = Keys(access_key_id="AKIAMACHINE", secret_access_key="machine-secret")


class Sts:
    """Answers AssumeRole with new keys each time, good for an hour."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.requests: list[Request] = []
        self.refusal: Answer | None = None

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.refusal:
            return self.refusal
        ends = datetime.fromtimestamp(self.clock.now() + 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Answer(
            status=200,
            body=(
                '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
                f"<AccessKeyId>ASIA{len(self.requests)}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                f"<SessionToken>t</SessionToken><Expiration>{ends}</Expiration>"
                "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
            ).encode(),
        )


def identities(sts: Sts, machine: Keys | None = None) -> Identities:
    return Identities(sts, Settings(), sts.clock, machine=lambda: machine)


async def test_static_keys_sign_as_they_are_and_nobody_is_asked() -> None:
    sts = Sts(FakeClock())
    keys = await identities(sts).keys(access("b", credentials=CREDENTIALS.but(session_token="token")))
    assert (keys.access_key_id, keys.session_token) == (CREDENTIALS.access_key_id, "token")
    assert sts.requests == []


async def test_a_role_is_assumed_in_the_sources_region_with_its_external_id() -> None:
    sts = Sts(FakeClock())
    keys = await identities(sts).keys(access("b", credentials=ROLE, region="eu-west-1"))
    assert (keys.access_key_id, keys.session_token) == ("ASIA1", "t")
    (request,) = sts.requests
    assert request.url == "https://sts.eu-west-1.amazonaws.com/"
    fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert fields["RoleArn"] == ROLE.role_arn
    assert fields["ExternalId"] == "an id & more"
    assert "eu-west-1/sts/aws4_request" in dict(request.headers)["Authorization"]


async def test_a_custom_endpoint_is_asked_for_roles_too() -> None:
    sts = Sts(FakeClock())
    await identities(sts).keys(access("b", credentials=ROLE, endpoint_url="https://aws.example:4566"))
    assert sts.requests[0].url == "https://aws.example:4566/"


async def test_many_at_once_assume_a_role_once_and_again_only_shortly_before_it_ends() -> None:
    clock = FakeClock()
    sts = Sts(clock)
    provider, asker = identities(sts), access("b", credentials=ROLE)
    await asyncio.gather(*(provider.keys(asker) for _ in range(16)))
    clock.advance(3_000)
    await provider.keys(asker)
    assert len(sts.requests) == 1
    clock.advance(400)
    assert (await provider.keys(asker)).access_key_id == "ASIA2"


async def test_changed_credentials_and_refused_keys_are_obtained_anew() -> None:
    sts = Sts(FakeClock())
    provider = identities(sts)
    await provider.keys(access("b", credentials=ROLE))
    await provider.keys(access("b", credentials=ROLE.but(external_id="another")))
    provider.forget(access("b", credentials=ROLE))
    await provider.keys(access("b", credentials=ROLE.but(external_id="another")))
    assert len(sts.requests) == 3


async def test_without_keys_the_machines_identity_signs_and_assumes_the_role() -> None:
    sts = Sts(FakeClock())
    provider = identities(sts, MACHINE)
    assert (await provider.keys(access("b", credentials=Credentials()))).access_key_id == "AKIAMACHINE"
    await provider.keys(access("b", credentials=Credentials(role_arn=ROLE.role_arn), name="other"))
    assert "Credential=AKIAMACHINE/" in dict(sts.requests[0].headers)["Authorization"]


async def test_a_source_without_keys_on_a_machine_without_identity_says_what_to_do() -> None:
    with pytest.raises(CredentialsInvalid) as raised:
        await identities(Sts(FakeClock())).keys(access("b", credentials=Credentials()))
    assert "access key" in raised.value.remedy


async def test_a_role_that_may_not_be_assumed_is_a_denial_that_names_it() -> None:
    sts = Sts(FakeClock())
    sts.refusal = refusal(403, "AccessDenied")
    with pytest.raises(AccessDenied) as raised:
        await identities(sts).keys(access("b", credentials=ROLE))
    assert raised.value.action == "sts:AssumeRole"
    assert ROLE.role_arn is not None
    assert ROLE.role_arn in raised.value.remedy


@pytest.mark.parametrize("body", [b"", b"<html/>", b"<a><AccessKeyId>x</AccessKeyId></a>"])
async def test_an_answer_without_keys_is_tried_again(body: bytes) -> None:
    sts = Sts(FakeClock())
    sts.refusal = Answer(status=200, body=body)
    with pytest.raises(Transient):
        await identities(sts).keys(access("b", credentials=ROLE))


def test_the_machines_identity_is_what_botocore_finds() -> None:
    session = botocore.session.Session()
    session.set_credentials("AKIAMACHINE", "secret", "token")
    keys = MachineIdentity(lambda: session).keys()
    assert keys == Keys(access_key_id="AKIAMACHINE", secret_access_key="secret", session_token="token")


def test_an_identity_that_botocore_cannot_read_is_our_error() -> None:
    session = botocore.session.Session(profile="no-such-profile")
    with pytest.raises(CredentialsInvalid, match="ProfileNotFound"):
        MachineIdentity(lambda: session).keys()
