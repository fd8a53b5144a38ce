# Cognito for the exchange in containers: MiniStack carries the user pools that LocalStack lacks, and nothing else.
# Build it from the repository's root:  docker build -f twin/cognito.Dockerfile -t crossbook/cognito .
FROM python:3.13-slim AS dependencies
COPY twin/requirements-ministack.lock /tmp/requirements.lock
RUN --mount=type=cache,target=/var/cache/pip \
    python3 -m venv --without-pip /venv && \
    python3 -m pip --cache-dir /var/cache/pip --python /venv/bin/python3 install --no-deps --require-hashes --only-binary :all: \
        -r /tmp/requirements.lock

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SERVICES=cognito-idp BIND_HOST=0.0.0.0 GATEWAY_PORT=4566 PERSIST_STATE=1 STATE_DIR=/state \
    SFTP_ENABLED=0 IOT_MTLS_ENABLED=0 LOG_LEVEL=WARNING
WORKDIR /app
COPY --from=dependencies /venv /venv
RUN install -d -o 10001 -g 10001 /state
COPY twin/cognito_server.py .
USER 10001:10001
EXPOSE 4566
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=20 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4566/_ministack/ready', timeout=2)"]
CMD ["python3", "cognito_server.py"]
