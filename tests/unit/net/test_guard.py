"""Which URLs and addresses the guard lets through, and what it says where it does not."""

import asyncio
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from trailhook.errors import Refused, SettingsError
from trailhook.net.base import ExchangeFailed, Phase
from trailhook.net.guard import Guard, Resolver, SystemResolver
from trailhook.settings import Settings


def resolving_to(*addresses: str) -> Resolver:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolver


async def resolving_fails(host: str, port: int) -> Sequence[str]:
    raise OSError(-2, "Name or service not known")


def callbacks(resolver: Resolver = resolving_fails, **settings: object) -> Guard:
    return Guard.for_callbacks(Settings(**settings), resolver=resolver)  # type: ignore[arg-type]


def aws(resolver: Resolver = resolving_fails, *, endpoints: Sequence[str] = ()) -> Guard:
    return Guard.for_aws(Settings(allow_aws_endpoints=tuple(endpoints)), resolver=resolver)


# ------------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("https://example.com/hook", "https", "example.com", 443, "/hook"),
        ("HTTPS://Example.COM", "https", "example.com", 443, "/"),
        ("https://example.com:8443?a=b/c@d", "https", "example.com", 8443, "/?a=b/c@d"),
        ("https://example.com/a//b%2F?", "https", "example.com", 443, "/a//b%2F?"),
        ("https://my_host.xn--bcher-kva.example/", "https", "my_host.xn--bcher-kva.example", 443, "/"),
        ("https://1.1.1.1:1/", "https", "1.1.1.1", 1, "/"),
        ("https://[2606:4700:0:0::1111]/x", "https", "2606:4700::1111", 443, "/x"),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, scheme: str, host: str, port: int, path: str) -> None:
    target = callbacks().check_url(url)
    assert (target.scheme, target.host, target.port, target.path_and_query) == (scheme, host, port, path)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://example.com", "example.com"),
        ("https://example.com:443", "example.com"),
        ("https://example.com:8443", "example.com:8443"),
        ("https://[2606:4700::1111]:8443", "[2606:4700::1111]:8443"),
    ],
)
def test_the_host_header_names_a_port_only_where_it_is_not_the_usual_one(url: str, authority: str) -> None:
    assert callbacks().check_url(url).authority == authority


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com/hook", "//example.com", "https:/example.com", "https:///path", "https://"),
        *("ftp://example.com", "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)"),
        *("https://user@example.com", "https://user:password@example.com", "https://example.com@1.1.1.1"),
        *("https://example.com#x", "https://example.com/#", "https://example.com\\@1.1.1.1"),
        *(" https://example.com", "https://example.com/a b", "https://exa\tmple.com", "https://example.com/\r\nx: y"),
        *("https://example.com/\x00", "https://example.com/\x7f", "https://exämple.com", "https://example.com/ä"),
        *("https://１２７.0.0.1", "https://example。com", "https://%31.1.1.1"),
        *("https://example.com.", "https://.example.com", "https://exa..mple.com", "https://-a.com", "https://a-.com"),
        *(
            "https://example.com:0",
            "https://example.com:65536",
            "https://example.com:8o",
            "https://example.com:-1",
            "https://a.com:/",
        ),
        *("https://example.com:1:2", "https://a,b", "https://*.example.com", f"https://{'a.' * 127}com"),
        *("https://[::1", "https://::1", "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[1.1.1.1]"),
        *("https://[v1.x]", "https://[]", "https://[:]", "https://[1:2]x"),
    ],
)
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        callbacks().check_url(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "2130706433", "0177.0.0.1", "0x7f.1", "0x7f000001", "127.0.0.01", "1.1.1", "1.1.1.1.1", "1.1.1.256"),
        *("8.8.8.0x8", "example.1", "1.1.1.0x", "0X7F.0.0.1", "00001.1.1.1"),
    ],
)
def test_an_address_in_an_odd_spelling_is_refused_even_where_hosts_are_allowed(host: str) -> None:
    guard = callbacks(allow_callback_hosts=("127.0.0.1", "1.1.1.1"))
    with pytest.raises(Refused, match="unusual spelling"):
        guard.check_url(f"https://{host}/")


