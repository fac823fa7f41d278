"""Mixed traffic for some minutes, and what must hold then: no growth, nothing left over, no failure, every counted token delivered.

usage: soak.py PROGRAM [--minutes N] [--seed N] [--alone] [--json FILE]
"""
import argparse
import collections
import contextlib
import json
import os
import random
import socket
import statistics
import struct
import sys
import threading
import time

import server
from server import Refused, Server, eventually, raw_post

WORDS = "once upon a time there was king queen fox hen wood dark gold sea ship wolf child stone bread night".split()
TENANTS = ["", "red", "green", "blue"]


class Traffic:
    """Workers that each do one random thing after the other until told to stop."""

    def __init__(self, target, seed):
        self.target, self.seed = target, seed
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.count = collections.Counter()
        self.problems = []
        self.gaps = collections.deque(maxlen=200_000)  # (when, seconds between two events of a stream)

    def body(self, pick):
        words = pick.choice([3, 10, 40, 200, 500])
        body = {"prompt": " ".join(pick.choices(WORDS, k=words)), "max_tokens": pick.choice([1, 5, 20, 60]),
                "seed": pick.randrange(1 << 40), "ignore_eos": pick.random() < 0.5}
        if pick.random() < 0.5:  # of a tenant with favourite prompts, so that the cache is used
            body["prompt"] = "%s: %s" % (pick.choice(WORDS), " ".join(WORDS * 8))
        salt = pick.choice(TENANTS)
        if salt:
            body["cache_salt"] = salt
        body.update(pick.choice([{}, {}, {"n": 2}, {"stop": [" the", "a "]}, {"temperature": 0}, {"logprobs": 2},
                                 {"top_k": 9, "presence_penalty": 1}]))
        return body

    def whole(self, pick, client):
        body = self.body(pick)
        if pick.random() < 0.5:
            body.pop("logprobs", None)
            body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
        reply = client.post("/v1/chat/completions" if "messages" in body else "/v1/completions", {**body, "return_token_ids": True})
        if self.settled(reply):
            answer = reply.json()
            self.delivered(sum(len(choice["token_ids"]) for choice in answer["choices"]), answer["usage"])

    def stream(self, pick, client):
        body = {**self.body(pick), "stream_options": {"include_usage": True}, "return_token_ids": True}
        tokens, usage, ends, last = 0, None, 0, None
        try:
            for document in client.events("/v1/completions", body):
                now = time.monotonic()
                if last:
                    self.gaps.append((now, now - last))
                last = now
                if "error" in document:
                    return self.problem("error in a stream: %s" % document)
                usage = document.get("usage") or usage
                tokens += sum(len(choice.get("token_ids") or []) for choice in document["choices"])
                ends += sum(1 for choice in document["choices"] if choice["finish_reason"])
        except Refused as refused:
            return self.settled(refused.reply)
        if not client.done or ends != body.get("n", 1):
            return self.problem("a stream without its end: %s" % body)
        with self.lock:
            self.count[200] += 1
        self.delivered(tokens, usage)

    def leave(self, pick, client):
        """Goes at a random time."""
        body = {**self.body(pick), "max_tokens": 300, "ignore_eos": True, "stream": pick.random() < 0.7}
        with self.target.connect() as connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(raw_post(body, "/v1/completions"))
            connection.settimeout(pick.random() * 0.3 + 0.001)
            while connection.recv(512):
                pass
            if pick.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.lock:
            self.count["left"] += 1

    def read_slowly(self, pick, client):
        with self.target.connect(receive_bytes=2048) as connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(raw_post({**self.body(pick), "max_tokens": 200, "ignore_eos": True, "stream": True}, "/v1/completions"))
            connection.settimeout(1)  # at its end the stream leaves the connection open
            for _ in range(pick.randrange(5, 30)):
                if not connection.recv(200) or self.stop.wait(0.1):
                    break
        with self.lock:
            self.count["slow"] += 1

    def err(self, pick, client):
        wrong = pick.choice([b"{", b"\xff", b"[" * 10_000, json.dumps({"prompt": "a", "temperature": 9}),
                             json.dumps({"prompt": "a", "model": "none"}), json.dumps({"prompt": "a " * 9000}), "[]"])
        reply = client.post("/v1/completions", wrong)
        if reply.status not in (400, 404):
            self.problem("%r for %r" % (reply, wrong[:60]))
        reply = client.request(*pick.choice([("GET", "/nowhere"), ("PUT", "/v1/models"), ("GET", "/v1/models/none")]))
        if reply.status not in (404, 405):
            self.problem("%r" % reply)
        with self.lock:
            self.count["wrong"] += 1

    def look(self, pick, client):
        for path in ("/health", "/v1/models", "/metrics"):
            if client.get(path).status != 200:
                self.problem(path)
        with self.lock:
            self.count["looked"] += 1

    def settled(self, reply):
        with self.lock:
            self.count[reply.status] += 1
        if reply.status not in (200, 429):
            self.problem("%r" % reply)
        return reply.status == 200

    def delivered(self, tokens, usage):
        if tokens != usage["completion_tokens"]:
            self.problem("%d tokens delivered, %s counted" % (tokens, usage))

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def work(self, number):
        pick = random.Random(self.seed * 1000 + number)
        client = self.target.client()
        acts = [(self.whole, 5), (self.stream, 8), (self.leave, 4), (self.read_slowly, 1), (self.err, 2), (self.look, 1)]
        while not self.stop.is_set():
            act = pick.choices([a for a, _ in acts], [w for _, w in acts])[0]
            try:
                act(pick, client)
                if pick.random() < 0.1:
                    client.connection.close()
            except Exception as error:  # whatever it is, a client would have met it
                self.problem("%s: %r" % (act.__name__, error))
                client.connection.close()
        client.connection.close()


