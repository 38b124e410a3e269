"""The WSGI application that gunicorn serves."""

import gc
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()

# Most of what web asks Postgres are reads. Commands give themselves more time.
_options = settings.DATABASES["default"]["OPTIONS"]
if "options" in _options:  # a pooler's sessions are everyone's
    _options["options"] += f" -c statement_timeout={settings.MESH['READ_TIMEOUT'].total_seconds():.0f}s"

from config.headers import SecurityHeaders  # noqa: E402
from mesh.doors.http.unread import UnreadBodies  # noqa: E402
from mesh.doors.rest.middleware import MeshLane  # noqa: E402  (its models need Django to be set up)

application = UnreadBodies(SecurityHeaders(MeshLane(_django)))

# What is loaded by now stays: the collector need not look at it again, nor after every 700 objects.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
