"""Where the configuration comes from, what a running server takes over of it, and the flags that change answers."""
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest

import server
from server import MESSAGES, Server, environment, eventually, simulate


def names(target, **options):
    model = target.get("/v1/models", **options).json()["data"][0]
    return [model["id"], *model["aliases"]]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, text, name="config.toml"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


class Precedence(Folder):
    def slots(self, *flags, **options):
        with simulate(*flags, **options) as target:
            return target.metrics()["infernum_max_sequences"]

    def test_flag_over_environment_over_file_over_default(self):
        nowhere = {"XDG_CONFIG_HOME": str(self.folder / "none")}
        config = ("--config", self.write("max-num-seqs = 5\n"))
        variable = {"INFERNUM_MAX_NUM_SEQS": "6", **nowhere}
        self.assertEqual(self.slots(env=nowhere), 16)
        self.assertEqual(self.slots(*config, env=nowhere), 5)
        self.assertEqual(self.slots(*config, env=variable), 6)
        self.assertEqual(self.slots(*config, "--max-num-seqs", 7, env=variable), 7)
        self.assertEqual(self.slots("--max-num-seqs", 7, env=variable), 7)
        self.assertEqual(self.slots(env=variable), 6)

    def test_places_of_the_file(self):
        self.write("max_num_seqs = 3\n", "home/infernum/config.toml")
        home = {"XDG_CONFIG_HOME": str(self.folder / "home")}
        named = str(self.write("max-num-seqs = 4\n", "named.toml"))
        self.assertEqual(self.slots(env=home), 3)
        self.assertEqual(self.slots(env={**home, "INFERNUM_CONFIG": named}), 4)
        other = self.write("max-num-seqs = 5\n", "other.toml")
        self.assertEqual(self.slots("--config", other, env={**home, "INFERNUM_CONFIG": named}), 5)

    def test_lists_and_switches(self):
        config = self.write('served-model-name = ["fox", "hen"]\nno-page = true\n')
        with simulate("--config", config) as target:
            self.assertEqual(names(target), ["fox", "hen"])
            self.assertEqual(target.get("/").body, b"")
        with simulate("--config", config, env={"INFERNUM_SERVED_MODEL_NAME": "elk,owl", "INFERNUM_NO_PAGE": "false"}) as target:
            self.assertEqual(names(target), ["elk", "owl"])
            self.assertIn(b"<html", target.get("/").body)
        with simulate("--config", config, "--served-model-name", "cat", env={"INFERNUM_SERVED_MODEL_NAME": "elk,owl"}) as target:
            self.assertEqual(names(target), ["cat"])

    def test_switches_are_named_as_what_they_switch_on(self):
        for value in ("true", "false"):
            with simulate("--config", self.write("enable-prefix-caching = %s\n" % value)) as target:
                self.assertIn('enable_prefix_caching="%s"' % value.capitalize(), target.get("/metrics").body.decode())

    def test_what_is_wrong_is_named(self):
        for text, words in (("max-num-sequences = 3\n", ["max-num-sequences", "max-num-seqs"]), ("port = 70000\n", ["port", "65535"]),
                            ("port = \n", ["line 1"]), ("port = {}\n", ["port"]),
                            ("no-enable-prefix-caching = true\n", ["unknown key", "no-enable-prefix-caching", "mean enable-prefix-caching"])):
            with self.subTest(text=text):
                done = subprocess.run([server.Program.path, "serve", "--config", self.write(text)], capture_output=True, text=True,
                                      env=environment(), timeout=60 * server.SLOWDOWN)
                self.assertEqual(done.returncode, 2)
                for word in [str(self.folder / "config.toml"), *words]:
                    self.assertIn(word, done.stderr)


