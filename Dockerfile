# Stage 1: what is installed, from the pinned and hashed locks, under a prefix of its own.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m pip install --require-hashes -r requirements-build.lock
RUN python -m pip install --prefix /opt/lostid --ignore-installed --no-build-isolation --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY service ./service
RUN python -m pip install --prefix /opt/lostid --ignore-installed --no-build-isolation --no-deps .

# Stage 2: what runs, as a user who owns nothing but the data.
FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/lostid /usr/local
RUN useradd --system --uid 10001 --home-dir /var/lib/lostid --create-home lostid
USER lostid
WORKDIR /var/lib/lostid
# A new volume takes over owner and mode of the folder it covers.
RUN mkdir -m 0700 data
ENV LOSTID_DATA_DIR=/var/lib/lostid/data LOSTID_PORT=8080
# The filter is mapped from /dev/shm, of which a container has 64 MB unless `--shm-size` says more: 7 bytes a document.
VOLUME /var/lib/lostid/data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['LOSTID_PORT'] + '/readyz', timeout=2)"]
CMD ["lostid", "serve", "--host", "0.0.0.0"]
