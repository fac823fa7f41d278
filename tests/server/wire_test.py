"""HTTP as attackers and broken proxies speak it: chunks of one byte, slow and huge headers, smuggled requests, silence."""
import contextlib
import json
import random
import socket
import struct
import time

import server
from server import ServerCase, raw_post, read_all, replies, simulate

GOOD = json.dumps({"prompt": "Once", "max_tokens": 1}).encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def chunked(pieces, trailer=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


class Wire(ServerCase):
    @classmethod
    def start(cls):
        return simulate("--header-timeout", "2", "--body-timeout", "3", "--keep-alive-timeout", "4")

    def exchange(self, data, close=True, seconds=30):
        """Everything that comes back. `close`: the server has to end the connection by itself."""
        with self.server.connect(timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            if close:
                return read_all(connection)
            reply = b""
            while b"\r\n\r\n" not in reply:
                piece = connection.recv(65536)
                if not piece:
                    break
                reply += piece
            return reply

    def assert_bad(self, data, allowed=(400,)):
        """One refusal, and the end of the connection: what follows it is never taken for a request."""
        got = replies(self.exchange(data))
        self.assertEqual(len(got), 1, (data[:200], got))
        self.assertIn(got[0], allowed, data[:200])


class ChunksOfOneByte(Wire):
    def test_body(self):
        body = b'{"prompt": "' + b"a" * 2000 + b'", "max_tokens": 1}'
        reply = self.exchange(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunked([body[i : i + 1] for i in range(len(body))]))
        self.assertEqual(replies(reply), [200])

    def test_flood(self):
        before = self.server.resident()[0]
        begin = time.monotonic()
        body = b'{"prompt": "' + b"a" * 1_500_000 + b'", "max_tokens": 1}'
        reply = self.exchange(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n")
        self.assertEqual(replies(reply), [400])
        self.assertLess(time.monotonic() - begin, 20 * server.SLOWDOWN)
        self.assertLess(self.server.resident()[1] - before, 256 << 20)

    def test_writes_of_one_byte(self):
        with self.server.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in raw_post(GOOD, "/v1/completions", "Connection: close\r\n"):
                connection.sendall(bytes([byte]))
            self.assertEqual(replies(read_all(connection)), [200])

    def test_bad_chunks(self):
        for pieces in (b"g\r\nx\r\n0\r\n\r\n", b"-1\r\nx\r\n0\r\n\r\n", b"0x1\r\nx\r\n0\r\n\r\n", b"\r\nx\r\n0\r\n\r\n",
                       b"1 1\r\nx\r\n0\r\n\r\n", b"2\r\nx\r\n0\r\n\r\n", b"1\r\nxy\r\n0\r\n\r\n",
                       b"ffffffffffffffff\r\nx\r\n", b"10000000000000000\r\nx\r\n", b"1;" + b"a" * 5_000_000 + b"\r\nx\r\n0\r\n\r\n",
                       b"1\nx\n0\n\n"):
            with self.subTest(pieces=pieces[:30]):
                self.assert_bad(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces, (400, 408, 413, 431))
        self.assert_bad(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"7fffffff\r\n", (400, 413))


class Smuggling(Wire):
    def test_lengths_that_disagree(self):
        hidden = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for fields in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                       b"Content-Length: 5\r\nContent-Length: 6\r\n",
                       b"Content-Length: 5, 6\r\n", b"Content-Length: +5\r\n", b"Content-Length: -5\r\n", b"Content-Length: 0x5\r\n",
                       b"Content-Length: 5 5\r\n", b"Content-Length:\r\n",
                       b"Content-Length: 1e1\r\n", b"Content-Length: 18446744073709551621\r\n", b"Content-Length : 5\r\n",
                       b"Transfer-Encoding: chunked, gzip\r\n", b"Transfer-Encoding: gzip\r\n",
                       b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                       b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n", b"Transfer-Encoding:\x0bchunked\r\n",
                       b"Transfer-Encoding\r\n : chunked\r\n", b"Content-Length: 5\rTransfer-Encoding: chunked\r\n",
                       b"X: a\x00b\r\nContent-Length: 0\r\n"):
            with self.subTest(fields=fields):
                self.assert_bad(HEAD + fields + b"\r\n0\r\n\r\n" + hidden, (400, 413, 501))

    def test_lengths_beyond_the_limit(self):
        for length in (b"33554433", b"9223372036854775807"):
            self.assert_bad(HEAD + b"Content-Length: " + length + b"\r\n\r\n", (413,))
        # Refused before the body is asked for.
        self.assert_bad(HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", (413, 417))

    def test_lines_that_are_none(self):
        for data in (b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, b"GET\r\n\r\n", b"GET /\r\n\r\n",
                     b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1 x\r\nHost: localhost\r\n\r\n",
                     b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
                     b"G\x01T / HTTP/1.1\r\nHost: localhost\r\n\r\n", 
                     b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\na b: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            with self.subTest(data=data[:60]):
                self.assert_bad(data + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", (400, 405, 404, 501, 505))

    def test_one_after_the_other(self):
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        self.assertEqual(replies(self.exchange(get + b"\r\n" + get + b"\r\n" + get + b"Connection: close\r\n\r\n")), [200, 200, 200])
        # A body belongs to its request, whether or not it is read.
        for first in (raw_post(b"x" * 5000, "/nowhere"), raw_post(b"[]", "/v1/completions")):
            got = replies(self.exchange(first + get + b"Connection: close\r\n\r\n"))
            self.assertIn(got, ([404, 200], [404], [400, 200], [400]))
        two = raw_post(GOOD, "/v1/completions") + raw_post(GOOD, "/v1/completions", "Connection: close\r\n")
        self.assertEqual(replies(self.exchange(two)), [200, 200])


class HugeHeaders(Wire):
    def test_ten_megabytes(self):
        before = self.server.resident()[0]
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000_000, b"GET /" + b"a" * 10_000_000, b"A" * 10_000_000,
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(700_000)),
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n".join([b"X:"] * 1_000_000)):
            got = replies(self.exchange(data))
            self.assertTrue(got in ([], [400], [414], [431]), got)  # none: the refusal was lost in the reset of what followed
        self.assertLess(self.server.resident()[1] - before, 64 << 20)

    def test_at_the_limit_and_beyond(self):
        def status(fields=b"", target=b"/health"):
            return replies(self.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + fields + b"\r\n"))

        self.assertEqual(status(b"".join(b"X%d: y\r\n" % i for i in range(97))), [200])
        self.assertEqual(status(b"".join(b"X%d: y\r\n" % i for i in range(99))), [431])
        self.assertEqual(status(b"X: " + b"a" * 15000 + b"\r\n"), [200])
        self.assertEqual(status(b"X: " + b"a" * 16384 + b"\r\n"), [431])
        self.assertEqual(status(target=b"/health?" + b"a" * 8000), [200])
        self.assertEqual(status(target=b"/health?" + b"a" * 8200), [414])


class SlowAndHalfOpen(Wire):
    def test_slowloris(self):
        base = self.server.open_files()
        slow = [self.server.connect() for _ in range(60)]
        for connection in slow:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        begin = time.monotonic()
        answered = {}
        while len(answered) < len(slow) and time.monotonic() - begin < 20 * server.SLOWDOWN:
            for i, connection in enumerate(slow):
                if i in answered:
                    continue
                try:
                    connection.sendall(b"X: y\r\n")
                    connection.settimeout(0.001)
                    data = connection.recv(4096)
                    answered[i] = data
                except TimeoutError:
                    pass
                except ConnectionError:
                    answered[i] = b""
            self.assertEqual(self.server.get("/health").status, 200, "others are served meanwhile")
            time.sleep(0.2)
        self.assertEqual(len(answered), len(slow), "headers that never end are given up")
        self.assertGreater(time.monotonic() - begin, 1)
        for connection in slow:
            connection.close()
        server.eventually("descriptors back to %d" % base, lambda: self.server.open_files() <= base)

    def test_slow_body(self):
        with self.server.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
            begin = time.monotonic()
            got = replies(read_all(connection))
            self.assertIn(got, ([408], []))
            self.assertLess(time.monotonic() - begin, 15 * server.SLOWDOWN)

    def test_silence(self):
        base = self.server.open_files()
        silent = [self.server.connect() for _ in range(200)]
        self.assertEqual(self.server.get("/health").status, 200)
        server.eventually("silent connections are given up", lambda: self.server.open_files() <= base, 20)
        for connection in silent:
            self.assertEqual(len(replies(read_all(connection))) <= 1, True)
            connection.close()

    def test_idle_connections_end(self):
        with self.server.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            begin = time.monotonic()
            self.assertEqual(replies(read_all(connection)), [200])
            self.assertGreater(time.monotonic() - begin, 2)

    def test_a_client_that_shuts_its_writing_side(self):
        with self.server.connect() as connection:
            connection.sendall(raw_post(GOOD, "/v1/completions"))
            connection.shutdown(socket.SHUT_WR)
            got = replies(read_all(connection))  # gone, or served: but the end of the connection comes
            self.assertIn(got, ([200], []))

    def test_resets(self):
        base = self.server.open_files()
        pick = random.Random(5)
        for _ in range(300):
            connection = self.server.connect()
            with contextlib.suppress(ConnectionError):
                data = raw_post(GOOD, "/v1/completions")
                connection.sendall(data[: pick.randrange(len(data) + 1)])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertEqual(self.server.get("/health").status, 200)
        server.eventually("descriptors back to %d" % base, lambda: self.server.open_files() <= base)

    def test_connections_of_one_address_are_bounded(self):
        held = []
        try:
            with contextlib.suppress(OSError):
                for _ in range(1100):
                    held.append(self.server.connect(timeout=2))
            self.assertLessEqual(self.server.open_files(), 1024 + 100)
        finally:
            for connection in held:
                connection.close()
        server.eventually("served again", lambda: self._served())

    def _served(self):
        with contextlib.suppress(OSError):
            return self.server.get("/health").status == 200


if __name__ == "__main__":
    server.main()