def settle(target):
    """(resident bytes, open files, threads) of the idle server."""
    target.wait_idle(30)
    time.sleep(0.3)
    return target.resident()[0], target.open_files(), target.threads()


def slope(samples):
    """Bytes per minute, by least squares over (seconds, bytes)."""
    x, y = zip(*samples)
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    return 60 * sum((a - mean_x) * (b - mean_y) for a, b in samples) / sum((a - mean_x) ** 2 for a in x)


def soak(minutes, seed, workers, alone):
    report = {"minutes": minutes, "seed": seed}
    # A cache that is soon full, and too small for eight long requests: so memory levels off, and some are preempted.
    with Server("--max-num-seqs", "8", "--max-queue", "16", "--kv-cache-tokens", "2048") as target:
        def period(seconds, number):
            traffic = Traffic(target, seed + number)
            threads = [threading.Thread(target=traffic.work, args=(i,)) for i in range(workers)]
            for thread in threads:
                thread.start()
            traffic.stop.wait(seconds)
            traffic.stop.set()
            for thread in threads:
                thread.join()
            return traffic

        # Rounds with a rest between them: sizes are compared where they mean the same, idle.
        length = min(60, minutes * 60 / 10)
        rounds = int(minutes * 60 / length)
        warm_up = max(2, 2 * rounds // 5)
        begin, samples, count, problems, gaps = time.monotonic(), [], collections.Counter(), [], []
        base = None
        for number in range(rounds):
            traffic = period(length, number)
            count.update(traffic.count)
            problems += traffic.problems
            resident, files, threads = settle(target)
            if number + 1 == warm_up:
                base = files, threads
            if number + 1 >= warm_up:
                samples.append((time.monotonic() - begin, resident))
                gaps.append([gap for _, gap in traffic.gaps])
                if (files, threads) != base:
                    problems.append("files and threads were %s and are %s" % (base, (files, threads)))
            print("soak: %4.1f of %g minutes, %d answers, %.1f MB, %d files, %d threads, %d problems"
                  % ((time.monotonic() - begin) / 60, minutes, count[200], resident / 1e6, files, threads, len(problems)), flush=True)
        growth = slope(samples)
        metrics = target.metrics()
        failed = {name: value for name,
                  value in metrics.items() if name.startswith("infernum_http_requests_total") and 'status="5' in name and '"/ready"' not in name and value}
        if failed:
            problems.append("answers with 5xx: %s" % failed)
        if growth > 1e6 * server.SLOWDOWN:
            problems.append("resident memory grows by %.2f MB a minute: %s" % (growth / 1e6, samples))
        p99 = [statistics.quantiles(g, n=100)[-1] for g in gaps if len(g) > 200]
        third = len(p99) // 3
        if alone and third and statistics.median(p99[-third:]) > 1.5 * statistics.median(p99[:third]) + 0.01:  # random traffic
            problems.append("the 99th percentile between two events drifted: %s" % p99)
        report.update(answers=count[200], refused=count[429], left=count["left"], slow=count["slow"], wrong=count["wrong"],
                      megabytes_per_minute=growth / 1e6, p99_gap_seconds=p99,
                      files=base[0], threads=base[1], generated=metrics["vllm:generation_tokens_total"],
                      preemptions=metrics["vllm:num_preemptions_total"])
        target.signal()
        code = target.wait()
        if code != 0:
            problems.append("SIGTERM ended it with %d" % code)
    if count[200] < 10 * minutes:
        problems.append("only %d answers" % count[200])
    return report, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--alone", action="store_true", help="nothing else runs on this machine: latency may not drift, either")
    parser.add_argument("--json")
    args = parser.parse_args()
    server.Program.path = os.path.abspath(args.program)
    report, problems = soak(args.minutes, args.seed, args.workers, args.alone)
    print(json.dumps(report, indent=1))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({**report, "problems": problems}, file, indent=1)
    for problem in problems[:50]:
        print("soak: " + problem[:500])
    print("soak: %s, seed %d" % ("%d PROBLEMS" % len(problems) if problems else "passed", args.seed))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
