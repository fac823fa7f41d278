#!/usr/bin/env python3
"""Two replicas behind nginx and behind HAProxy, as deploy/ configures them: one is killed, drained, and comes back, under load.

usage: proxy_test.py [PROGRAM] [unittest arguments]
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import replicas as r

STREAMS, TOKENS = 12, 100


class Cases:
    """For each proxy; `command` writes its configuration into a folder."""

    command, package = None, None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.port, self.ports = r.free_port(), [r.free_port(), r.free_port()]
        self.start = type(self).command(pathlib.Path(self.folder.name), self.port, self.ports)
        self.present = r.installed(self.start)
        self.children = []
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(lambda: [child.stop() for child in self.children])
        if not self.present:
            return r.not_run(self.start[0], self.package)
        self.a, self.b = [self.add(r.Replica(port)) for port in self.ports]
        self.log = open(os.path.join(self.folder.name, "proxy.log"), "w")
        self.addCleanup(self.log.close)
        self.proxy = self.add(r.Process(self.start, stdout=self.log, stderr=subprocess.STDOUT))
        r.wait_for(lambda: r.get(self.port, "/ready")[0] == 200, "%s answers" % self.package)

    def add(self, child):
        self.children.append(child)
        return child

    def tearDown(self):
        if self.present:
            self.proxy.terminate()

    def streams(self):
        """Streams that flow, spread over both replicas."""
        streams = [r.Stream(self.port, TOKENS) for _ in range(STREAMS)]
        r.wait_for(lambda: all(s.tokens >= 2 or s.error for s in streams), "tokens on every stream")
        self.assertEqual([s.error for s in streams], [None] * STREAMS)
        return streams

    def assert_answered(self, n):
        """New requests, four at once: every one is answered."""
        statuses = []

        def ask():
            connection, response = r.post(self.port, 2)
            response.read()
            connection.close()
            statuses.append(response.status)

        for _ in range(0, n, 4):
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        self.assertEqual(statuses, [200] * n)

    def test_a_killed_replica_takes_only_its_own_streams(self):
        if not self.present:
            return
        streams = self.streams()
        on_a, on_b = self.a.running(), self.b.running()
        self.assertEqual(on_a + on_b, STREAMS)
        self.assertGreaterEqual(min(on_a, on_b), STREAMS // 3, "least connections: both have about as many")
        killed = time.monotonic()
        self.a.kill()
        self.assert_answered(12)
        for s in streams:
            s.join(30)
        failed = [s for s in streams if not s.done]
        self.assertEqual(len(failed), on_a)
        for s in failed:
            self.assertIsNotNone(s.error, "a cut stream must not look whole")
            self.assertLess(s.ended_at - killed, 3, "its client is told at once")
        for s in streams:
            if s.done:
                self.assertIsNone(s.error)
                self.assertEqual(s.tokens, TOKENS)
        r.wait_for(lambda: self.b.running() == 0, "the survivor at rest")

    def test_a_replica_that_comes_back_is_used_again(self):
        if not self.present:
            return
        self.a.kill()
        self.assert_answered(8)
        self.a = self.add(r.Replica(self.ports[0]))

        def used():
            self.assert_answered(4)
            return self.a.ended() > 0

        r.wait_for(used, "requests on the replica that came back", 30)

    def test_a_drained_replica_loses_nothing(self):
        if not self.present:
            return
        streams = self.streams()
        code = []
        draining = threading.Thread(target=lambda: code.append(self.a.terminate(30)))
        draining.start()
        self.assert_answered(12)
        for s in streams:
            s.join(30)
        draining.join()
        self.assertEqual([s.error for s in streams], [None] * STREAMS)
        self.assertEqual([s.tokens for s in streams], [TOKENS] * STREAMS)
        self.assertEqual(code, [0])
        self.assert_answered(4)

    def test_tokens_are_not_held_back(self):
        if not self.present:
            return
        stream = r.Stream(self.port, 40)
        r.wait_for(lambda: stream.tokens >= 3, "first tokens", 5)
        self.assertLess(stream.tokens, 30, "they come one by one, not in the end")
        stream.join(30)
        self.assertTrue(stream.done)

    def test_internal_routes_are_hidden(self):
        if not self.present:
            return
        self.assertEqual(r.get(self.port, "/metrics")[0], 404)
        self.assertEqual(r.get(self.port, "/admin/drain")[0], 404)
        self.assertEqual(r.get(self.port, "/v1/models")[0], 200)


class Nginx(Cases, unittest.TestCase):
    command, package = staticmethod(r.nginx_command), "nginx-light"


class Haproxy(Cases, unittest.TestCase):
    command, package = staticmethod(r.haproxy_command), "haproxy"


def main():
    r.Program.path = os.environ.get("INFERNUM_PROGRAM")
    if len(sys.argv) > 1 and os.path.isfile(sys.argv[1]):
        r.Program.path = os.path.abspath(sys.argv.pop(1))
    unittest.main()


if __name__ == "__main__":
    main()
