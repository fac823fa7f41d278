#!/usr/bin/env python3
"""A small server with the routes of `infernum serve --engine sim`, for the tests of what stands around a server.

Takes the same flags. Streams as the OpenAI API does, drains on SIGTERM, and has every metric that docs/metrics.md lists.
"""
import argparse
import http.server
import json
import os
import pathlib
import re
import signal
import threading
import time

METRICS_PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/metrics.md"
LABELS = 'model_name="stand-in",engine="0"'


class State:
    """What the threads share."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.running = 0
        self.ended = 0
        self.tokens = 0
        self.draining = False

    def begin(self):
        with self.lock:
            if self.draining:
                return False
            self.running += 1
            return True

    def end(self, tokens):
        with self.lock:
            self.running -= 1
            self.ended += 1
            self.tokens += tokens


def metrics(state):
    values = {"vllm:num_requests_running": state.running, "vllm:request_success_total": state.ended, "vllm:generation_tokens_total": state.tokens}
    out = []
    for name, kind in re.findall(r"^\| `([a-z_:0-9]+)` \| (\w+) \|", METRICS_PAGE.read_text(), re.MULTILINE):
        out.append("# HELP %s Of a stand-in.\n# TYPE %s %s" % (name, name, kind))
        labels = "" if name.startswith("process_") else "{%s}" % LABELS
        if kind == "histogram":
            out += ['%s_bucket{%s,le="%s"} %d' % (name, LABELS, le, state.ended) for le in ("0.1", "1.0", "+Inf")]
            out += ["%s_count%s %d" % (name, labels, state.ended), "%s_sum%s %g" % (name, labels, 0.05 * state.ended)]
        else:
            extra = {"infernum_engine_state": ',state="running"', "infernum_http_requests_total": ',route="/v1/completions",method="POST",status="200"'}.get(name, "")
            out.append("%s%s %g" % (name, labels.replace("}", extra + "}"), values.get(name, 1)))
    return "\n".join(out) + "\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 503:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        draining = self.state.draining
        if self.path in ("/ready", "/health"):
            self.answer(503 if draining else 200, {"status": "draining" if draining else "ok"})
        elif self.path == "/live":
            self.answer(200, {"status": "ok"})
        elif self.path == "/metrics":
            self.answer(200, metrics(self.state), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": "stand-in", "object": "model", "created": 0, "owned_by": "infernum"}]})
        else:
            self.answer(404, {"error": {"message": "no such route", "type": "invalid_request_error", "param": None, "code": "unknown_url"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path not in ("/v1/completions", "/v1/chat/completions"):
            return self.answer(404, {"error": {"message": "no such route", "type": "invalid_request_error", "param": None, "code": "unknown_url"}})
        if not self.state.begin():
            return self.answer(503, {"error": {"message": "draining", "type": "server_error", "param": None, "code": "draining"}})
        tokens = 0
        try:
            if body.get("stream"):
                for tokens in self.stream(body):
                    pass
            else:
                tokens = body.get("max_tokens", 16)
                time.sleep(self.state.options.sim_ttft + tokens * self.state.options.sim_itl)
                self.answer(200, {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "x " * tokens, "finish_reason": "length"}]})
        finally:
            self.state.end(tokens)

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def stream(self, body):
        options = self.state.options
        time.sleep(options.sim_ttft)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(body.get("max_tokens", 16)):
            if i:
                time.sleep(options.sim_itl)
            self.chunk("data: %s\n\n" % json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "x ", "finish_reason": None}]}))
            yield i + 1
        self.chunk("data: %s\n\ndata: [DONE]\n\n" % json.dumps({"id": "cmpl-1", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]}))
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        """Clients that go are no news."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--engine", choices=["sim"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sim-ttft", type=float, default=0, help="milliseconds")
    parser.add_argument("--sim-itl", type=float, default=0, help="milliseconds")
    options = parser.parse_args()
    options.sim_ttft /= 1000
    options.sim_itl /= 1000
    state = Handler.state = State(options)
    server = Server((options.host, options.port), Handler)

    def drain():
        while state.running:
            time.sleep(0.02)
        os._exit(0)

    def on_term(*_):
        state.draining = True
        threading.Thread(target=drain).start()

    signal.signal(signal.SIGTERM, on_term)
    server.serve_forever()


if __name__ == "__main__":
    main()
