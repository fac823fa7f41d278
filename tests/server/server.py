"""Starts `infernum serve` and talks to it as clients do, also as bad ones do. Shared by the tests here."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SLOWDOWN = float(os.environ.get("INFERNUM_TEST_SLOWDOWN", "1"))  # of a build with a sanitizer
JSON = {"Content-Type": "application/json"}
MESSAGES = [{"role": "user", "content": "Tell me of a fox."}]
RUNNING, WAITING, CACHE = "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"


class Program:
    """The binary under test; set by main()."""

    path = None


def environment(extra=None):
    """The caller's environment without the program's own variables."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("INFERNUM_")}
    env["INFERNUM_THREADS"] = "1"
    env.update(extra or {})
    return env


def eventually(what, probe, seconds=10):
    """The first true value of probe()."""
    end = time.monotonic() + seconds * SLOWDOWN
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s: not within %g s" % (what, seconds * SLOWDOWN))
        time.sleep(0.02)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers}

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:400])


class Client:
    """One connection that stays."""

    def __init__(self, port, headers=None, timeout=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOWDOWN)
        self.headers = headers or {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def begin(self, method, path, body=None, headers=None):
        """The response of http.client, whose body is still to be read."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        sent = {**self.headers, **(JSON if body is not None else {}), **(headers or {})}
        self.connection.request(method, path, body, sent)
        return self.connection.getresponse()

    def request(self, method, path, body=None, headers=None):
        response = self.begin(method, path, body, headers)
        return Reply(response.status, response.getheaders(), response.read())

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def chat(self, **fields):
        return self.post("/v1/chat/completions", {"messages": MESSAGES, **fields})

    def complete(self, **fields):
        return self.post("/v1/completions", {"prompt": "Once upon a time", **fields})

    def events(self, path, fields, headers=None):
        """Documents of a stream as they come. After the end `self.done` says whether [DONE] came; a refusal is raised as Refused."""
        self.done = False
        response = self.begin("POST", path, {**fields, "stream": True}, headers)
        if response.status != 200:
            raise Refused(Reply(response.status, response.getheaders(), response.read()))
        while True:
            line = response.readline()
            if not line:
                return
            if line.startswith(b"data: "):
                data = line[6:].strip()
                if data == b"[DONE]":
                    self.done = True
                    response.read()
                    return
                yield json.loads(data)

    def stream(self, path="/v1/chat/completions", **fields):
        """Joined text of each choice, {index: finish_reason}, usage or None, error or None."""
        if "messages" not in fields and "prompt" not in fields:
            fields["messages" if "chat" in path else "prompt"] = MESSAGES if "chat" in path else "Once upon a time"
        texts, ends, usage, error = {}, {}, None, None
        for document in self.events(path, fields):
            error = document.get("error", error)
            usage = document.get("usage") or usage
            for choice in document.get("choices", []):
                index = choice["index"]
                texts[index] = texts.get(index, "") + (choice.get("text") or choice.get("delta", {}).get("content") or "")
                if choice["finish_reason"]:
                    assert index not in ends, "a choice ends once"
                    ends[index] = choice["finish_reason"]
        return texts, ends, usage, error


class Refused(Exception):
    def __init__(self, reply):
        super().__init__(repr(reply))
        self.reply = reply


class Server:
    """`infernum serve` on a free port of loopback. To be used with `with`, which kills what is still there and looks for findings of sanitizers."""

    def __init__(self, *flags, env=None, port=0, log=None, files=None, wait="/ready"):
        """`files`: most bytes of a file that it may write. `log`: where its stderr goes, if not to a file to read. `wait`: what must answer 200."""

        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if files is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (files, files))

        self.folder = tempfile.TemporaryDirectory()
        self.log_path = pathlib.Path(self.folder.name) / "log"
        with open(log or self.log_path, "wb") as stderr:
            command = [Program.path, "serve", "--port", str(port), *map(str, flags)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=environment(env),
                                            cwd=SOURCE, preexec_fn=limit)
        self.pid = self.process.pid
        try:
            self.port = port if log else eventually("a log line with the port", self._port, 30)
            if wait:
                eventually(wait + " answers 200", lambda: self._answers(wait), 60)
        except BaseException:
            self.close()
            raise

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError("infernum serve ended with %d:\n%s" % (self.process.returncode, self.log()))

    def _port(self):
        self._alive()
        found = re.search(r"https?://127\.0\.0\.1:([1-9]\d*)", self.log())
        return found and int(found[1])

    def _answers(self, path):
        self._alive()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get(path).status == 200

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        log = self.log()
        self.close()
        if kind is None and re.search(r"Sanitizer|runtime error:", log):
            raise AssertionError(log)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def client(self, **options):
        return Client(self.port, **options)

    def request(self, method, path, body=None, headers=None, timeout=60):
        with Client(self.port, timeout=timeout) as client:
            return client.request(method, path, body, headers)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, body, **options)

    def connect(self, timeout=30, receive_bytes=None):
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(timeout * SLOWDOWN)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=30):
        """The exit code."""
        return self.process.wait(seconds * SLOWDOWN)

    def metrics(self):
        """Samples by "name" or "name{labels}", without the labels that every sample has."""
        samples = {}
        for line in self.get("/metrics").body.decode().splitlines():
            found = re.fullmatch(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if found:
                labels = [x for x in re.findall(r'\w+="(?:[^"\\]|\\.)*"', found[2] or "") if not re.match("(model_name|engine)=", x)]
                samples[found[1] + ("{%s}" % ",".join(labels) if labels else "")] = float(found[3])
        return samples

    def running(self):
        return self.metrics()[RUNNING]

    def wait_idle(self, seconds=10):
        """Until no request runs or waits and none holds a block of the cache."""
        eventually("nothing running, waiting or cached: %s" % {k: v for k, v in self.metrics().items() if k in (RUNNING, WAITING, CACHE)},
                   lambda: not any(self.metrics()[name] for name in (RUNNING, WAITING, CACHE)), seconds)

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.pid))

    def resident(self):
        """Bytes, and the most there were."""
        status = pathlib.Path("/proc/%d/status" % self.pid).read_text()
        return tuple(int(re.search(name + r":\s+(\d+) kB", status)[1]) << 10 for name in ("VmRSS", "VmHWM"))


def simulate(*flags, first=0.0, next=0.0, **options):
    """The engine that computes nothing: the first token after `first` seconds, every further one after `next`."""
    return Server("--engine", "sim", "--sim-ttft", str(first * 1000), "--sim-itl", str(next * 1000), *flags, **options)


def read_all(connection):
    """Until the other side closes or resets."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while True:
            piece = connection.recv(65536)
            if not piece:
                return data
            data += piece
    return data


def replies(data):
    """Statuses of the answers in a stretch of bytes of a connection."""
    return [int(status) for status in re.findall(rb"(?:^|[\r\n}])HTTP/1\.[01] (\d\d\d) ", data)]


def raw_post(body, path="/v1/chat/completions", headers=""):
    """Bytes of a request."""
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    head = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" % (path, len(body),
        headers)
    return head.encode() + body


