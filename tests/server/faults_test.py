"""Faults of the engine, the disk and the process: a request's fault is its own, an ending server ends its streams well."""
import contextlib
import json
import pathlib
import signal
import socket
import tempfile
import threading
import time
import unittest

import server
from server import MESSAGES, Refused, Server, Streams, eventually, raw_post, read_all, replies, simulate

LONG = {"messages": MESSAGES, "ignore_eos": True}


class EngineFaults(unittest.TestCase):
    FIELDS = {"seed": lambda i: i, "max_tokens": 40, "ignore_eos": True}

    def texts(self, env=None):
        with Server("--max-num-seqs", "8", env=env) as target:
            streams = Streams(target, 6, **self.FIELDS).join()
            again = target.post("/v1/chat/completions", {**LONG, "max_tokens": 3})
            self.assertEqual(again.status, 200, "the server goes on")
            target.wait_idle()
            self.assertEqual(target.get("/ready").status, 200)
        return streams

    def test_only_its_own_request_fails(self):
        good = self.texts()
        for fault, code in (("nan", "engine_error"), ("throw", "engine_error"), ("oom", "out_of_memory")):
            with self.subTest(fault=fault):
                faulty = self.texts({"INFERNUM_FAULTS": "request:3:" + fault})
                failed = [i for i, result in enumerate(faulty) if isinstance(result, Refused) or result[3]]
                self.assertEqual(len(failed), 1, faulty)
                lost = faulty[failed[0]]
                error = lost.reply.error if isinstance(lost, Refused) else lost[3]
                self.assertEqual((error["type"], error["code"]), ("server_error", code))
                self.assertNotRegex(error["message"], r"/|0x|std::|\.cpp")
                for i in range(6):
                    if i not in failed:
                        self.assertEqual(faulty[i], good[i], "the text of the others is what it was")

    def test_a_step_without_memory_is_tried_with_less(self):
        good = self.texts()
        faulty = self.texts({"INFERNUM_FAULTS": "step:1:oom,step:2:oom,step:7:oom,step:12:oom"})
        self.assertEqual([result[0] for result in faulty], [result[0] for result in good])
        self.assertEqual([result[3] for result in faulty], [None] * 6)

    def test_a_request_without_memory_is_told_what_helps(self):
        with Server(env={"INFERNUM_FAULTS": "request:1:oom"}) as target:
            reply = target.post("/v1/chat/completions", {**LONG, "max_tokens": 3})
            self.assertEqual((reply.status, reply.error["type"], reply.error["code"]), (500, "server_error", "out_of_memory"))
            self.assertEqual(reply.headers["x-should-retry"], "false")
            self.assertIn("--kv-cache-tokens", reply.error["message"])
            self.assertEqual(target.post("/v1/chat/completions", {**LONG, "max_tokens": 3}).status, 200)

    def test_a_lost_device_ends_the_process(self):
        # As in a death of the engine, the head of the stream is out before.
        for begin in (lambda faults: Server(env={"INFERNUM_FAULTS": faults}),
                      lambda faults: simulate(next=0.05, env={"INFERNUM_FAULTS": faults})):
            with begin("step:3:sleep:1000ms,step:6:lost") as target:
                streams = Streams(target, 3, max_tokens=60, ignore_eos=True)
                for result in streams.join():
                    self.assertFalse(isinstance(result, Exception), result)
                    _, ends, _, error, done = result
                    self.assertEqual((ends, error["type"], error["code"], done), ({}, "server_error", "device_lost", True))
                    self.assertIn("lost: on order", error["message"])
                self.assertEqual(target.wait(), 1)
                self.assertIn("its device was lost", target.log())

    def test_within_a_stream(self):
        with simulate(next=0.02, env={"INFERNUM_FAULTS": "step:15:nan"}) as target:
            [(text, ends, _, error, done)] = Streams(target, 1, max_tokens=60, ignore_eos=True).join()
            self.assertTrue(text)
            self.assertEqual(ends, {}, "no end beside the error")
            self.assertEqual(sorted(error), ["code", "message", "param", "type"])
            self.assertTrue(done, "[DONE] comes behind the error")
            [(text, ends, _, error, done)] = Streams(target, 1, max_tokens=60, ignore_eos=True).join()
            self.assertEqual((ends, error, done), ({0: "length"}, None, True))
            target.wait_idle()
            self.assertEqual(target.metrics()['vllm:request_success_total{finished_reason="error"}'], 1)

    def test_a_dead_engine_ends_the_process(self):
        with simulate(next=0.05, env={"INFERNUM_FAULTS": "step:15:die"}) as target:
            streams = Streams(target, 3, max_tokens=60, ignore_eos=True)
            whole = Streams(target, 2, max_tokens=60, ignore_eos=True, whole=True)
            probes, refused = set(), set()
            while target.process.poll() is None:
                with contextlib.suppress(OSError):
                    reply = target.get("/live")
                    probes.add((reply.status, reply.error["code"] if reply.status == 503 else None))
                    if reply.status == 503:
                        self.assertEqual(target.get("/ready").error["code"], "engine_dead")
                        refused.add((target.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).error["code"]))
                time.sleep(0.02)
            self.assertEqual(target.wait(), 1)
            self.assertEqual(probes, {(200, None), (503, "engine_dead")})
            self.assertEqual(refused, {"engine_dead"})
            for result in streams.join():
                self.assertFalse(isinstance(result, Exception), result)
                self.assertEqual(result[1], {}, "no end beside the error")
                self.assertEqual((result[3]["type"], result[3]["code"], result[4]), ("server_error", "engine_error", True))
            for result in whole.join():
                self.assertEqual((result.reply.status, result.reply.error["code"]), (500, "engine_error"))
            self.assertIn("the engine has failed", target.log())

    def test_a_dead_engine_with_a_model(self):
        # The third step waits, so that the head of the stream is out, and an error can only come inside it, however busy the machine is.
        with Server(env={"INFERNUM_FAULTS": "step:3:sleep:1000ms,step:4:die"}) as target:
            [(_, ends, _, error, done)] = Streams(target, 1, max_tokens=60, ignore_eos=True).join()
            self.assertEqual((ends, error["code"], done), ({}, "engine_error", True))
            self.assertEqual(target.wait(), 1)

    def test_a_step_that_hangs_is_no_death_of_the_listener(self):
        with simulate(next=0.01, env={"INFERNUM_FAULTS": "step:5:sleep:1500ms"}) as target:
            streams = Streams(target, 1, max_tokens=20, ignore_eos=True)
            slowest = 0
            for _ in range(20):
                begin = time.monotonic()
                self.assertEqual(target.get("/live").status, 200)
                slowest = max(slowest, time.monotonic() - begin)
                time.sleep(0.05)
            self.assertLess(slowest, 0.5 * server.SLOWDOWN)
            self.assertEqual(streams.join()[0][1], {0: "length"})

    def test_a_full_queue_on_order(self):
        with simulate(env={"INFERNUM_FAULTS": "submit:2:full"}) as target, target.client() as client:
            self.assertEqual([client.chat(max_tokens=1).status for _ in range(3)], [200, 429, 200])

    def test_faults_that_are_none_are_named(self):
        for spec in ("step:0:throw", "step:1", "nonsense", "step:1:explode"):
            with self.assertRaises(AssertionError) as caught:
                simulate(env={"INFERNUM_FAULTS": spec}).close()
            self.assertIn("fault", str(caught.exception))


