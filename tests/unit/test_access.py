"""What an account at the broker may do is what its service does, no less and no more."""

import re
from pathlib import Path

import pytest

from multimood import topics
from multimood.access import FOLLOWED, WRITERS, access_of
from multimood.errors import ConfigurationError
from multimood.local.services import SERVICES
from multimood.topics import BY_NAME, GIVES_UP, READERS

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


def test_every_service_has_an_account() -> None:
    assert sorted(WRITERS) == sorted(NAMES)
    with pytest.raises(ConfigurationError, match="no such service: cook"):
        access_of("cook")


@pytest.mark.parametrize("service", NAMES)
def test_what_the_code_names_is_what_the_account_may_read_or_write(service: str) -> None:
    access = access_of(service)
    own = {name for name in (*access.reads, *access.writes) if name in BY_NAME}
    followed = {topic.name for topic in FOLLOWED} if service == "gateway" else set()
    assert own - followed == mentioned(service) - followed
    assert followed <= own


@pytest.mark.parametrize("service", NAMES)
def test_what_the_code_publishes_is_what_the_account_may_write(service: str) -> None:
    published = {getattr(topics, name).name for name in PUBLISHED.findall(source(service))}
    if service in MODALITY:  # by the functions that the encoders share
        published.add(getattr(topics, MODALITY[service]).name)
    assert published == {topic.name for topic in WRITERS[service]}


@pytest.mark.parametrize("service", NAMES)
def test_what_cannot_be_processed_may_be_put_away(service: str) -> None:
    access = access_of(service)
    consumed = {name for name, readers in READERS.items() if service in readers}
    assert access.has_group == bool(consumed)
    assert consumed <= set(access.reads)
    assert {BY_NAME[name].dead_letters for name in consumed} == {n for n in access.writes if n.endswith(".dlq")}


def test_the_gateway_learns_of_what_nobody_can_answer() -> None:
    assert set(GIVES_UP) <= set(access_of("gateway").reads)
    assert not [name for name in access_of("gateway").writes if name.endswith(".dlq")]
