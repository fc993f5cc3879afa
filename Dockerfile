# Wheels are built in a stage of its own, so that the build tools stay out of the image. The lock files name everything
# that is downloaded, with its hashes.
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements-build.lock requirements.lock ./
RUN python -m venv tools \
 && tools/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements-build.lock \
 && tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes --requirement requirements.lock \
    --wheel-dir wheels
COPY pyproject.toml README.md LICENSE ./
COPY static static
COPY imgserve imgserve
RUN tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
 && python -m venv --without-pip /opt/imgserve \
 && tools/bin/pip --python /opt/imgserve/bin/python install --no-cache-dir --no-deps --no-index wheels/*.whl

FROM python:3.12-slim
# Two arenas: glibc otherwise keeps one for each thread and never gives pixel memory back.
ENV MALLOC_ARENA_MAX=2 \
    PATH=/opt/imgserve/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_DATA_HOME=/data
RUN groupadd --system --gid 10001 imgserve \
 && useradd --system --uid 10001 --gid imgserve --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin imgserve \
 && install -d -o imgserve -g imgserve /originals /cache /data
COPY --from=build /opt/imgserve /opt/imgserve
# By number: Kubernetes then knows that it is not root.
USER 10001:10001
WORKDIR /
# /data has catalog and key where /originals is mounted read-only; else they are in /originals/.imgserve.
VOLUME ["/originals", "/cache", "/data"]
EXPOSE 8000
# A refused connection and an answer of 4xx or 5xx both raise, which is what unhealthy means here.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["imgserve", "serve", "/originals", "--cache", "/cache", "--host", "0.0.0.0"]