class Names(Folder):
    def test_several_words_behind_the_flag(self):
        with simulate("--served-model-name", "a", "b", "--max-num-seqs", "2") as target:
            self.assertEqual(names(target), ["a", "b"])
            for name in ("a", "b"):
                reply = target.post("/v1/completions", {"model": name, "prompt": "x", "max_tokens": 1})
                self.assertEqual((reply.status, reply.json()["model"]), (200, name))
            reply = target.post("/v1/completions", {"model": "c", "prompt": "x", "max_tokens": 1})
            self.assertEqual((reply.status, reply.error["code"]), (404, "model_not_found"))
            self.assertIn("c", reply.error["message"])
        with simulate("--served-model-name", "a,b", "--served-model-name", "c") as target:
            self.assertEqual(names(target), ["a", "b", "c"])

    def test_a_model_that_comes_last_is_no_name(self):
        done = subprocess.run([server.Program.path, "serve", "--served-model-name", "fox", self.folder], capture_output=True, text=True,
                              env=environment(), timeout=60 * server.SLOWDOWN)
        self.assertEqual(done.returncode, 2)
        for word in ("--served-model-name", "MODEL", str(self.folder)):
            self.assertIn(word, done.stderr)


class Reload(Folder):
    GOOD = """
served-model-name = ["fox", "old"]
api-key = ["sk-1"]
admin-api-key = ["boss"]
rate-limit-requests = 100
cors-origins = ["https://old.example"]
"""
    NEXT = """
served-model-name = ["fox", "new", "newer"]
api-key = ["sk-1", "sk-2"]
admin-api-key = ["boss"]
rate-limit-requests = 200
cors-origins = ["https://new.example"]
log-level = "warning"
"""

    def state(self, target):
        key = {"Authorization": "Bearer sk-1"}
        reply = target.post("/v1/completions", {"prompt": "x", "max_tokens": 1}, headers={**key, "Origin": "https://new.example"})
        self.assertEqual(reply.status, 200)
        return (names(target, headers=key), target.get("/v1/models", headers={"x-api-key": "sk-2"}).status,
                int(reply.headers["x-ratelimit-limit-requests"]), reply.headers.get("access-control-allow-origin"))

    OLD_STATE = (["fox", "old"], 401, 100, None)
    NEW_STATE = (["fox", "new", "newer"], 200, 200, "https://new.example")

    def test_all_of_it_by_a_signal(self):
        config = self.write(self.GOOD)
        with simulate("--config", config) as target:
            self.assertEqual(self.state(target), self.OLD_STATE)
            self.write(self.NEXT)
            target.signal(signal.SIGHUP)
            eventually("taken over", lambda: self.state(target) == self.NEW_STATE)
            before = target.log().count('"event":"request"')
            self.state(target)
            self.assertEqual(target.log().count('"event":"request"'), before, "warning: no line per request")

    def test_a_bad_file_changes_nothing(self):
        config = self.write(self.GOOD)
        boss = {"Authorization": "Bearer boss"}
        with simulate("--config", config) as target:
            for bad, word in ((self.NEXT + "no-such-key = 1\n", "no-such-key"), (self.NEXT + 'tls-cert = "/nowhere"\n', "--tls-key"),
                              (self.NEXT.replace("https://new.example", "new.example"), "--cors-origins"), ("[[[", "TOML"),
                              (self.NEXT + 'api-key-file = "/no/such/keys"\n', "/no/such/keys")):
                with self.subTest(word=word):
                    self.write(bad)
                    reply = target.post("/admin/reload", {}, headers=boss)
                    self.assertEqual((reply.status, reply.error["code"]), (400, "reload_failed"))
                    self.assertEqual(self.state(target), self.OLD_STATE)
                    eventually("said in the log", lambda: word in target.log().split("stays as it is")[-1])
            config.unlink()
            self.assertEqual(target.post("/admin/reload", {}, headers=boss).status, 400)
            self.assertEqual(self.state(target), self.OLD_STATE)
            self.write(self.NEXT)
            self.assertEqual(target.post("/admin/reload", {}, headers=boss).status, 200)
            self.assertEqual(self.state(target), self.NEW_STATE)

    def test_what_needs_a_restart_is_said(self):
        config = self.write(self.GOOD)
        with simulate("--config", config) as target:
            self.write(self.NEXT.replace('"fox", ', "") + "max-num-seqs = 3\n")
            target.signal(signal.SIGHUP)
            eventually("said", lambda: "needs a restart: --max-num-seqs" in target.log() and "first name" in target.log())
            self.assertEqual(names(target, headers={"x-api-key": "sk-2"}), ["fox", "newer"])

    def test_a_flag_wins_over_the_new_file(self):
        config = self.write(self.GOOD)
        with simulate("--config", config, "--rate-limit-requests", "7") as target:
            self.write(self.NEXT)
            target.signal(signal.SIGHUP)
            eventually("taken over", lambda: self.state(target) == (["fox", "new", "newer"], 200, 7, "https://new.example"))


