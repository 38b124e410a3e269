"""gunicorn's settings in the image. `./run` gives its own, for one machine and a quick stop."""

import os
import tempfile

wsgi_app = "config.wsgi"
bind = f"{os.environ.get('HOST') or '0.0.0.0'}:{os.environ.get('PORT') or '8000'}"  # noqa: S104  (a container's own)
workers = int(os.environ.get("WEB_WORKERS") or min(2, os.cpu_count() or 1))
threads = int(os.environ.get("WEB_THREADS") or 4)
worker_class = "config.gthread.Worker"
worker_tmp_dir = "/dev/shm"  # noqa: S108  (a heartbeat on a disk can block its worker)
preload_app = True
control_socket_disable = True
loglevel = "warning"
graceful_timeout = 30
keepalive = 75  # longer than a proxy keeps a connection to us, or it would send a request into one that we just closed

# Each process of this server keeps its metrics there, and /metrics adds them up; a new start begins at zero.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