class DiskFull(unittest.TestCase):
    def serve_some(self, target):
        with target.client() as client:
            for _ in range(20):
                self.assertEqual(client.chat(max_tokens=5).status, 200)
            texts, ends, _, _ = client.stream(max_tokens=5)
            self.assertEqual(len(ends), 1)

    def test_log(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with Server("--engine", "sim", log="/dev/full", port=port) as target:
            self.serve_some(target)
            target.signal()
            self.assertEqual(target.wait(), 0)

    def test_trace(self):
        for flags, options in ((["--trace", "/dev/full"], {}), (["--trace", "{folder}/trace.json"], {"files": 8192})):
            with self.subTest(flags=flags), tempfile.TemporaryDirectory() as folder:
                with Server(*[flag.format(folder=folder) for flag in flags], **options) as target:
                    self.serve_some(target)
                    self.assertIsNone(target.process.poll())
                    target.signal()
                    target.wait()

    def test_a_trace_that_cannot_be_begun_is_said_at_once(self):
        for flags in ([], ["--engine", "sim"]):  # which has no steps of a model
            with self.assertRaises(AssertionError) as caught:
                Server("--trace", "/no/such/folder/trace.json", *flags).close()
            self.assertIn("--trace" if flags else "trace:", str(caught.exception))
            self.assertIn("/no/such/folder/trace.json", str(caught.exception))


class TraceFile(unittest.TestCase):
    def test_it_is_a_chrome_trace(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "trace.json"
            with Server("--trace", path) as target:
                Streams(target, 3, max_tokens=8, ignore_eos=True).join()
                target.signal()
                self.assertEqual(target.wait(), 0)
            trace = json.loads(path.read_text())
            events = trace["traceEvents"] if isinstance(trace, dict) else trace
            for event in events:
                self.assertIn(event["ph"], "XbeM")
                if event["ph"] != "M":
                    self.assertGreaterEqual(event["ts"], 0)
            self.steps_and_ops(events)
            self.requests([event for event in events if event["ph"] in "be"])
            self.assertNotIn("fox", path.read_text())

    def steps_and_ops(self, events):
        """Each on a track of its own; ops lie within the model's part of a step."""
        tracks = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
        spans = {name: [event for event in events if event["ph"] == "X" and event["tid"] == tid] for name, tid in tracks.items()}
        steps = [event for event in spans["steps"] if event["name"] == "step"]
        self.assertGreaterEqual(len(steps), 8)
        self.assertEqual({event["name"] for event in spans["steps"]}, {"step", "model", "sampling"})
        self.assertTrue(all(1 <= step["args"]["sequences"] <= step["args"]["tokens"] for step in steps))
        self.assertGreater(len({op["name"] for op in spans["ops"]}), 3)
        ends = sorted((step["ts"], step["ts"] + step["dur"]) for step in steps)
        for op in spans["ops"][:200]:
            self.assertTrue(any(begin - 1 <= op["ts"] and op["ts"] + op["dur"] <= end + 1 for begin, end in ends), op)

    def requests(self, edges):
        for request in {edge["id"] for edge in edges}:
            own = [(edge["ph"], edge["name"]) for edge in edges if edge["id"] == request]
            for name in ("request", "queued", "prefill", "decode"):
                self.assertEqual([phase for phase, of in own if of == name], ["b", "e"])
        self.assertEqual(len({edge["id"] for edge in edges}), 3)
        self.assertEqual({edge["args"]["generated_tokens"] for edge in edges if edge["name"] == "request" and edge["ph"] == "b"}, {8})


class KillUnderLoad(unittest.TestCase):
    def test_port_is_reusable_at_once(self):
        port = 0
        for _ in range(3):
            with simulate(port=port, next=0.01) as target:
                port = target.port
                streams = Streams(target, 8, max_tokens=400, ignore_eos=True)
                eventually("all run", lambda: target.running() == 8)
                target.signal(signal.SIGKILL)
                target.wait()
                for result in streams.join():
                    self.assertTrue(isinstance(result, Exception) or not result[4], result)
        with simulate(port=port) as target:
            self.assertEqual(target.post("/v1/completions", {"prompt": "a", "max_tokens": 1}).status, 200)

    def test_a_port_that_is_taken_is_said(self):
        with simulate() as target:
            with self.assertRaises(AssertionError) as caught:
                simulate(port=target.port).close()
            self.assertIn(str(target.port), str(caught.exception))
            self.assertEqual(target.get("/health").status, 200)


class Draining(unittest.TestCase):
    def test_in_flight_is_finished_and_new_is_refused(self):
        with simulate(next=0.04) as target:
            streams = Streams(target, 8, max_tokens=100, ignore_eos=True, stream_options={"include_usage": True})
            whole = Streams(target, 8, max_tokens=100, ignore_eos=True, whole=True)
            eventually("all run", lambda: target.running() == 16)
            target.signal()
            eventually("readiness is off", lambda: target.get("/ready").status == 503)
            self.assertEqual(target.get("/live").status, 200)
            for path in ("/v1/chat/completions", "/v1/completions"):
                reply = target.post(path, {**LONG, "prompt": "a", "max_tokens": 1})
                self.assertEqual((reply.status, reply.error["code"]), (503, "draining"))
                self.assertEqual(reply.headers.get("connection"), "close")
                self.assertGreaterEqual(int(reply.headers["retry-after"]), 1)
            self.assertTrue(all(thread.is_alive() for thread in streams.threads), "they were running meanwhile")
            for _, ends, usage, error, done in streams.join():
                self.assertEqual((ends, usage["completion_tokens"], error, done), ({0: "length"}, 100, None, True))
            for result in whole.join():
                self.assertEqual(result[2]["completion_tokens"], 100)
            self.assertEqual(target.wait(), 0)

    def test_an_idle_server_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with simulate() as target:
                with target.client() as kept:
                    kept.get("/health")
                    begin = time.monotonic()
                    target.signal(number)
                    self.assertEqual(target.wait(), 0)
                    self.assertLess(time.monotonic() - begin, 3 * server.SLOWDOWN)

    def test_a_second_signal_ends_it_now(self):
        with simulate(next=0.05) as target:
            streams = Streams(target, 4, max_tokens=1000, ignore_eos=True)
            eventually("all run", lambda: target.running() == 4)
            target.signal()
            time.sleep(0.3)
            self.assertIsNone(target.process.poll())
            begin = time.monotonic()
            target.signal()
            target.wait()
            self.assertLess(time.monotonic() - begin, 3 * server.SLOWDOWN)
            for result in streams.join():
                self.assertTrue(isinstance(result, Exception) or not result[1], "none of them ends as if it were complete: %r" % (result,))

    def test_what_does_not_end_in_time_gets_an_error(self):
        with simulate("--shutdown-timeout", "1", next=0.05) as target:
            streams = Streams(target, 4, max_tokens=1000, ignore_eos=True)
            eventually("all run", lambda: target.running() == 4)
            target.signal()
            self.assertEqual(target.wait(), 0)
            for result in streams.join():
                self.assertFalse(isinstance(result, Exception), result)
                self.assertTrue(result[3], "an error is its last event")

    def test_under_load(self):
        with Server("--max-num-seqs", "8") as target:
            stop = threading.Event()
            outcomes = []

            def work(i):
                with contextlib.suppress(OSError, Exception):
                    while not stop.is_set():
                        with target.client() as client:
                            reply = client.chat(max_tokens=20, seed=i, ignore_eos=True)
                            outcomes.append((reply.status, reply.status != 200 or reply.json()["usage"]["completion_tokens"] == 20))

            threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
            for thread in threads:
                thread.start()
            time.sleep(1)
            target.signal()
            self.assertEqual(target.wait(), 0)
            stop.set()
            for thread in threads:
                thread.join()
            self.assertGreater(len(outcomes), 5)
            self.assertTrue(all(status in (200, 503) and whole for status, whole in outcomes), outcomes)


class Loading(unittest.TestCase):
    def test_the_listener_is_there_before_the_model(self):
        with Server(wait=None) as target:
            seen = set()
            while "ready 200" not in seen:
                with contextlib.suppress(OSError):
                    seen.add("live %d" % target.get("/live").status)
                    seen.add("ready %d" % target.get("/ready").status)
                    reply = target.post("/v1/chat/completions", {**LONG, "max_tokens": 1})
                    seen.add("chat %d %s" % (reply.status, reply.json().get("error", {}).get("code")))
            self.assertIn("live 200", seen)
            self.assertNotIn("live 503", seen)
            self.assertTrue(seen <= {"live 200", "ready 503", "ready 200", "chat 503 model_loading", "chat 200 None"}, seen)

    def test_a_model_that_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(AssertionError) as caught:
                Server(folder).close()
            self.assertIn("ended with 1", str(caught.exception))
            self.assertIn(folder, str(caught.exception))


class ResourceLimits(unittest.TestCase):
    @contextlib.contextmanager
    def few_descriptors(self):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "infernum"
            script.write_text("#!/bin/sh\nulimit -n 64\nexec '%s' \"$@\"\n" % server.Program.path)
            script.chmod(0o755)
            path, server.Program.path = server.Program.path, str(script)
            try:
                target = simulate()
            finally:
                server.Program.path = path
            with target:
                yield target

    def test_out_of_descriptors(self):
        """A flood of connections takes every descriptor; the server is back when they go."""
        with self.few_descriptors() as target:
            held = []
            with contextlib.suppress(OSError):
                for _ in range(120):
                    held.append(target.connect(timeout=2))
            time.sleep(0.5)
            for connection in held:
                connection.close()
            eventually("served again", lambda: target._alive() or self.served(target))

    def test_who_waits_behind_a_flood_is_served_as_soon_as_it_goes(self):
        """Accepting goes on with every descriptor that comes free, not with the next look at the clock."""
        with self.few_descriptors() as target:
            held = [target.connect() for _ in range(300)]
            held[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            begin = time.monotonic()
            for connection in held[:-1]:
                connection.close()
            self.assertTrue(held[-1].recv(100).startswith(b"HTTP/1.1 200"))
            self.assertLess(time.monotonic() - begin, 1.5 * server.SLOWDOWN)
            held[-1].close()

    @staticmethod
    def served(target):
        with contextlib.suppress(OSError):
            return target.get("/health", timeout=2).status == 200


if __name__ == "__main__":
    server.main()
