# Builds docker-proxy-acl and nothing else into an image: one static file, no shell, no libraries.
#
# BUILDER is any image with cargo and a C compiler: docker build --build-arg BUILDER=... .
# For another processor than this one's, which takes BuildKit: docker build --platform linux/arm64 .
ARG BUILDER=rust:1-slim-bookworm

# The compiler runs on this machine's own processor. Builders before BuildKit do not say which that is, and
# take `linux` for it.
FROM --platform=${BUILDPLATFORM:-linux} ${BUILDER} AS build
# The two processors, in Docker's words; only BuildKit tells them.
ARG BUILDARCH
ARG TARGETARCH
# Cross-compiling takes a C compiler and Rust's library, each of which the builder may have or not.
RUN case "$BUILDARCH $TARGETARCH" in \
      "amd64 arm64") arch=aarch64 packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
      "arm64 amd64") arch=x86_64 packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
      *) exit 0 ;; \
    esac; \
    target="$arch-unknown-linux-gnu"; \
    { command -v "$arch-linux-gnu-gcc" || \
      { apt-get update && apt-get install -y --no-install-recommends $packages; }; } && \
    { [ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"; }
WORKDIR /build
COPY Cargo.toml Cargo.lock build-static ./
COPY src src
# Cargo.toml names these, so cargo wants them there.
COPY benches benches
COPY tests/it/sandbox/attempt.rs tests/it/sandbox/
RUN cp "$(./build-static $TARGETARCH)" /docker-proxy-acl

FROM scratch
LABEL org.opencontainers.image.title="docker-proxy-acl" \
      org.opencontainers.image.description="A read-only, allow-listed socket in front of the Docker engine's own" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="1.0.0"
COPY --from=build /docker-proxy-acl /docker-proxy-acl
HEALTHCHECK --interval=30s --timeout=12s --start-period=5s CMD ["/docker-proxy-acl", "healthcheck"]
ENTRYPOINT ["/docker-proxy-acl"]
