# The server with its models in an image of its own: no shell work at start, no root, nothing
# fetched at run time. docker/digests looks up the digests of the two images it is built from, as docs/security.md says.
ARG RUST=rust:1.95-slim-bookworm
ARG DEBIAN=debian:bookworm-slim
FROM ${RUST} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY crates crates
COPY benches benches
COPY migrations migrations
COPY web web
RUN cargo build --profile dist --locked --bin medserve

FROM ${DEBIAN}
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/medserve medserve
COPY --from=build /build/target/dist/medserve /usr/local/bin/medserve
COPY models /usr/share/medserve/models
USER 10001
WORKDIR /var/lib/medserve
# It listens for others, so it starts only where identity is configured, or MEDSERVE_ALLOW_ANONYMOUS=true.
ENV MEDSERVE_LISTEN=0.0.0.0:8080 MEDSERVE_MODELS_DIR=/usr/share/medserve/models
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["medserve", "health", "--address", "127.0.0.1:8080"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["medserve"]
CMD ["serve"]
