# syntax=docker/dockerfile:1
# One image for every process kind: `docker run headrace api|workers|scheduler|up`.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --quiet --require-hashes --no-deps -r requirements/base.txt \
 && python -m venv /backend \
 && /backend/bin/pip install --quiet --require-hashes --no-deps -r requirements/build.txt
COPY . .
RUN /backend/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /venv/bin/pip install --quiet --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin headrace \
 && install --directory --owner headrace --mode 0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HEADRACE_DATA_DIR=/data HEADRACE_HOST=0.0.0.0 HEADRACE_LOG_FORMAT=json
USER headrace
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["headrace"]
CMD ["up"]
