# The service in a container. Building runs the one command that .ci/run also runs; nothing secret enters the image, settings
# come from the environment (docs/OPERATIONS.md).
#
#   docker build --tag half-sky .

FROM rust:1.95.0-trixie AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked

# The same Debian as above, so that the C library fits; its PostgreSQL client has the major version of docker-compose.yml,
# which `half-sky backup` and `half-sky restore` need.
FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "postgresql-client-17=17.*" \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin half-sky \
    && install --directory --owner=half-sky --group=half-sky --mode=0700 /backups /checkpoints
COPY --from=build /build/target/release/half-sky /usr/local/bin/half-sky
# By number, so that an orchestrator sees that it is not root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["half-sky", "health"]
ENTRYPOINT ["half-sky"]
CMD ["serve"]
