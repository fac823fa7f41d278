"""Who may ask, and what one tenant can learn of another: keys on every route, no cached prefix and no saved time across salts and keys."""
import pathlib
import tempfile
import time

import server
from server import MESSAGES, ServerCase, Server, simulate

PUBLIC = ("/health", "/live", "/ready")
ROUTES = [("GET", "/v1/models"), ("GET", "/models"), ("GET", "//v1//models"), ("GET", "/v1/models/x"), ("POST", "/v1/chat/completions"),
          ("POST", "/chat/completions"), ("POST", "/v1/completions"),
          ("POST", "/tokenize"), ("POST", "/detokenize"), ("POST", "/v1/tokenize"), ("GET", "/tokenizer_info"), ("GET", "/version"),
          ("GET", "/load"), ("GET", "/metrics"), ("POST", "/v1/embeddings"),
          ("GET", "/nowhere"), ("GET", "/admin/"), ("POST", "/admin/drain"), ("DELETE", "/v1/models"), ("GET", "/v1/%6dodels"),
          ("HEAD", "/v1/models"), ("PUT", "/metrics"), ("GET", "/health/../v1/models"),
          ("GET", "/health/x"), ("GET", "/ready%2f..%2fv1/models")]


class Keys(ServerCase):
    @classmethod
    def start(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.keys = pathlib.Path(cls.folder.name) / "keys"
        cls.keys.write_text("# two tenants\nsk-first\nsk-second\n")
        return simulate("--api-key", "sk-third", "--api-key-file", cls.keys)

    def setUp(self):
        self.client = self.server.client()
        self.addCleanup(self.client.connection.close)


class EveryRouteNeedsAKey(Keys):
    def test_table(self):
        wrong = [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "Bearer sk-firs"},
                 {"Authorization": "Bearer sk-first2"}, {"Authorization": "Basic sk-first"},
                 {"Authorization": "sk-first"}, {"Authorization": "Bearer SK-FIRST"}, {"x-api-key": "x"},
                 {"Authorization": "Bearer # two tenants"}, {"Authorization": "Bearer \xff"}]
        good = [{"Authorization": "Bearer sk-first"}, {"authorization": "bearer sk-second"}, {"x-api-key": "sk-third"},
                {"api-key": "sk-first"}]
        for method, path in ROUTES:
            body = {"messages": MESSAGES, "prompt": "x", "tokens": [300], "max_tokens": 1} if method == "POST" else None
            for headers in wrong:
                with self.subTest(method=method, path=path, headers=headers):
                    reply = self.client.request(method, path, body, headers)
                    self.assertIn(reply.status, (401, 404, 400), reply)
                    if reply.status != 401:  # what cannot be a route at all
                        self.assertIn(path, ("/health/../v1/models", "/ready%2f..%2fv1/models", "/nowhere", "/admin/", "/health/x"))
                    self.assertNotIn(b"sk-first", reply.body)
            for headers in good:
                with self.subTest(method=method, path=path, headers=headers):
                    self.assertNotEqual(self.client.request(method, path, body, headers).status, 401)
        for path in PUBLIC:
            self.assertEqual(self.client.get(path).status, 200, path)

    def test_refusals_reveal_nothing(self):
        self.refused(self.client.get("/v1/models"), 401, code="invalid_api_key")
        reply = self.client.chat(model="no-such-model")
        self.refused(reply, 401)
        self.assertNotIn("no-such-model", reply.body.decode())
        self.assertTrue(reply.headers["www-authenticate"].startswith("Bearer"))
        self.assertNotIn("sk-", self.server.log())

    def test_a_body_without_a_key_is_not_waited_for(self):
        with self.server.connect() as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 30000000\r\n\r\n{")
            begin = time.monotonic()
            self.assertIn(b" 401 ", connection.recv(4096)[:40])
            self.assertLess(time.monotonic() - begin, 5 * server.SLOWDOWN)


class KeysOfAFile(Keys):
    """Reloaded by SIGHUP; a file that is wrong changes nothing."""

    def status(self, key):
        return self.client.get("/v1/models", headers={"Authorization": "Bearer " + key}).status

    def test_reload(self):
        self.assertEqual([self.status(k) for k in ("sk-first", "sk-third", "sk-new")], [200, 200, 401])
        self.keys.write_text("sk-new\n")
        self.server.signal(server.signal.SIGHUP)
        server.eventually("the new key", lambda: self.status("sk-new") == 200)
        self.assertEqual([self.status(k) for k in ("sk-first", "sk-third")], [401, 200])
        for broken in (b"\xff\xfe\x00garbage\n", b"sha256:xyz\n"):
            self.keys.write_bytes(broken)
            self.server.signal(server.signal.SIGHUP)
            time.sleep(0.3)
            self.assertEqual(self.status("sk-new"), 200, "the old keys stay")


class Salts(ServerCase):
    @classmethod
    def start(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        keys = pathlib.Path(cls.folder.name) / "keys"
        keys.write_text("sk-first\nsk-second\n")
        return Server("--api-key-file", keys)

    def setUp(self):
        self.client = self.server.client(headers={"Authorization": "Bearer sk-first"})
        self.other = self.server.client(headers={"Authorization": "Bearer sk-second"})
        self.addCleanup(self.client.connection.close)
        self.addCleanup(self.other.connection.close)

    @staticmethod
    def prompt(number):
        return [300 + (number * 7919 + i * 31 + i * i * number) % 3000 for i in range(800)]

    def ask(self, prompt, client=None, **fields):
        """(cached tokens, seconds)"""
        begin = time.monotonic()
        reply = (client or self.client).post("/v1/completions", {"prompt": prompt, "max_tokens": 1, "temperature": 0, **fields})
        taken = time.monotonic() - begin
        self.assertEqual(reply.status, 200, reply)
        self.assertNotIn("hit", reply.headers)
        return reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"], taken

    def test_nothing_is_shared_across_salts(self):
        prompt = self.prompt(1)
        self.assertEqual(self.ask(prompt, cache_salt="a")[0], 0)
        self.assertGreaterEqual(self.ask(prompt, cache_salt="a")[0], 768)
        for salt in ({"cache_salt": "b"}, {}, {"cache_salt": "A"}, {"cache_salt": "a "}):
            self.assertEqual(self.ask(prompt, **salt)[0], 0, salt)
            self.assertGreaterEqual(self.ask(prompt, **salt)[0], 768, salt)

    def test_nothing_is_shared_across_keys(self):
        prompt = self.prompt(2)
        for salt in ({}, {"cache_salt": "same"}):
            self.assertEqual(self.ask(prompt, **salt)[0], 0)
            self.assertGreaterEqual(self.ask(prompt, **salt)[0], 768)
            self.assertEqual(self.ask(prompt, self.other, **salt)[0], 0)

    def test_what_is_cached_changes_no_answer(self):
        prompt = self.prompt(3)
        fields = {"prompt": prompt, "max_tokens": 24, "seed": 5, "ignore_eos": True, "temperature": 1}
        texts = {self.client.post("/v1/completions", fields).json()["choices"][0]["text"] for _ in range(3)}
        texts.add(self.other.post("/v1/completions", fields).json()["choices"][0]["text"])
        self.assertEqual(len(texts), 1)

    def test_time_reveals_nothing(self):
        cold, warm, foreign = [], [], []
        for i in range(5):
            mine = self.prompt(10 + i)
            cold.append(self.ask(mine, cache_salt="t")[1])
            warm.append(self.ask(mine, cache_salt="t")[1])
            foreign.append(self.ask(mine, self.other, cache_salt="t")[1])
        self.assertLess(min(warm), 0.6 * min(cold), "the clock can tell a hit from a miss")
        self.assertGreater(min(foreign), 0.7 * min(cold))


if __name__ == "__main__":
    server.main()
