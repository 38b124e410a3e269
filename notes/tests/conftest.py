"""What several files of these tests begin with."""

import threading

import pytest

from notes.tests.model_server import KEY, Model


@pytest.fixture
def model(settings):
    server = Model()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    settings.SUMMARIZER_BASE_URL = f"http://127.0.0.1:{server.server_port}/v1"
    settings.SUMMARIZER_MODEL, settings.SUMMARIZER_API_KEY, settings.SUMMARIZER_FALLBACK = "small", KEY, False
    yield server
    server.leave.set()
    server.shutdown()
    server.server_close()
    thread.join()
