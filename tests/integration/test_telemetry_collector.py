"""Spans arrive at an OTLP collector: the real protocol on a real port."""

import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

pytestmark = pytest.mark.integration

PROGRAM = """
from multimood import telemetry
from multimood.settings import TelemetrySettings
telemetry.setup("joiner", TelemetrySettings())
with telemetry.tracer().start_as_current_span("join"):
    pass
telemetry.shutdown()
"""


class Collector(otlp_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.got: queue.Queue[otlp.ExportTraceServiceRequest] = queue.Queue()

    def Export(  # noqa: N802 - the protocol's name
        self, request: otlp.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> otlp.ExportTraceServiceResponse:
        self.got.put(request)
        return otlp.ExportTraceServiceResponse()


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_spans_arrive_at_a_collector(scheme: str) -> None:
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    otlp_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    environment = os.environ | {"MULTIMOOD_TELEMETRY_OTLP_ENDPOINT": f"{scheme}127.0.0.1:{port}"}
    try:
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
        (spans,) = collector.got.get(timeout=10).resource_spans
    finally:
        server.stop(None)
    names = {attribute.key: attribute.value.string_value for attribute in spans.resource.attributes}
    assert (names["service.name"], names["service.namespace"]) == ("joiner", "multimood")
    assert [span.name for span in spans.scope_spans[0].spans] == ["join"]
