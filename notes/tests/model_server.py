"""A language model's server that answers chat completions as a test tells it to, well and badly."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-very-secret-key"


class Model(ThreadingHTTPServer):
    """A model's server: answers each request with the next of `script`, the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list = []
        self.requests: list[dict] = []
        self.headers: list = []
        self.leave = threading.Event()

    def says(self, *script) -> None:
        self.script = list(script)

    def next_step(self):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self):
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.headers.append(dict(self.headers) | {"path": self.path})
        step = self.server.next_step()
        if callable(step):
            step(self)
        else:
            send(self, 200, step if isinstance(step, bytes) else completion(step))

    def log_message(self, *args):
        pass


def send(handler, status, body, **headers):
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def completion(content, **message) -> bytes:
    finish = message.pop("finish_reason", "stop")
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def answer(*items, summary="Acme renews.") -> dict:
    return {"summary": summary, "action_items": list(items)}


def refuses(status, **headers):
    return lambda handler: send(handler, status, b'{"error": {"message": "Acme renews."}}', **headers)


def hangs(handler):
    handler.server.leave.wait(30)


def trickles(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.leave.wait(0.1):
        handler.wfile.write(b" ")


def hangs_up(handler):
    handler.close_connection = True