def test_a_refusal_never_repeats_the_url() -> None:
    with pytest.raises(Refused) as refused:
        callbacks().check_url("http://internal.example/token-of-a-user")
    assert "internal" not in str(refused.value)
    assert "token" not in str(refused.value)


def test_http_takes_the_setting_that_allows_it() -> None:
    with pytest.raises(Refused, match="TRAILHOOK_ALLOW_HTTP_CALLBACKS") as refused:
        callbacks().check_url("http://example.com")
    assert refused.value.setting == "TRAILHOOK_ALLOW_HTTP_CALLBACKS"
    assert callbacks(allow_http_callbacks=True).check_url("http://example.com").port == 80


# ---------------------------------------------------------------------------------------------------- tiers of hosts


@pytest.mark.parametrize("url", ["https://127.0.0.1", "https://[::1]", "https://169.254.169.254", "https://[::]"])
def test_a_forbidden_literal_takes_an_exact_host(url: str) -> None:
    for guard in (callbacks(), callbacks(allow_callback_cidrs=("127.0.0.0/8", "0.0.0.0/0", "::/0"))):
        with pytest.raises(Refused, match="TRAILHOOK_ALLOW_CALLBACK_HOSTS"):
            guard.check_url(url)


def test_a_private_literal_takes_its_range() -> None:
    guard = callbacks(allow_callback_cidrs=("10.1.0.0/16", "fd00:1::/32"))
    assert guard.check_url("https://10.1.2.3").host == "10.1.2.3"
    assert guard.check_url("https://[fd00:1::5]").host == "fd00:1::5"
    assert guard.check_url("https://[::ffff:10.1.2.3]").port == 443
    for url in ("https://10.2.0.1", "https://[fd00:2::5]", "https://[::ffff:10.2.0.1]"):
        with pytest.raises(Refused) as refused:
            guard.check_url(url)
        assert refused.value.setting == "TRAILHOOK_ALLOW_CALLBACK_CIDRS"


def test_a_listed_host_is_matched_exactly_and_a_listed_port_too() -> None:
    guard = callbacks(allow_callback_hosts=("LOCALHOST", "127.0.0.1:9000", "::1", "[fe80::2]:7"))
    for url in ("https://127.0.0.1:9000", "https://[::1]:5", "https://[fe80::2]:7", "https://localhost:1"):
        guard.check_url(url)
    for url in ("https://127.0.0.1:9001", "https://127.0.0.2:9000", "https://[fe80::2]:8", "https://127.0.0.1"):
        with pytest.raises(Refused):
            guard.check_url(url)


@pytest.mark.parametrize("entry", ["https://a.example", "*.example", "a.example/x", "127.1", "a.example:0", "a b", ""])
def test_a_host_entry_that_matches_nothing_is_a_mistake(entry: str) -> None:
    with pytest.raises(SettingsError, match="TRAILHOOK_ALLOW_CALLBACK_HOSTS"):
        callbacks(allow_callback_hosts=(entry,))


def test_a_range_that_is_none_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="TRAILHOOK_ALLOW_CALLBACK_CIDRS"):
        callbacks(allow_callback_cidrs=("10.0.0.1/8",))


# --------------------------------------------------------------------------------------------------------- resolving


async def test_every_public_address_of_a_name_is_given_in_order() -> None:
    guard = callbacks(resolving_to("9.9.9.9", "1.1.1.1", "9.9.9.9", "2606:4700::1111"))
    addresses = await guard.resolve(guard.check_url("https://example.com"))
    assert [str(each) for each in addresses] == ["9.9.9.9", "1.1.1.1", "2606:4700::1111"]


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0"]
)
async def test_one_refused_address_refuses_the_name(bad: str) -> None:
    guard = callbacks(resolving_to("1.1.1.1", bad))
    with pytest.raises(Refused):
        await guard.resolve(guard.check_url("https://example.com"))


async def test_a_listed_name_may_resolve_to_anything() -> None:
    guard = callbacks(resolving_to("127.0.0.1", "10.0.0.1"), allow_callback_hosts=("hook.internal",))
    assert len(await guard.resolve(guard.check_url("https://hook.internal:8443/x"))) == 2


