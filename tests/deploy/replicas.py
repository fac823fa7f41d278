"""Replicas, proxies in front of them, and clients of both: shared by the tests here."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = SOURCE / "deploy"
FIRST, GAP = 0.05, 0.03  # seconds to the first token and between tokens of the simulated engine


def not_run(what, package):
    print("not run: %s (package %s) is not installed" % (what, package), flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            value = condition()
        except (OSError, http.client.HTTPException):
            value = None
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(0.05)


def has_serve(program):
    """Whether the program under test has the server; until then a stand-in takes its place."""
    if not program:
        return False
    return re.search(r"^  serve ", subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30).stdout, re.MULTILINE)


class Program:
    path = None  # of infernum; set by main()
    server = None

    @classmethod
    def serve(cls, port):
        common = ["serve", str(SOURCE / "models/storyteller"), "--engine", "sim", "--host", "127.0.0.1", "--port", str(port), "--sim-ttft", str(FIRST * 1000), "--sim-itl", str(GAP * 1000)]
        if cls.server is None:
            cls.server = [cls.path] if has_serve(cls.path) else [sys.executable, str(SOURCE / "tests/deploy/stand_in.py")]
            print("serving: %s" % cls.server[-1], flush=True)
        return cls.server + common


class Process:
    """A child that ends with its owner."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, **options)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def terminate(self, seconds=20):
        """SIGTERM; the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(seconds)

    def stop(self):
        if self.child.poll() is None:
            self.kill()


class Replica(Process):
    def __init__(self, port):
        self.port = port
        env = {k: v for k, v in os.environ.items() if not k.startswith("INFERNUM_")}
        super().__init__(Program.serve(port), env=env)
        try:
            wait_for(lambda: get(port, "/ready")[0] == 200, "replica on port %d ready" % port)
        except AssertionError:
            self.stop()
            raise

    def metric(self, name):
        """Sum over its labels; histograms by the full name of a series."""
        text = get(self.port, "/metrics")[1]
        return sum(float(v) for v in re.findall(r"^%s(?:\{[^}]*\})? (\S+)$" % re.escape(name), text, re.MULTILINE))

    def running(self):
        return int(self.metric("vllm:num_requests_running"))

    def ended(self):
        return int(self.metric("vllm:request_success_total"))


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def post(port, tokens, stream=False):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "one two three", "max_tokens": tokens, "stream": stream, "ignore_eos": True}), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


class Stream(threading.Thread):
    """A streamed completion: how many tokens came, when the last did, and how it ended."""

    def __init__(self, port, tokens):
        super().__init__(daemon=True)
        self.port, self.asked = port, tokens
        self.tokens, self.done, self.error, self.ended_at = 0, False, None, None
        self.start()

    def run(self):
        connection = None
        try:
            connection, response = post(self.port, self.asked, stream=True)
            if response.status != 200:
                raise http.client.HTTPException("status %d: %s" % (response.status, response.read(200)))
            for line in self.lines(response):
                if line == b"data: [DONE]":
                    self.done = True
                elif line.startswith(b"data: ") and any(c.get("text") for c in json.loads(line[6:])["choices"]):
                    self.tokens += 1
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = error
        if connection:
            connection.close()
        self.ended_at = time.monotonic()

    @staticmethod
    def lines(response):
        """As they come; read1 tells of a body that was cut, readline of http.client does not."""
        rest = b""
        while piece := response.read1(65536):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if not response.isclosed():
            raise http.client.IncompleteRead(rest)


def with_ports(text, proxy, replicas):
    """A configuration of deploy/ with the ports of a test."""
    for old, new in ((8000, proxy), (8001, replicas[0]), (8002, replicas[1])):
        text = re.sub(r"127\.0\.0\.1:%d\b" % old, "127.0.0.1:@%d" % new, text)
    return text.replace(":@", ":")


NGINX = """daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log notice;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; include {folder}/infernum.conf; }}
"""


def nginx_command(folder, proxy, replicas):
    (folder / "infernum.conf").write_text(with_ports((DEPLOY / "nginx/infernum.conf").read_text(), proxy, replicas))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def haproxy_command(folder, proxy, replicas):
    (folder / "haproxy.cfg").write_text(with_ports((DEPLOY / "haproxy/haproxy.cfg").read_text(), proxy, replicas))
    return [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def installed(command):
    return os.access(command[0], os.X_OK)
