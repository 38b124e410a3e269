"""A real S3 for the tests: moto over HTTP, which may be slow, refuse, hang or go away."""

import io
import threading
from contextlib import suppress
from uuid import uuid4

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

_REFUSAL = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        """Nothing: the tests look at `asked`."""


class S3:
    """A bucket of its own; what it holds outlasts `stop` and `start`."""

    def __init__(self):
        self.bucket = f"documents-{uuid4().hex}"
        self.port = 0
        #: `(method, path)` of each request.
        self.asked = []
        self.refuses = False
        #: The next one to write waits for the first of them, and so on; it has sent all by then, and may be gone.
        self.held = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self.start()
        self.client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=self.bucket)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self):
        return {
            "AWS_S3_BUCKET": self.bucket,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def start(self):
        self._server = make_server("127.0.0.1", self.port, self, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, environ, start_response):
        method = environ["REQUEST_METHOD"]
        self.asked.append((method, environ["PATH_INFO"]))
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        if self.refuses:
            start_response("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(_REFUSAL)))])
            return [_REFUSAL]
        if method in ("PUT", "DELETE") and self.held:
            self.held.pop(0).wait(60)
        return self._app(environ, start_response)

    def hold(self, writes=1):
        """Holds the next writes until the event is set."""
        event = threading.Event()
        self.held += [event] * writes
        return event

    def documents(self):
        """What it holds, by name, without what is removed meanwhile."""
        found = {}
        for each in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            with suppress(self.client.exceptions.NoSuchKey):
                found[each["Key"]] = self.client.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read()
        return found

    def close(self):
        with suppress(OSError):
            self.stop()
