"""Spans of requests, as a collector of OpenTelemetry gets them; a bad collector holds nobody up."""
import http.server
import json
import socket
import threading
import time
import unittest

import server
from server import MESSAGES, Server, eventually, simulate

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT, DROPPED = "infernum_otlp_spans_sent_total", "infernum_otlp_spans_dropped_total"


class Collector:
    """Answers `status` to what is posted, and keeps it."""

    def __init__(self, status=200):
        self.spans, self.resources, self.posts = [], [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.posts.append((self.path, self.headers["Content-Type"]))
                for resource in body["resourceSpans"]:
                    outer.resources.append(resource["resource"])
                    outer.spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = "http://127.0.0.1:%d" % self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def env(self, path=""):
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint + path}


def attributes(span):
    return {entry["key"]: list(entry["value"].values())[0] for entry in span["attributes"]}


class Spans(unittest.TestCase):
    def test_of_a_request(self):
        with Collector() as collector, Server(env=collector.env("/otlp/")) as target:
            begin = time.time()
            reply = target.post("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 5, "ignore_eos": True, "temperature": 0.5},
                                headers={"traceparent": "00-%s-%s-01" % (TRACE, PARENT)})
            eventually("its spans", lambda: len(collector.spans) == 4)
            end = time.time()
            self.assertEqual(collector.posts, [("/otlp/v1/traces", "application/json")])
            self.assertEqual(attributes(collector.resources[0])["service.name"], "infernum")
            [request, *parts] = collector.spans
            model = target.get("/v1/models").json()["data"][0]["id"]
            self.assertEqual((request["traceId"], request["parentSpanId"], request["kind"], request["name"]), (TRACE, PARENT, 2, "chat " + model))
            usage = reply.json()["usage"]
            expected = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "infernum", "gen_ai.request.model": model,
                        "gen_ai.request.max_tokens": "5", "gen_ai.request.temperature": 0.5, "gen_ai.request.stream": False,
                        "gen_ai.response.id": reply.json()["id"], "gen_ai.usage.input_tokens": str(usage["prompt_tokens"]),
                        "gen_ai.usage.output_tokens": "5", "gen_ai.response.finish_reasons": {"values": [{"stringValue": "length"}]},
                        "server.port": str(target.port)}
            self.assertEqual({key: attributes(request).get(key) for key in expected}, expected)
            self.assertNotIn("error.type", attributes(request))
            self.assertEqual([part["name"] for part in parts], ["queue", "prefill", "decode"])
            last = int(request["startTimeUnixNano"])
            self.assertTrue(begin - 0.1 <= last / 1e9 <= int(request["endTimeUnixNano"]) / 1e9 <= end + 0.1)
            for part in parts:
                self.assertEqual((part["traceId"], part["parentSpanId"], part["kind"]), (TRACE, request["spanId"], 1))
                self.assertLessEqual(abs(int(part["startTimeUnixNano"]) - last), 2000, "each begins where the one before ends")
                last = int(part["endTimeUnixNano"])
            self.assertEqual(len({span["spanId"] for span in collector.spans}), 4)
            self.assertNotIn("fox", json.dumps(collector.spans))
            self.assertIn('"trace_id":"%s"' % TRACE, target.log())
            self.assertEqual((target.metrics()[SENT], target.metrics()[DROPPED]), (1, 0))

    def test_errors_traces_of_their_own_and_what_is_not_sampled(self):
        with Collector() as collector, simulate(env={**collector.env(), "INFERNUM_FAULTS": "request:1:nan"}) as target, target.client() as client:
            self.assertEqual(client.complete(max_tokens=1).status, 500)
            self.assertEqual(client.complete(max_tokens=1).status, 200)
            client.post("/v1/completions", {"prompt": "x", "max_tokens": 1}, headers={"traceparent": "00-%s-%s-00" % (TRACE, PARENT)})
            client.post("/v1/completions", {"prompt": "x", "max_tokens": 1}, headers={"traceparent": "nonsense"})
            target.signal()
            self.assertEqual(target.wait(), 0)
            requests = [span for span in collector.spans if span["kind"] == 2]
            self.assertEqual(len(requests), 3, "what waits is sent at the end")
            self.assertEqual((requests[0]["status"]["code"], attributes(requests[0])["error.type"]), (2, "engine_error"))
            self.assertNotIn("status", requests[1])
            self.assertEqual(len({span["traceId"] for span in requests}), 3)
            for span in requests:
                self.assertRegex(span["traceId"], "^[0-9a-f]{32}$")
                self.assertNotIn("parentSpanId", span)

    def test_nothing_is_sent_unless_it_is_asked_for(self):
        with simulate() as target:
            target.post("/v1/completions", {"prompt": "x", "max_tokens": 1})
            self.assertEqual((target.metrics()[SENT], target.metrics()[DROPPED]), (0, 0))


class BadCollectors(unittest.TestCase):
    def serve(self, endpoint, count=3):
        target = simulate(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        with target.client() as client:
            for _ in range(count):
                self.assertEqual(client.complete(max_tokens=1).status, 200)
        return target

    def test_nobody_there(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            endpoint = "http://127.0.0.1:%d" % probe.getsockname()[1]
        with self.serve(endpoint) as target:
            eventually("counted", lambda: target.metrics()[DROPPED] == 3)
            self.assertIn("spans of requests are lost", target.log())
            target.signal()
            self.assertEqual(target.wait(), 0)

    def test_one_that_refuses(self):
        with Collector(503) as collector, self.serve(collector.endpoint) as target:
            eventually("counted", lambda: target.metrics()[DROPPED] == 3)
            self.assertIn("503", target.log())

    def test_one_that_never_answers(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            with self.serve("http://127.0.0.1:%d" % silent.getsockname()[1], 2700) as target:
                dropped = eventually("the queue is full", lambda: target.metrics()[DROPPED])
                self.assertGreater(dropped, 300)
                self.assertEqual(target.metrics()["vllm:request_success_total{finished_reason=\"length\"}"], 2700)

    def test_what_is_no_endpoint(self):
        for endpoint in ("https://collector:4318", "collector:4318", "http://", "http://host:port"):
            with self.assertRaises(AssertionError) as caught:
                simulate(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).close()
            self.assertIn("OTEL_EXPORTER_OTLP_ENDPOINT", str(caught.exception))
            self.assertIn(endpoint, str(caught.exception))


if __name__ == "__main__":
    server.main()
