"""A bucket server: speaks HTTP as Google Cloud Storage does, and fails when told to.

Owns sockets, threads and the making of faults. What requests mean is
`bucket_api.py`'s, which faults they meet `faults.py`'s.

In a thread:

    with BucketServer() as server:
        os.environ["STORAGE_EMULATOR_HOST"] = server.endpoint
        server.faults.add("status", status=503, every=3)

In a process of its own (prints its endpoint; `--root` keeps objects over restarts):

    python -m tests.fakes.bucket_server --port 0 --fault '{"kind": "reset", "every": 5}'

From other processes: POST a rule as JSON to /faults, DELETE /faults, GET /faults.
"""

import argparse
import io
import json
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.fakes.bucket_api import BucketApi
from tests.fakes.faults import Faults, Rule
from tests.fakes.stored_objects import ObjectStore, Refused
from tests.fakes.wire_format import Answer, Request, as_json, refused

TEST_BUCKET = "test-bucket"
_REASONS = {401: "required", 403: "forbidden", 429: "rateLimitExceeded"}


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class BucketServer:
    """A server with its store and its faults; a context manager.

    Args:
        root: Folder that keeps the objects; None: memory.
        host: Where to listen.
        port: 0 takes a free one.
        buckets: Which exist at the start.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        buckets: tuple[str, ...] = (TEST_BUCKET,),
    ) -> None:
        self.store = ObjectStore(root)
        for bucket in buckets:
            self.store.add_bucket(bucket)
        self.api = BucketApi(self.store)
        self.faults = Faults()
        self.stopping = threading.Event()
        server = self

        class Handler(_Handler):
            bucket_server = server

        self._listener = _Listener((host, port), Handler)
        self.endpoint = f"http://{host}:{self._listener.server_address[1]}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End all stalls, stop listening, and wait for the listening thread."""
        self.stopping.set()
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()

    def wait(self) -> None:
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    """One connection; several requests, one after another."""

    bucket_server: BucketServer
    protocol_version = "HTTP/1.1"
    wbufsize = 256 * 1024
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def finish(self) -> None:
        with suppress(OSError, ValueError):  # the client or a fault has ended the connection
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if self.path == "/faults":
            return self._send(self._control(body), {})
        request = Request(self.command, self.path, headers, body, headers.get("host", ""))
        operation, name = self.bucket_server.api.identify(request)
        met = self.bucket_server.faults.meet(operation, name)
        if "stall" in met:
            self.bucket_server.stopping.wait(met["stall"].secs)
        if "reset" in met:
            return self._reset()
        if "status" in met:
            return self._send(_failure(met["status"].status), {})
        if "flip_request" in met:
            request.body = _flipped(request.body)
        answer = self.bucket_server.api.answer(request)
        self.bucket_server.faults.note_done(operation)
        if "lose_answer" in met:
            return self._reset()
        return self._send(answer, met)

    def _control(self, body: bytes) -> Answer:
        faults = self.bucket_server.faults
        if self.command == "POST":
            options = json.loads(body)
            faults.add(options.pop("kind"), **options)
        elif self.command == "DELETE":
            faults.clear()
        return as_json(faults.report())

    def _send(self, answer: Answer, met: dict[str, Rule]) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body
        if "flip" in met and answer.media:
            body = _flipped(body)
        if "drip" in met:
            return self._drip(body, met["drip"])
        if "stall_body" in met or "cut" in met:
            rule = met.get("stall_body") or met["cut"]
            middle = int(len(body) * rule.at)
            self.wfile.write(body[:middle])
            self.wfile.flush()
            if rule.kind == "cut":
                return self._close()
            self.bucket_server.stopping.wait(rule.secs)
            body = body[middle:]
        self.wfile.write(body)
        self.wfile.flush()

    def _drip(self, body: bytes, rule: Rule) -> None:
        for start in range(0, len(body), rule.drip_bytes):
            self.wfile.write(body[start : start + rule.drip_bytes])
            self.wfile.flush()
            if self.bucket_server.stopping.wait(rule.secs):
                return

    def _close(self) -> None:
        """End the connection in good order, though the body is not whole."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        """End the connection so that the client sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for end in (self.rfile, self.wfile, self.connection):  # the last one really closes
            end.close()
        self.wfile = io.BytesIO()  # the base class flushes it once more


def _failure(status: int) -> Answer:
    return refused(Refused(status, f"fault: {status}", _REASONS.get(status, "backendError")))


def _flipped(body: bytes) -> bytes:
    if not body:
        return body
    changed = bytearray(body)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", type=Path, help="keep the objects in this folder")
    parser.add_argument("--bucket", action="append", help=f"default: {TEST_BUCKET}")
    parser.add_argument("--fault", action="append", default=[], help="a rule as JSON")
    options = parser.parse_args()
    server = BucketServer(
        options.root,
        host=options.host,
        port=options.port,
        buckets=tuple(options.bucket or (TEST_BUCKET,)),
    )
    for text in options.fault:
        rule = json.loads(text)
        server.faults.add(rule.pop("kind"), **rule)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server:
        print(server.endpoint, flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