class Flags(unittest.TestCase):
    def texts(self, *flags):
        with Server(*flags) as target:
            return [target.post("/v1/completions", {"prompt": "Once", "max_tokens": 12}).json()["choices"][0]["text"] for _ in range(3)]

    def test_seed_repeats_the_whole_series(self):
        one = self.texts("--seed", "5")
        self.assertEqual(self.texts("--seed", "5"), one)
        self.assertEqual(len(set(one)), 3, "requests differ among each other")
        self.assertNotEqual(self.texts("--seed", "6"), one)
        self.assertNotEqual(self.texts(), self.texts())

    def chosen(self, target):
        reply = target.post("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 4, "top_k": 1, "logprobs": True})
        return [entry["logprob"] for entry in reply.json()["choices"][0]["logprobs"]["content"]]

    def test_logprobs_mode(self):
        with Server() as target:
            raw = self.chosen(target)
            self.assertTrue(all(-20 < logprob < -1e-6 for logprob in raw), raw)
        for mode in ("processed", "processed_logprobs"):
            with Server("--logprobs-mode", mode) as target:
                self.assertEqual(self.chosen(target), [0, 0, 0, 0], "of one token to choose from")

    def test_limits_of_fields(self):
        with simulate("--max-n", "2", "--max-logprobs", "3") as target, target.client() as client:
            self.assertEqual(client.complete(n=2, logprobs=3, max_tokens=1).status, 200)
            for fields, flag in (({"n": 3}, "--max-n"), ({"logprobs": 4}, "--max-logprobs"), ({"priority": 1}, "--scheduling-policy")):
                reply = client.complete(max_tokens=1, **fields)
                self.assertEqual((reply.status, reply.error["param"]), (400, list(fields)[0]))
                self.assertIn(flag, reply.error["message"])

    def test_priority(self):
        with simulate("--scheduling-policy", "priority", "--max-num-seqs", "1", next=0.05) as target:
            order = []
            import threading

            def ask(priority):
                with target.client() as client:
                    self.assertEqual(client.complete(max_tokens=4, ignore_eos=True, priority=priority).status, 200)
                order.append(priority)

            threads = [threading.Thread(target=ask, args=(priority,)) for priority in (0, 5, -5)]
            for i, thread in enumerate(threads):
                thread.start()
                eventually("it is there", lambda: sum(target.metrics()[name] for name in (server.RUNNING, server.WAITING)) >= i + 1)
            for thread in threads:
                thread.join()
            self.assertEqual(order, [0, -5, 5])

    def test_help_names_every_flag_with_its_variable(self):
        text = subprocess.run([server.Program.path, "serve", "--help"], capture_output=True, text=True, env=environment()).stdout
        for flag in ("tls-client-ca", "seed", "logprobs-mode", "max-n", "max-logprobs", "scheduling-policy", "server-timing", "log-content",
                     "served-model-name", "log-level"):
            self.assertIn("--" + flag, text)
            self.assertIn("INFERNUM_" + flag.upper().replace("-", "_"), text)


if __name__ == "__main__":
    server.main()
