"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()

from mesh.rest import MeshLane  # noqa: E402  (its models need Django to be set up)

application = MeshLane(_django)
