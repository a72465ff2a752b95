"""Who may do what, as Kafka's tools take it: lines for kafka-acls.sh, and ACLs set by kafka-python's admin client."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from multimood.access import Acl
from multimood.bus.admin import admin_client
from multimood.bus.refusals import whom
from multimood.errors import AuthorizationError, ConfigurationError, UnavailableError
from multimood.settings import KafkaSettings

OPERATIONS: Final = {
    "Read": ACLOperation.READ, "Write": ACLOperation.WRITE, "Create": ACLOperation.CREATE,
    "Delete": ACLOperation.DELETE, "Describe": ACLOperation.DESCRIBE, "AlterConfigs": ACLOperation.ALTER_CONFIGS,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}  # fmt: skip
KINDS: Final = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
PATTERNS: Final = {"literal": ACLResourcePatternType.LITERAL, "prefix": ACLResourcePatternType.PREFIXED}


def principal_of(template: str, name: str) -> str:
    """A service's principal: {service} in the template is its name with dashes. Raises ConfigurationError."""
    try:
        principal = template.format(service=name.replace("_", "-"))
    except (KeyError, IndexError, ValueError):
        principal = ""
    if not principal.startswith("User:"):
        raise ConfigurationError(f"--principal {template!r} names nobody: write for example 'User:CN={{service}}'")
    return principal


def command_lines(principal: str, acls: Sequence[Acl], settings: KafkaSettings) -> list[str]:
    """Lines for a shell that give these rights; the connection of the tool itself is said in admin.properties."""
    to = ["kafka-acls.sh", "--bootstrap-server", settings.brokers, "--command-config", "admin.properties"]
    lines = []
    for acl in acls:
        what = [f"--{acl.kind}", acl.name]
        pattern = ["--resource-pattern-type", "prefixed"] if acl.pattern == "prefix" else []
        operations = [part for operation in acl.operations for part in ("--operation", operation)]
        lines.append(shlex.join([*to, "--add", "--allow-principal", principal, *operations, *what, *pattern]))
    return lines


def kafka_acl(principal: str, acl: Acl) -> list[ACL]:
    """The same for the admin client, which takes one operation at a time."""
    pattern = ResourcePattern(KINDS[acl.kind], acl.name, PATTERNS[acl.pattern])
    return [
        ACL(principal, "*", OPERATIONS[operation], ACLPermissionType.ALLOW, pattern) for operation in acl.operations
    ]


def apply_acls(principals: Mapping[str, Sequence[Acl]], settings: KafkaSettings) -> int:
    """Give these rights beside those there are; gives how many. One that is there already is no fault.

    Raises AuthorizationError when we may not, ConfigurationError when the brokers have no authorizer, UnavailableError.
    """
    acls = [one for principal, those in principals.items() for acl in those for one in kafka_acl(principal, acl)]
    with admin_client(settings, "setting ACLs") as admin:
        failed = {error.__name__ for error in admin.create_acls(acls)["failed"]}
    if "ClusterAuthorizationFailedError" in failed:
        raise AuthorizationError(
            f"{whom(settings)} may not set ACLs on {settings.brokers}: come as somebody who has Alter on the cluster"
        )
    if "SecurityDisabledError" in failed:
        raise ConfigurationError(f"{settings.brokers} keeps no ACLs: set authorizer.class.name on the brokers")
    if failed:
        raise UnavailableError(f"{settings.brokers} did not take all ACLs: {', '.join(sorted(failed))}")
    return len(acls)
