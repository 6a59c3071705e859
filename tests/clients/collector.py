"""An OpenTelemetry collector for a test: takes spans over OTLP/HTTP and decodes them with the standard's own messages."""

import http.server
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_SECONDS = 30


class Span:
    """A span as tests want it: names of events in their order, attributes as plain values, ids as hexadecimal text."""

    def __init__(self, span, resource: dict):
        self.name, self.resource = span.name, resource
        self.trace_id, self.id, self.parent_id = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.start_ns, self.end_ns = span.start_time_unix_nano, span.end_time_unix_nano
        self.events = [event.name for event in span.events]
        self.attributes = plain(span.attributes)


class Collector:
    """Listens on loopback. Use as a context manager."""

    def __init__(self):
        self._arrived = threading.Condition()
        self._spans: list[Span] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                collector._take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def _take(self, request: ExportTraceServiceRequest):
        with self._arrived:
            for part in request.resource_spans:
                resource = plain(part.resource.attributes)
                self._spans += [Span(span, resource) for scope in part.scope_spans for span in scope.spans]
            self._arrived.notify_all()

    def spans(self, count: int) -> list[Span]:
        """Waits until at least `count` spans are there."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self._spans) >= count, PATIENCE_SECONDS)
            assert arrived, f"{len(self._spans)} of {count} spans came: {[span.name for span in self._spans]}"
            return list(self._spans)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def plain(attributes) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
