"""What operators see and hold: logs in one form, prompts in them on demand, the deep health check, headers of answers, client certificates."""
import http.client
import json
import pathlib
import re
import signal
import ssl
import subprocess
import tempfile
import unittest

import server
from server import MESSAGES, Server, eventually, simulate


class Logs(unittest.TestCase):
    def entries(self, target):
        """Every line is a JSON object with a time and a level."""
        entries = [json.loads(line) for line in target.log().splitlines()]
        for entry in entries:
            self.assertRegex(entry["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(entry["level"], ("info", "warning", "error"))
        return entries

    def test_every_line_is_json(self):
        """Those of the folders below the server, too: a field that is not known, a step that fails."""
        with Server(env={"INFERNUM_FAULTS": "step:2:throw,request:3:nan"}) as target, target.client() as client:
            for _ in range(4):
                client.chat(max_tokens=3, no_such_field=1)
            eventually("all is said", lambda: "no_such_field" in target.log() and target.log().count("a request ends") == 2)
            target.signal()
            self.assertEqual(target.wait(), 0)
            levels = {entry["level"] for entry in self.entries(target) if "message" in entry}
            self.assertEqual(levels, {"info", "warning"})

    def test_the_last_words_are_json(self):
        with simulate() as target:
            with self.assertRaisesRegex(AssertionError, "ended with 1") as caught:
                simulate(port=target.port).close()
            last = json.loads(str(caught.exception).split("\n")[1])
            self.assertEqual(last["level"], "error")
            self.assertIn(str(target.port), last["message"])

    def test_equal_lines_are_cut_short(self):
        with Server(env={"INFERNUM_FAULTS": "request:*:nan"}) as target, target.client() as client:
            for _ in range(30):
                self.assertEqual(client.chat(max_tokens=1).status, 500)
            eventually("all are there", lambda: target.log().count('"event":"request","request_id"') >= 30)
            said = [entry["message"] for entry in self.entries(target) if "a request ends" in entry.get("message", "")]
            self.assertEqual(len(said), 10)


class LogContent(unittest.TestCase):
    HOSTILE = 'A fox\n{"level":"error"}\x1b[31m\u2028\u0085 said so'

    def lines(self, target, count):
        eventually("its lines", lambda: target.log().count("/v1/chat/completions") + target.log().count("/v1/completions") >= count)
        lines = [json.loads(line) for line in target.log_path.read_bytes().decode().split("\n") if line]
        return [line for line in lines if line.get("status") == 200 and "completions" in line.get("route", "")]

    def test_beginnings_of_prompt_and_answer(self):
        with Server("--log-content", "--max-num-seqs", "2") as target, target.client() as client:
            self.assertIn("--log-content", target.log(), "a warning")
            whole = client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": self.HOSTILE}], "max_tokens": 20}).json()
            texts, _, _, _ = client.stream(prompt="A hen " * 450, path="/v1/completions", max_tokens=20, n=2, ignore_eos=True)
            first, second = self.lines(target, 2)
            self.assertIn(self.HOSTILE, first["prompt"])
            self.assertEqual(first["output"], whole["choices"][0]["message"]["content"])
            self.assertTrue(1000 < len(second["prompt"].encode()) <= 2048 + 3, len(second["prompt"]))
            self.assertEqual(second["output"], texts[0] + "\n" + texts[1])
            raw = target.log_path.read_bytes()
            for control in (b"\x1b", "\u2028".encode(), "\u0085".encode()):
                self.assertNotIn(control, raw)

    def test_without_it_nothing_of_them_is_there(self):
        with Server() as target, target.client() as client:
            text = client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "unheardof"}], "max_tokens": 30}).json()
            [line] = self.lines(target, 1)
            self.assertFalse({"prompt", "output"} & set(line))
            self.assertNotIn("unheardof", target.log())
            self.assertNotIn(text["choices"][0]["message"]["content"], target.log())


class DeepHealth(unittest.TestCase):
    def test_one_token_for_the_admin(self):
        with simulate("--api-key", "sk-1", "--admin-api-key", "boss") as target:
            for path, key, status in (("/health", None, 200), ("/health?deep=0", None, 200), ("/health?deep=1", None, 401),
                                      ("/health?x&deep=1", None, 401), ("/health?deep=1", "wrong", 401), ("/health?deep=1", "sk-1", 403),
                                      ("/health?deep=1", "boss", 200), ("/v1/health?deep=1", "boss", 200)):
                with self.subTest(path=path, key=key):
                    headers = {"Authorization": "Bearer " + key} if key else {}
                    before = target.get("/metrics", headers={"x-api-key": "sk-1"}).body.decode()
                    reply = target.get(path, headers=headers)
                    self.assertEqual(reply.status, status, reply)
                    if status == 200:
                        self.assertEqual(reply.json(), {"status": "ok"})
                    after = target.get("/metrics", headers={"x-api-key": "sk-1"}).body.decode()
                    generated = [int(re.search(r"vllm:generation_tokens_total\{.*\} (\d+)", text)[1]) for text in (before, after)]
                    self.assertEqual(generated[1] - generated[0], 1 if key == "boss" else 0)

    def test_a_server_that_is_not_ready_looks_no_deeper(self):
        with simulate("--admin-api-key", "boss", "--drain-delay", "30") as target:
            boss = {"Authorization": "Bearer boss"}
            self.assertEqual(target.post("/admin/drain", {}, headers=boss).status, 200)
            reply = target.get("/health?deep=1", headers=boss)
            self.assertEqual((reply.status, reply.error["code"]), (503, "draining"))

    def test_a_fault_is_its_answer(self):
        with Server("--admin-api-key", "boss", env={"INFERNUM_FAULTS": "request:1:nan"}) as target:
            boss = {"Authorization": "Bearer boss"}
            self.assertEqual(target.get("/health").status, 200, "which looks no deeper")
            reply = target.get("/health?deep=1", headers=boss)
            self.assertEqual((reply.status, reply.error["code"]), (500, "engine_error"))
            self.assertEqual(target.get("/health?deep=1", headers=boss).status, 200)


