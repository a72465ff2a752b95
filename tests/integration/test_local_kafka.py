"""The embedded broker against a real client: what it keeps, what it refuses."""

import time
import uuid
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, MessageSizeTooLargeError

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.ports import assign
from multimood.local.server import wait_ready

pytestmark = pytest.mark.integration


def make_topic(brokers: str, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    try:
        admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        admin.close()


def write(brokers: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=4 << 20)
    try:
        for future in [producer.send(topic, value) for value in values]:
            future.get(timeout=20)
    finally:
        producer.close(timeout=5)


def read(brokers: str, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest", consumer_timeout_ms=3_000)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        found = []
        for record in consumer:
            found.append(record.value)
            if record.offset + 1 >= end:
                break
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_records_survive_a_restart_on_other_ports(tmp_path: Path, orderly: bool) -> None:
    log = tmp_path / "kafka.log"
    expected = [b"%d" % number for number in range(200)]
    for round_ in range(2):
        ports = assign(KafkaServer.PORTS)
        server = KafkaServer(tmp_path, log, ports["kafka"], ports["kafka.controller"])
        server.start()
        try:
            wait_ready(server, log, 120)
            if round_ == 0:
                make_topic(server.brokers, "kept")
                write(server.brokers, "kept", expected)
            else:
                assert read(server.brokers, "kept") == expected
            assert server.child is not None
            if not orderly:
                server.child.kill()
        finally:
            server.stop()
        assert not server.child.identity.alive()
        assert assign(["free"], {"free": ports["kafka"]}) == {"free": ports["kafka"]}


def test_unknown_topics_are_not_made_by_writing(kafka: KafkaServer) -> None:
    name = f"never-{uuid.uuid4().hex}"
    producer = KafkaProducer(bootstrap_servers=kafka.brokers, max_block_ms=2_000)
    with pytest.raises(KafkaError):
        producer.send(name, b"x").get(timeout=5)
    producer.close(timeout=1)
    admin = KafkaAdminClient(bootstrap_servers=kafka.brokers)
    assert name not in admin.list_topics()
    admin.close()


def test_records_over_the_limit_are_refused(kafka: KafkaServer) -> None:
    name = f"limit-{uuid.uuid4().hex}"
    make_topic(kafka.brokers, name)
    with pytest.raises(MessageSizeTooLargeError):
        write(kafka.brokers, name, [b"x" * (kafka.max_message_bytes + 1)])
    write(kafka.brokers, name, [b"x" * (kafka.max_message_bytes - 1_000)])


def test_a_taken_port_ends_the_process_with_a_reason_in_its_log(kafka: KafkaServer, tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    second = KafkaServer(tmp_path, log, kafka.port, assign(["controller"])["controller"])
    second.start()
    try:
        assert second.child is not None
        deadline = time.monotonic() + 60
        while second.child.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert second.child.exit_code() == 1
        assert "Address already in use" in log.read_text()
    finally:
        second.stop()
    assert kafka.ready()


def test_a_server_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    ports = assign(KafkaServer.PORTS)
    server = KafkaServer(tmp_path, tmp_path / "kafka.log", ports["kafka"], ports["kafka.controller"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=broken\n")
    server.start()
    try:
        with pytest.raises(UnavailableError, match=r"(?s)kafka ended with code 1.*meta\.properties"):
            wait_ready(server, server.log, 60)
    finally:
        server.stop()


def test_waiting_for_a_server_that_never_comes_ends_in_time(tmp_path: Path) -> None:
    ports = assign(KafkaServer.PORTS)
    silent = KafkaServer(tmp_path, tmp_path / "kafka.log", ports["kafka"], ports["kafka.controller"])
    with pytest.raises(DeadlineExceededError, match="kafka not ready after"):
        wait_ready(silent, silent.log, 0.3)
