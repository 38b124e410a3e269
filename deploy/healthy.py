"""The health check of the image: whether web answers, under the first of the names that it answers to."""

import os
import sys
from http.client import HTTPConnection

host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip(" *.") or "localhost"
connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4)
connection.request("GET", "/health", headers={"Host": host})
sys.exit(connection.getresponse().status != 200)