class ServerCase(unittest.TestCase):
    """One server for all tests of a class, made by start(); each test ends with it idle."""

    server = None

    @classmethod
    def start(cls):
        return simulate()

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(cls.start()) if hasattr(cls, "enterClassContext") else cls._enter(cls.start())

    @classmethod
    def _enter(cls, server):  # Python 3.10 and before
        cls.addClassCleanup(server.__exit__, None, None, None)
        return server

    def setUp(self):
        self.client = Client(self.server.port)
        self.addCleanup(self.client.connection.close)
        self.addCleanup(self.server.wait_idle)

    def refused(self, reply, status=400, param=None, code=None, words=()):
        """Has the one form that errors have."""
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(sorted(reply.error), ["code", "message", "param", "type"], reply)
        self.assertTrue(reply.error["message"], reply)
        self.assertLess(len(reply.body), 4096)
        if param:
            self.assertTrue(reply.error["param"] == param or str(reply.error["param"]).startswith(param + "."), "%s: %r" % (param, reply))
        if code:
            self.assertEqual(reply.error["code"], code, reply)
        for word in words:
            self.assertIn(word, reply.error["message"])


class Streams:
    """Streams in threads of their own; `results`: (text, ends, usage, error, done) or an exception, in order."""

    def __init__(self, target, count, **fields):
        self.results = [None] * count
        self.threads = [threading.Thread(target=self._run, args=(target, i, fields)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, target, i, fields):
        with target.client() as client:
            try:
                own = {name: value(i) if callable(value) else value for name, value in fields.items()}
                if own.pop("whole", False):
                    reply = client.chat(**own)
                    self.results[i] = (reply.json()["choices"][0]["message"]["content"], {}, reply.json()["usage"], None,
                                       True) if reply.status == 200 else Refused(reply)
                else:
                    texts, ends, usage, error = client.stream(**own)
                    self.results[i] = (texts.get(0, ""), ends, usage, error, client.done)
            except Exception as error:  # of the connection: what a client sees is what is looked at
                self.results[i] = error

    def join(self):
        for thread in self.threads:
            thread.join()
        return self.results


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: %s PROGRAM [unittest arguments]" % sys.argv[0])
    Program.path = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__")
