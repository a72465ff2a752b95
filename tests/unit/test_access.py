"""Who may do what: as the services are wired, and as Kafka's tools and Strimzi take it."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimood.access import ACCESS, NAMES, PREFIX, READERS, TOOLS, Acl, acls_of, strimzi
from multimood.bus.acls import command_lines, kafka_acl, principal_of
from multimood.cli import app
from multimood.errors import ConfigurationError
from multimood.local.places import checkout
from multimood.local.services import SERVICES
from multimood.settings import KafkaSettings
from multimood.topics import BY_NAME, GIVES_UP, TOPICS, Topic
from services.gateway import link
from services.joiner import agent as joiner
from services.responder import agent as responder
from services.reward import agent as reward
from services.sentinel import agent as sentinel
from services.strategist import agent as strategist
from services.text_encoder import encoder as text_encoder

pytestmark = pytest.mark.unit

NAMED = re.compile(r"topics\.([A-Z_]+)")
PUBLISHED = re.compile(r"(?:output|publish)\(\s*topics\.([A-Z_]+)")
RECOVERED = re.compile(r"\(topics\.([A-Z_]+), (?:[\d_]+|None|[A-Z_]+)\)")


def source(service: str) -> str:
    folder = Path(checkout()) / "services" / service
    return "".join(file.read_text() for file in sorted(folder.glob("*.py")))


def names(found: set[str]) -> set[str]:
    from multimood import topics

    return {getattr(topics, name).name for name in found if isinstance(getattr(topics, name, None), Topic)}


def test_every_service_is_there_and_nothing_else() -> None:
    assert set(ACCESS) == {service.name for service in SERVICES}
    assert set(NAMES) == set(ACCESS) | set(TOOLS)


@pytest.mark.parametrize(
    ("service", "inputs"),
    [
        ("sentinel", sentinel.INPUTS), ("text_encoder", text_encoder.INPUTS), ("joiner", joiner.INPUTS),
        ("strategist", strategist.INPUTS), ("responder", responder.INPUTS), ("reward", reward.INPUTS),
    ],
)  # fmt: skip
def test_a_service_consumes_what_is_declared(service: str, inputs: tuple[Topic, ...]) -> None:
    assert set(ACCESS[service].consumes) == set(inputs)


def test_the_gateway_follows_what_is_declared() -> None:
    assert set(ACCESS["gateway"].looks_into) == set(link.FOLLOWED)
    assert set(ACCESS["gateway"].follows_letters) == set(GIVES_UP)
    assert not ACCESS["gateway"].consumes


@pytest.mark.parametrize("service", sorted(ACCESS))
def test_a_service_publishes_and_recovers_nothing_that_is_not_declared(service: str) -> None:
    code, access = source(service), ACCESS[service]
    published = names(set(PUBLISHED.findall(code)))
    assert published <= set(access.written)
    assert names(set(RECOVERED.findall(code))) <= set(access.reads)
    mentioned = names(set(NAMED.findall(code)))
    own = {topic.name for topic in access.writes}
    encoders = {"text_encoder", "audio_encoder", "video_encoder"}
    assert own <= mentioned or service in encoders, "declared, and never written"


def test_readers_are_those_whose_groups_consume() -> None:
    for name, readers in READERS.items():
        assert readers == tuple(service for service, access in ACCESS.items() if BY_NAME[name] in access.consumes)


@pytest.mark.parametrize("service", sorted(ACCESS))
def test_a_service_gets_what_it_needs_literally_and_no_more(service: str) -> None:
    acls, access = acls_of(service, "p"), ACCESS[service]
    assert {acl.name for acl in acls if "Read" in acl.operations and acl.kind == "topic"} == set(access.reads)
    assert {acl.name for acl in acls if "Write" in acl.operations} == set(access.written)
    assert {acl.pattern for acl in acls} == {"literal"}
    assert {operation for acl in acls for operation in acl.operations} <= {"Read", "Write", "Describe"}
    groups = [acl.name for acl in acls if acl.kind == "group"]
    assert groups == ([f"p.{service}"] if access.consumes else [])
    assert len({(acl.kind, acl.name) for acl in acls}) == len(acls)


def test_tools_reach_every_topic_of_ours() -> None:
    assert all(topic.name.startswith(PREFIX) for topic in TOPICS)
    assert Acl("topic", PREFIX, ("Create", "Describe", "DescribeConfigs"), "prefix") in acls_of("topics")
    assert Acl("group", "p.", ("Describe", "Read"), "prefix") in acls_of("operator", "p")


@pytest.mark.parametrize("name", NAMES)
def test_each_form_says_the_same(name: str) -> None:
    for acl in acls_of(name):
        (line,) = command_lines("User:x", [acl], KafkaSettings(brokers="b:1"))
        words = shlex.split(line)
        assert words[words.index("--bootstrap-server") + 1] == "b:1"
        assert [words[i + 1] for i, word in enumerate(words) if word == "--operation"] == list(acl.operations)
        assert ("prefixed" in words) == (acl.pattern == "prefix")
        taken = kafka_acl("User:x", acl)
        assert [one.operation.name.replace("_", "").lower() for one in taken] == [
            operation.lower() for operation in acl.operations
        ]
        assert {one.resource_pattern.resource_name for one in taken} == {acl.name}
        resource = strimzi(acl)["resource"]
        assert isinstance(resource, dict)
        assert resource["type"] == acl.kind
        assert (resource["name"], resource["patternType"]) == (acl.name, acl.pattern)


def test_a_principal_is_a_users_or_a_certificates() -> None:
    assert principal_of("User:CN={service}", "text_encoder") == "User:CN=text-encoder"
    for template in ("{service}", "User:{name}", "User:{", "Group:{service}"):
        with pytest.raises(ConfigurationError, match="names nobody"):
            principal_of(template, "joiner")


def test_the_command_prints_lines_and_refuses_what_is_no_service() -> None:
    printed = CliRunner().invoke(app, ["topics", "acls", "--service", "reward", "--principal", "User:CN={service}"])
    assert printed.exit_code == 0
    assert len(printed.output.splitlines()) == len(acls_of("reward"))
    assert all("--allow-principal User:CN=reward " in line for line in printed.output.splitlines())
    assert CliRunner().invoke(app, ["topics", "acls", "--service", "nobody"]).exit_code == 2


def test_settings_that_cannot_work_end_a_command_with_a_sentence() -> None:
    env = {"MULTIMOOD_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "MULTIMOOD_KAFKA_SASL_PASSWORD": "canary-3f9c"}
    for argv in (["topics", "apply"], ["topics", "acls"], ["dlq", "ls"]):
        result = CliRunner().invoke(app, argv, env=env)
        assert (result.exit_code, "needs a user" in result.output) == (1, True), result.output
        assert "canary-3f9c" not in result.output


def short(name: str) -> str:
    return name.removeprefix(PREFIX).replace(".v1", "")


def row(service: str) -> str:
    access = ACCESS[service]
    reads, written = (", ".join(map(short, sorted(them))) for them in (access.reads, access.written))
    group = f"multimood.{service}" if access.consumes else "—"
    return f"| {service} | {group} | {reads} | {written} |"


def test_the_document_has_this_table_and_every_setting() -> None:
    document = (checkout() / "docs/kafka.md").read_text()
    assert [service for service in ACCESS if row(service) not in document] == []
    settings = [name.upper() for name in KafkaSettings.model_fields]
    assert [name for name in settings if f"`{name}`" not in document] == []
