"""TLS contexts: always verifying, made once for each authority."""

import ssl

from support.certificates import Authority
from trailhook.net.tls import KEPT_MAX, Contexts

PEM = Authority.new().pem


def test_every_context_verifies_the_certificate_and_the_name_over_tls_1_2_or_newer() -> None:
    for context in (Contexts().trusting(None), Contexts().trusting(PEM)):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_source_s_own_authority_is_the_only_one_trusted() -> None:
    assert len(Contexts().trusting(PEM).get_ca_certs()) == 1


def test_a_context_is_made_once_for_each_authority() -> None:
    contexts = Contexts()
    assert contexts.trusting(PEM) is contexts.trusting(PEM)
    assert contexts.trusting(PEM) is not contexts.trusting(Authority.new().pem)


def test_only_so_many_contexts_are_kept_and_those_in_use_stay() -> None:
    contexts = Contexts()
    used, unused = contexts.trusting(PEM), contexts.trusting(f"{PEM}\n")
    for number in range(2, KEPT_MAX + 1):
        contexts.trusting(PEM)
        contexts.trusting(PEM + "\n" * number)
    assert contexts.trusting(PEM) is used
    assert contexts.trusting(f"{PEM}\n") is not unused
