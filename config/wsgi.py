"""The WSGI application that gunicorn serves."""

import gc
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()

# The timeout of reads, which are most statements of web. Commands set a longer one themselves.
_options = settings.DATABASES["default"]["OPTIONS"]
if "options" in _options:  # not with a pooler, whose sessions are shared
    _options["options"] += f" -c statement_timeout={settings.MESH['READ_TIMEOUT'].total_seconds():.0f}s"

from config.headers import SecurityHeaders  # noqa: E402
from mesh.doors.http.unread import UnreadBodies  # noqa: E402
from mesh.doors.rest.middleware import MeshLane  # noqa: E402  (its models need Django to be set up)

application = UnreadBodies(SecurityHeaders(MeshLane(_django)))

# What is loaded by now stays, so the garbage collector need not scan it, and may run less often.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