class Headers(unittest.TestCase):
    FIELDS = {"messages": MESSAGES, "max_tokens": 3, "user": "u", "store": False}

    def headers(self, target, **fields):
        with target.client() as client:
            response = client.begin("POST", "/v1/chat/completions", {**self.FIELDS, **fields})
            response.read()
            return {name.lower(): value for name, value in response.getheaders()}

    def test_fields_without_effect_are_named_on_streams_too(self):
        with simulate() as target:
            self.assertEqual(self.headers(target)["x-infernum-no-effect"], "user, store")
            self.assertEqual(self.headers(target, stream=True)["x-infernum-no-effect"], "user, store")
            options = {"include_obfuscation": True}
            self.assertIn("stream_options.include_obfuscation",
                          self.headers(target, stream=True, stream_options=options)["x-infernum-no-effect"])
            self.assertNotIn("x-infernum-no-effect", self.headers(target, user=None, store=None, stream=True))

    def test_pages_of_other_origins_may_read_them(self):
        with simulate("--cors-origins", "https://app.example", "--rate-limit-requests", "100", "--rate-limit-tokens", "1000") as target:
            headers = {"Origin": "https://app.example"}
            reply = target.post("/v1/chat/completions", self.FIELDS, headers=headers)
            exposed = {name.strip() for name in reply.headers["access-control-expose-headers"].split(",")}
            own = {name for name in reply.headers if name.startswith(("x-", "openai-processing"))} - {"x-content-type-options"}
            self.assertGreaterEqual(len(own), 8)
            self.assertLessEqual(own, exposed)

    def test_server_timing_is_there_on_demand(self):
        with simulate() as target:
            for stream in (False, True):
                self.assertNotIn("server-timing", self.headers(target, stream=stream))
        with simulate("--server-timing", first=0.05) as target:
            whole = dict(re.findall(r"(\w+);dur=([\d.]+)", self.headers(target)["server-timing"]))
            self.assertEqual(sorted(whole), ["decode", "prefill", "queue"])
            self.assertGreaterEqual(float(whole["prefill"]), 50)
            stream = dict(re.findall(r"(\w+);dur=([\d.]+)", self.headers(target, stream=True)["server-timing"]))
            self.assertEqual(list(stream), ["ttft"])
            self.assertGreaterEqual(float(stream["ttft"]), 50)


class ClientCertificates(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("server", "ours", "theirs"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                         "/CN=" + name, "-keyout", self.path(name, "key"), "-out", self.path(name, "pem"))
        for name in ("ours", "theirs"):
            self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=client", "-keyout",
                         self.path(name + "_client", "key"), "-out", self.path(name, "csr"))
            self.openssl("x509", "-req", "-in", self.path(name, "csr"), "-CA", self.path(name, "pem"), "-CAkey", self.path(name, "key"),
                         "-CAcreateserial", "-days", "2", "-out", self.path(name + "_client", "pem"))

    def path(self, name, kind):
        return str(self.folder / (name + "." + kind))

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def status(self, target, client=None, version=None):
        """Of GET /health; 0: not let in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version:
            context.maximum_version = version
        if client:
            context.load_cert_chain(self.path(client, "pem"), self.path(client, "key"))
        connection = http.client.HTTPSConnection("127.0.0.1", target.port, timeout=20 * server.SLOWDOWN, context=context)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except (ssl.SSLError, ConnectionError):
            return 0
        finally:
            connection.close()

    def test_only_those_of_the_authority_get_in(self):
        flags = ["--tls-cert", self.path("server", "pem"), "--tls-key", self.path("server", "key")]
        with simulate(*flags, wait=None) as target:
            eventually("ready", lambda: self.status(target) == 200)
        ca = self.folder / "clients.pem"
        ca.write_text(pathlib.Path(self.path("ours", "pem")).read_text())
        with simulate(*flags, "--tls-client-ca", ca, wait=None) as target:
            eventually("ready", lambda: self.status(target, "ours_client") == 200)
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                self.assertEqual(self.status(target, "ours_client", version), 200)
                self.assertEqual(self.status(target, None, version), 0)
                self.assertEqual(self.status(target, "theirs_client", version), 0)
            eventually("the operator hears why", lambda: "peer did not return a certificate" in target.log())
            ca.write_text("no certificate")
            target.signal(signal.SIGHUP)
            eventually("a bad file is named", lambda: str(ca) in target.log())
            self.assertEqual(self.status(target, "ours_client"), 200, "and changes nothing")
            ca.write_text(pathlib.Path(self.path("theirs", "pem")).read_text())
            eventually("the new authority counts", lambda: self.status(target, "theirs_client") == 200)
            self.assertEqual(self.status(target, "ours_client"), 0)

    def test_flags_that_need_each_other(self):
        for flags, word in ((["--tls-client-ca", self.path("ours", "pem")], "--tls-cert"), (["--tls-cert", self.path("server", "pem")], "--tls-key"),
                            (["--tls-cert", self.path("server", "pem"), "--tls-key", self.path("server", "key"), "--tls-client-ca",
                              "/no/such/ca.pem"], "/no/such/ca.pem")):
            with self.subTest(word=word):
                with self.assertRaises(AssertionError) as caught:
                    simulate(*flags).close()
                self.assertIn(word, str(caught.exception))


if __name__ == "__main__":
    server.main()
