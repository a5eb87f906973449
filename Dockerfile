# syntax=docker/dockerfile:1
# postqd in a small image: `docker build -t postq .`

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p postqd && cp target/release/postqd /postqd

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/postq postq
COPY --from=build /postqd /usr/local/bin/postqd
USER postq
WORKDIR /var/lib/postq
ENV POSTQ_DATA_DIR=/var/lib/postq/data ENVIRONMENT=production POSTQ_LISTEN=127.0.0.1:8484
# Stopping takes at most the grace period (POSTQ_GRACE_PERIOD): give it more than docker's 10 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8484 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["postqd"]
CMD ["serve"]
