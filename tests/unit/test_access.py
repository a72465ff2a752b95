"""What an account at the broker may do is what its service does, no less and no more."""

import re
from pathlib import Path

import pytest

from multimood import topics
from multimood.access import ACCESS, acls_of
from multimood.local.services import SERVICES
from multimood.topics import BY_NAME, GIVES_UP

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
NAMES = [service.name for service in SERVICES]
MODALITY = {"text_encoder": "EMBEDDING_TEXT", "audio_encoder": "EMBEDDING_AUDIO", "video_encoder": "EMBEDDING_VIDEO"}
PUBLISHED = re.compile(r"(?:\boutput|\.publish|\bevent_id)\((?:[\w.()]+,\s)?topics\.([A-Z_]+)")


def source(service: str) -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "services" / service).glob("*.py")))


def mentioned(service: str) -> set[str]:
    """Topics that the code of a service names; the joiner says `EMBEDDINGS` for three."""
    found = set(re.findall(r"\btopics\.([A-Z_]+)\b", source(service))) - {"TOPICS"}
    if "EMBEDDINGS" in found:
        found = found - {"EMBEDDINGS"} | set(MODALITY.values())
    return {getattr(topics, name).name for name in found}


def test_every_service_has_its_access() -> None:
    assert sorted(ACCESS) == sorted(NAMES)


@pytest.mark.parametrize("service", NAMES)
def test_what_the_code_names_is_what_the_account_may_read_or_write(service: str) -> None:
    own = {name for name in (*ACCESS[service].reads, *ACCESS[service].written) if name in BY_NAME}
    # The gateway follows what its access says, so its code names less.
    followed = {topic.name for topic in ACCESS[service].looks_into} if service == "gateway" else set()
    assert own - followed == mentioned(service) - followed


@pytest.mark.parametrize("service", NAMES)
def test_what_the_code_publishes_is_what_the_account_may_write(service: str) -> None:
    published = {getattr(topics, name).name for name in PUBLISHED.findall(source(service))}
    if service in MODALITY:  # by the functions that the encoders share
        published.add(getattr(topics, MODALITY[service]).name)
    assert published == {topic.name for topic in ACCESS[service].writes}


@pytest.mark.parametrize("service", NAMES)
def test_what_cannot_be_processed_may_be_put_away(service: str) -> None:
    consumed = ACCESS[service].consumes
    assert {topic.dead_letters for topic in consumed} == {n for n in ACCESS[service].written if n.endswith(".dlq")}
    assert [acl.name for acl in acls_of(service) if acl.kind == "group"] == [f"multimood.{service}"] * bool(consumed)


def test_the_gateway_learns_of_what_nobody_can_answer() -> None:
    assert set(GIVES_UP) <= set(ACCESS["gateway"].reads)
