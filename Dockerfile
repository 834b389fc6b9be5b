# Builds docker-proxy-acl and nothing else into an image: one static file, no shell, no libraries.
#
# BUILDER is any image with cargo and a C compiler: docker build --build-arg BUILDER=... .
ARG BUILDER=rust:1-slim-bookworm

FROM ${BUILDER} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build-static ./
COPY src src
# Cargo.toml names these, so cargo wants them there.
COPY benches benches
COPY tests/it/sandbox/attempt.rs tests/it/sandbox/
RUN cp "$(./build-static)" /docker-proxy-acl

FROM scratch
COPY --from=build /docker-proxy-acl /docker-proxy-acl
HEALTHCHECK --interval=30s --timeout=12s --start-period=5s CMD ["/docker-proxy-acl", "healthcheck"]
ENTRYPOINT ["/docker-proxy-acl"]
