"""Clients that vanish at random points or read slowly: whatever they held comes back, and the others notice nothing."""
import contextlib
import http.client
import json
import random
import socket
import statistics
import struct
import threading
import time

import server
from server import ServerCase, Server, raw_post, simulate


def vanish(target, pick, prompt, streams=True):
    """Sends a request and leaves after a random time, by a close or a reset, with or without having read."""
    body = {"prompt": prompt, "max_tokens": pick.choice([1, 8, 60]), "ignore_eos": True, "n": pick.choice([1, 1, 3]),
            "stream": streams and pick.random() < 0.7, "seed": pick.randrange(99)}
    with target.connect() as connection, contextlib.suppress(ConnectionError, TimeoutError):
        data = raw_post(body, "/v1/completions")
        cut = pick.randrange(len(data)) if pick.random() < 0.1 else len(data)
        connection.sendall(data[:cut])
        if pick.random() < 0.7:
            connection.settimeout(pick.random() * 0.08 + 0.001)
            while pick.random() < 0.8 and connection.recv(pick.choice([1, 50, 4096])):
                pass
        if pick.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class ClientsThatVanish(ServerCase):
    @classmethod
    def start(cls):
        return simulate("--max-num-seqs", "8", "--max-queue", "64", first=0.005, next=0.004)

    def storm(self, count, workers, prompts):
        def work(seed):
            pick = random.Random(seed)
            for _ in range(count):
                vanish(self.server, pick, pick.choice(prompts))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_everything_comes_back(self):
        self.storm(5, 4, ["Once"])  # whatever the first requests start for good
        self.server.wait_idle()
        self.client.connection.close()
        files, threads = self.server.open_files(), self.server.threads()
        self.storm(40, 8, ["Once upon a time", "a " * 300])
        self.server.wait_idle()
        server.eventually("descriptors back to %d" % files, lambda: self.server.open_files() <= files)
        self.assertEqual(self.server.threads(), threads)
        metrics = self.server.metrics()
        self.assertGreater(metrics["infernum_client_disconnects_total"], 20)
        self.assertGreater(metrics['vllm:request_success_total{finished_reason="abort"}'], 5)
        self.assertEqual(self.client.complete(max_tokens=3, ignore_eos=True).json()["usage"]["completion_tokens"], 3)

    def test_one_that_waits_in_the_queue(self):
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(self.server.connect())
                connection.sendall(raw_post({"prompt": "a", "max_tokens": 500, "ignore_eos": True}, "/v1/completions"))
            server.eventually("some run, some wait", lambda: self.server.metrics()[server.WAITING] == 12)
        self.server.wait_idle(3)


class ClientsThatVanishFromTheModel(ClientsThatVanish):
    """The same with the bundled model, whose cache has blocks to lose."""

    @classmethod
    def start(cls):
        return Server("--max-num-seqs", "8", "--max-queue", "64")

    def test_one_that_waits_in_the_queue(self):
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(self.server.connect())
                connection.sendall(raw_post({"prompt": "a", "max_tokens": 900, "ignore_eos": True}, "/v1/completions"))
            server.eventually("some run, some wait", lambda: self.server.metrics()[server.WAITING] > 0)
        self.server.wait_idle(5)

    def test_others_are_not_disturbed(self):
        fields = {"prompt": "Once upon a time", "seed": 11, "max_tokens": 60, "ignore_eos": True}
        want = self.client.post("/v1/completions", fields).json()["choices"][0]["text"]
        got = []

        def steady():
            with self.server.client() as client:
                for _ in range(4):
                    got.append(client.post("/v1/completions", fields).json()["choices"][0]["text"])

        thread = threading.Thread(target=steady)
        thread.start()
        self.storm(15, 4, ["Once upon a time there", "The king " * 20])
        thread.join()
        self.assertEqual(got, [want] * 4)


class SlowReaders(ServerCase):
    @classmethod
    def start(cls):
        return simulate("--write-timeout", "3", "--max-num-seqs", "64", next=0.001)

    def ping(self, count):
        """Seconds of short requests."""
        taken = []
        for _ in range(count):
            begin = time.monotonic()
            self.assertEqual(self.client.complete(max_tokens=10, ignore_eos=True).status, 200)
            taken.append(time.monotonic() - begin)
        return statistics.median(taken)

    def test_memory_is_bounded_and_others_are_served(self):
        alone = self.ping(20)
        before = self.server.resident()[0]
        body = {"prompt": "a", "max_tokens": 4000, "ignore_eos": True, "n": 8, "stream": True, "logprobs": 5, "return_token_ids": True}
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(self.server.connect(receive_bytes=4096)) for _ in range(6)]
            for connection in slow:
                connection.sendall(raw_post(body, "/v1/completions"))
            server.eventually("they run", lambda: self.server.running() >= 6)
            beside = self.ping(20)
            grown = self.server.resident()[1] - before
            # They are cut off after a while.
            server.eventually("slow readers are cut off", lambda: self.server.running() == 0, 40)
            grown = max(grown, self.server.resident()[1] - before)
        self.assertLess(grown, (64 << 20) * (1 if server.SLOWDOWN == 1 else 16))  # a sanitizer's shadow, and what was freed is kept for a while
        self.assertLess(beside, 3 * alone + 0.25 * server.SLOWDOWN)
        self.assertGreaterEqual(self.server.metrics()["infernum_sse_backpressure_aborts_total"], 1)

    def test_one_that_reads_just_in_time_gets_everything(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 400, "ignore_eos": True, "stream": True}),
                           server.JSON)
        response = connection.getresponse()
        data = b""
        while piece := response.read(2000):
            data += piece
            time.sleep(0.01)
        events = data.decode().split("\n\n")
        self.assertEqual(events[-2:], ["data: [DONE]", ""])


if __name__ == "__main__":
    server.main()