@pytest.mark.parametrize("resolver", [resolving_fails, resolving_to()], ids=["fails", "empty"])
async def test_a_name_without_an_address_is_tried_again_later(resolver: Resolver) -> None:
    guard = callbacks(resolver)
    with pytest.raises(ExchangeFailed) as failed:
        await guard.resolve(guard.check_url("https://example.com"))
    assert (failed.value.phase, failed.value.sent) == (Phase.DNS, False)


async def test_a_literal_asks_no_resolver() -> None:
    guard = callbacks(resolving_fails)
    assert await guard.resolve(guard.check_url("https://1.1.1.1")) == (ip_address("1.1.1.1"),)


def test_the_address_that_was_reached_is_judged_like_any_other() -> None:
    guard = callbacks()
    target = guard.check_url("https://example.com")
    guard.vet(target, ip_address("1.1.1.1"))
    with pytest.raises(Refused):
        guard.vet(target, ip_address("::ffff:127.0.0.1"))


# --------------------------------------------------------------------------------------------------------------- AWS


@pytest.mark.parametrize(
    "host",
    [
        *("s3.amazonaws.com", "s3.us-east-1.amazonaws.com", "logs.s3.eu-central-1.amazonaws.com"),
        *("a.b.s3.dualstack.us-east-1.amazonaws.com", "s3-us-west-2.amazonaws.com", "logs.s3-us-west-2.amazonaws.com"),
        *("s3-fips.us-gov-west-1.amazonaws.com", "logs.s3-accelerate.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"),
        *("bucket.vpce-1a2b-3c.s3.us-east-1.vpce.amazonaws.com", "sqs.us-east-1.amazonaws.com", "sts.amazonaws.com"),
        *("sqs.us-east-1.api.aws", "cloudtrail.eusc-de-east-1.amazonaws.eu", "us-east-1.queue.amazonaws.com"),
        *("cloudtrail-fips.us-east-1.amazonaws.com", "sts.il-central-1.amazonaws.com"),
    ],
)
async def test_the_aws_services_we_call_may_have_a_private_address_but_no_forbidden_one(host: str) -> None:
    private, loopback = aws(resolving_to("10.0.0.7")), aws(resolving_to("127.0.0.1"))
    assert await private.resolve(private.check_url(f"https://{host}/"))
    with pytest.raises(Refused, match="TRAILHOOK_ALLOW_AWS_ENDPOINTS"):
        await loopback.resolve(loopback.check_url(f"https://{host}/"))


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "amazonaws.com", "s3.amazonaws.com.example.com", "s3amazonaws.com", "127.0.0.1", "10.0.0.1"),
        *("ec2-1-2-3-4.compute-1.amazonaws.com", "s3-me-1.us-east-1.elb.amazonaws.com", "minio.internal"),
        *("s3.x.execute-api.us-east-1.amazonaws.com", "ec2.us-east-1.amazonaws.com", "localhost"),
    ],
)
def test_any_other_endpoint_must_be_listed_and_then_may_be_anything(host: str) -> None:
    with pytest.raises(Refused, match="TRAILHOOK_ALLOW_AWS_ENDPOINTS"):
        aws().check_url(f"https://{host}/")
    assert aws(endpoints=[f"{host}:9000"]).check_url(f"http://{host}:9000/").port == 9000


def test_aws_is_never_asked_in_the_clear() -> None:
    with pytest.raises(Refused, match="https"):
        aws().check_url("http://s3.us-east-1.amazonaws.com/")


async def test_lookups_that_hang_hold_up_no_other_work() -> None:
    ended = threading.Event()

    def hangs(*_: object, **__: object) -> list[tuple[object, ...]]:
        ended.wait(10)
        return [(0, 0, 0, "", ("192.0.2.1", 443))]

    resolver = SystemResolver(hangs)
    lookups = [asyncio.ensure_future(resolver(f"{number}.example", 443)) for number in range(100)]
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        ended.set()
    assert await asyncio.gather(*lookups) == [["192.0.2.1"]] * 100


async def test_the_operating_system_is_asked_by_default() -> None:
    assert "127.0.0.1" in await SystemResolver()("localhost", 80)
