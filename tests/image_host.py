"""A web server of pictures on this machine, in a thread, for servers that run as processes."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def serving(files: Mapping[str, bytes], pause: float = 0.0, gate: threading.Event | None = None) -> Iterator[str]:
    """Serve files by their paths, each after a pause; those below /late when the gate opens. Provide the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(pause)
            if gate is not None and self.path.startswith("/late"):
                gate.wait(60)
            data = files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("content-length", str(len(data or b"")))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data or b"")

        def log_message(self, *_arguments: object) -> None:
            pass

    class Host(ThreadingHTTPServer):
        daemon_threads = True

    with Host(("127.0.0.1", 0), Handler) as there:
        thread = threading.Thread(target=there.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{there.server_port}"
        there.shutdown()
        thread.join()


def settings(host: str) -> dict[str, str]:
    """Return the settings of a server that may fetch from it."""
    return {"IMGSERVE_UPLOADS__FETCH_NETWORKS": "127.0.0.1", "IMGSERVE_UPLOADS__FETCH_PORTS": host.rpartition(":")[2]}
