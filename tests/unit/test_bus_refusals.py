"""What a refusal means: from the exceptions of either client to a sentence with a remedy."""

import ssl

import aiokafka.errors as aio
import kafka.errors as python
import pytest

from multimood.bus.refusals import REMEMBERED_S, Refusals, explained
from multimood.errors import (
    AuthenticationError,
    AuthorizationError,
    HandshakeError,
    RefusedError,
    UnavailableError,
)
from multimood.settings import KafkaSettings

pytestmark = pytest.mark.unit

USER = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="joe", sasl_password="p")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (aio.TopicAuthorizationFailedError("t"), AuthorizationError, "user joe is not authorised for topic t"),
        (aio.TopicAuthorizationFailedError({"b", "a"}), AuthorizationError, "topic a, b"),
        (python.TopicAuthorizationFailedError("t"), AuthorizationError, "topic t"),
        (aio.GroupAuthorizationFailedError("g"), AuthorizationError, "group g"),
        (python.GroupAuthorizationFailedError("g"), AuthorizationError, "group g"),
        (aio.ClusterAuthorizationFailedError(), AuthorizationError, "cluster"),
        (aio.SaslAuthenticationFailed("no"), AuthenticationError, "does not accept user joe"),
        (python.SaslAuthenticationFailedError("no"), AuthenticationError, "MULTIMOOD_KAFKA_SASL_PASSWORD"),
        (aio.UnsupportedSaslMechanismError("x"), AuthenticationError, "does not offer SCRAM-SHA-512"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), HandshakeError, "speak TLS?"),
    ],
)
def test_a_refusal_is_told_with_its_remedy(error: Exception, kind: type[RefusedError], said: str) -> None:
    found = explained(error, USER)
    assert type(found) is kind
    assert said in str(found)
    assert found.retryable, "an operator can put it right"


def test_the_cause_behind_a_lost_connection_is_found() -> None:
    lost = aio.KafkaConnectionError("closed")
    lost.__cause__ = aio.SaslAuthenticationFailed("no")
    assert isinstance(explained(lost, USER), AuthenticationError)


def test_what_is_only_away_is_no_refusal() -> None:
    found = explained(aio.KafkaConnectionError("closed"), USER, "reading")
    assert type(found) is UnavailableError
    assert str(found) == "reading: no answer from 127.0.0.1:9092: KafkaConnectionError"
    assert explained(found, USER) is found


def test_a_refusal_is_remembered_until_withdrawn_or_not_met_for_a_while() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    assert not refusals
    refusals.note("a", AuthorizationError("no"))
    refusals.note("b", AuthorizationError("no"))
    refusals.note("a", None)
    assert refusals
    refusals.note("b", UnavailableError("only away"))
    assert not refusals
    refusals.note("a", AuthorizationError("no"))
    now[0] = REMEMBERED_S + 0.1
    assert not refusals
