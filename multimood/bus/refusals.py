"""What a broker's refusal means, and what to do about it: from either client's exceptions to ours.

Both clients name their exceptions as Kafka does, in modules of their own: they are told apart by name.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from typing import Final

from multimood.errors import AuthenticationError, AuthorizationError, HandshakeError, RefusedError, UnavailableError
from multimood.settings import KafkaSettings

RESOURCES: Final = {
    "TopicAuthorizationFailedError": "topic",
    "GroupAuthorizationFailedError": "group",
    "ClusterAuthorizationFailedError": "cluster",
    "TransactionalIdAuthorizationFailed": "transactional id",
    "TransactionalIdAuthorizationFailedError": "transactional id",
}
UNKNOWN: Final = ("SaslAuthenticationFailed", "SaslAuthenticationFailedError", "AuthenticationFailedError")
OTHER_MECHANISM: Final = ("UnsupportedSaslMechanismError", "IllegalSaslStateError")

REMEMBERED_S: Final = 15.0
"""Longer than the pauses between attempts."""


class Refusals:
    """What the brokers do not let us do at present, by topic or whatever else tells them apart.

    One is forgotten when it is withdrawn, or was not met again for a while: nobody may be trying any more.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._met: dict[str, tuple[RefusedError, float]] = {}

    def note(self, what: str, error: BaseException | None) -> None:
        """Take note of an outcome: anything but a RefusedError withdraws what was noted before."""
        if isinstance(error, RefusedError):
            self._met[what] = (error, self._clock())
        else:
            self._met.pop(what, None)

    def __bool__(self) -> bool:
        """Whether there are any."""
        since = self._clock() - REMEMBERED_S
        return any(met >= since for _, met in self._met.values())


def explained(error: BaseException, settings: KafkaSettings, doing: str = "", resource: str = "") -> UnavailableError:
    """Say what an exception of a client is: a RefusedError, or UnavailableError for a broker that is only away.

    `doing` is what we did, `resource` what we did it to: the clients do not always know.
    """
    if isinstance(error, UnavailableError):
        return error
    for cause in _chain(error):
        refusal = _refusal(cause, settings, doing, resource)
        if refusal is not None:
            return refusal
    action = f"{doing}: " if doing else ""
    return UnavailableError(f"{action}no answer from {settings.brokers}: {type(error).__name__}")


def _refusal(error: BaseException, settings: KafkaSettings, doing: str, resource: str) -> RefusedError | None:
    name = type(error).__name__
    if name in RESOURCES:
        return _unauthorised(RESOURCES[name], resource or _named(error), settings, doing)
    if name in UNKNOWN:
        return AuthenticationError(
            f"{settings.brokers} does not accept {whom(settings)} with this password: check "
            f"MULTIMOOD_KAFKA_SASL_USERNAME and MULTIMOOD_KAFKA_SASL_PASSWORD, and that the brokers know the user for "
            f"{settings.sasl_mechanism}"
        )
    if name in OTHER_MECHANISM:
        return AuthenticationError(
            f"{settings.brokers} does not offer {settings.sasl_mechanism} on this listener: set "
            "MULTIMOOD_KAFKA_SASL_MECHANISM to one that it has, or MULTIMOOD_KAFKA_SECURITY_PROTOCOL to what it speaks"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        because = getattr(error, "verify_message", "no reason given")
        return HandshakeError(
            f"the certificate of {settings.brokers} is not trusted ({because}): set MULTIMOOD_KAFKA_SSL_CA (now "
            f"{settings.ssl_ca or 'the system'}) to the authority that signed it, and MULTIMOOD_KAFKA_BROKERS to the "
            "names it is for"
        )
    if isinstance(error, ssl.SSLError):
        return _no_handshake(error, settings)
    return None


def _unauthorised(kind: str, name: str, settings: KafkaSettings, doing: str) -> AuthorizationError:
    what = f"{kind} {name}".strip()
    return AuthorizationError(
        f"{whom(settings)} is not authorised for {what}{f' ({doing})' if doing else ''}: "
        "`multimood topics acls` prints what each service needs"
    )


def _no_handshake(error: ssl.SSLError, settings: KafkaSettings) -> HandshakeError:
    reason = getattr(error, "reason", None) or "no reason given"
    if "ALERT" in reason or "CERTIFICATE" in reason:
        remedy = (
            f"the broker refuses our certificate ({settings.ssl_cert or 'none is set'}): set MULTIMOOD_KAFKA_SSL_CERT "
            "and MULTIMOOD_KAFKA_SSL_KEY to a valid pair that its authority signed"
        )
    else:
        remedy = f"does this listener speak TLS? MULTIMOOD_KAFKA_SECURITY_PROTOCOL={settings.security_protocol} says so"
    return HandshakeError(f"no TLS with {settings.brokers} ({reason.lower().replace('_', ' ')}): {remedy}")


def whom(settings: KafkaSettings) -> str:
    """As whom we come."""
    if settings.uses_sasl:
        return f"user {settings.sasl_username}"
    return f"the holder of {settings.ssl_cert}" if settings.ssl_cert else "whoever comes without a name"


def _named(error: BaseException) -> str:
    """The resource as the client says it: its only argument, or one of a set."""
    names = error.args[0] if len(error.args) == 1 else ""
    if isinstance(names, (set, frozenset, list, tuple)):
        return ", ".join(sorted(str(getattr(one, "topic", one)) for one in names))
    return str(getattr(names, "topic", names))


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
