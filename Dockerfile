# The connector alone, built as it is shipped, on a small system without a shell user.
FROM rust:1.95-bookworm AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package afterimage \
 && install -D target/release/afterimage /out/afterimage

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin afterimage
COPY --from=builder /out/afterimage /usr/local/bin/afterimage
# Nothing is written below /: the file system may be read-only. A sink that keeps its position in a file has it in this volume.
WORKDIR /var/lib/afterimage
RUN chown afterimage:afterimage /var/lib/afterimage
VOLUME /var/lib/afterimage
USER 10001:10001
EXPOSE 9600
STOPSIGNAL SIGTERM
ENTRYPOINT ["afterimage"]
CMD ["run", "/etc/afterimage/connector.toml"]
