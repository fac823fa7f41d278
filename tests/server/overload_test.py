"""Twice the load that the server can take, for some seconds: the surplus is refused at once, what is accepted is served, and in time."""
import statistics
import threading
import time
import unittest

import server
from server import RUNNING, WAITING, simulate

# A sanitizer's server takes a tenth as much, which is slowness enough for any of them, for four times as long.
SANITIZED = server.SLOWDOWN > 1
SEQUENCES, TOKENS, QUEUE, STEP, SECONDS = (8, 10, 8, 0.2, 20) if SANITIZED else (8, 10, 8, 0.02, 5)
CAPACITY = SEQUENCES / (TOKENS * STEP)  # requests per second


class Overload(unittest.TestCase):
    def offer(self, target, rate, seconds, **fields):
        """[(status, seconds, retry-after)] of an open loop: requests come when they come, whatever became of those before."""
        outcomes, lock, begin = [], threading.Lock(), time.monotonic()
        arrivals = iter([begin + i / rate for i in range(int(rate * seconds))])

        def work():
            with target.client() as client:
                while True:
                    with lock:
                        arrival = next(arrivals, None)
                    if arrival is None:
                        return
                    time.sleep(max(0, arrival - time.monotonic()))
                    reply = client.complete(max_tokens=TOKENS, ignore_eos=True, **fields)
                    outcomes.append((reply.status, time.monotonic() - arrival, reply.headers.get("retry-after")))

        threads = [threading.Thread(target=work) for _ in range(SEQUENCES + QUEUE + 24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes, time.monotonic() - begin

    def test_twice_the_capacity(self):
        with simulate("--max-num-seqs", SEQUENCES, "--max-queue", QUEUE, first=STEP, next=STEP) as target:
            outcomes, taken = self.offer(target, 2 * CAPACITY, SECONDS)
            good = [seconds for status, seconds, _ in outcomes if status == 200]
            refused = [(seconds, retry) for status, seconds, retry in outcomes if status == 429]
            self.assertEqual(len(good) + len(refused), len(outcomes), "nothing but 200 and 429: %s" % {status for status, _, _ in outcomes})
            self.assertGreater(len(refused), 0.2 * len(outcomes))
            self.assertGreater(len(good) / taken, 0.8 * CAPACITY, "goodput")
            # The queue is as long as one batch: at worst one batch before, and its own.
            self.assertLess(statistics.quantiles(good, n=20)[-1], 3 * TOKENS * STEP + 0.5 * server.SLOWDOWN)
            self.assertLess(statistics.median(seconds for seconds, _ in refused), 0.1 * server.SLOWDOWN)
            self.assertTrue(all(1 <= int(retry) <= 60 for _, retry in refused))
            target.wait_idle()
            metrics = target.metrics()
            self.assertEqual(metrics['infernum_rejected_total{reason="queue_full"}'], len(refused))
            self.assertEqual(metrics['vllm:request_success_total{finished_reason="length"}'], len(good))
            self.assertEqual(metrics['vllm:request_success_total{finished_reason="error"}'], 0, "the refused ones never began")
            self.assertEqual(metrics["vllm:generation_tokens_total"], len(good) * TOKENS)

    def test_the_listener_answers_meanwhile(self):
        with simulate("--max-num-seqs", SEQUENCES, "--max-queue", QUEUE, first=STEP, next=STEP) as target:
            load = threading.Thread(target=self.offer, args=(target, 2 * CAPACITY, 0.4 * SECONDS))
            load.start()
            slowest, most = 0, {RUNNING: 0, WAITING: 0}
            while load.is_alive():
                begin = time.monotonic()
                self.assertEqual(target.get("/health").status, 200)
                slowest = max(slowest, time.monotonic() - begin)
                metrics = target.metrics()
                most = {name: max(most[name], metrics[name]) for name in most}
                time.sleep(0.02)
            load.join()
            self.assertLess(slowest, 0.5 * server.SLOWDOWN)
            self.assertLessEqual(most[RUNNING], SEQUENCES)
            self.assertLessEqual(most[WAITING], QUEUE)
            self.assertGreater(most[WAITING], 0)

    def test_waiting_too_long_is_503(self):
        with simulate("--max-num-seqs", 1, "--max-queue", 4, "--queue-timeout", 1, next=0.05) as target:
            long = threading.Thread(target=lambda: target.post("/v1/completions", {"prompt": "a", "max_tokens": 60, "ignore_eos": True}))
            long.start()
            server.eventually("it runs", lambda: target.running() == 1)
            begin = time.monotonic()
            reply = target.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
            self.assertEqual(reply.status, 503, reply)
            self.assertIn("retry-after", reply.headers)
            self.assertLess(time.monotonic() - begin, 2.5 * server.SLOWDOWN)
            long.join()

    def test_a_long_request_ends_at_its_deadline(self):
        with simulate("--request-timeout", 1, next=0.05) as target, target.client() as client:
            reply = client.complete(max_tokens=1000, ignore_eos=True)
            self.assertEqual((reply.status, reply.error["type"]), (504, "timeout_error"))
            texts, ends, _, error = client.stream("/v1/completions", max_tokens=1000, ignore_eos=True)
            self.assertEqual(ends, {})
            self.assertEqual(error["type"], "timeout_error")
            self.assertTrue(client.done)
            target.wait_idle()


if __name__ == "__main__":
    server.main()
