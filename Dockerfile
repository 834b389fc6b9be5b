# Builds docker-proxy-acl and nothing else into an image: one static file, no shell, no libraries.
#
# BUILDER is any image with cargo and a C compiler: docker build --build-arg BUILDER=... .
ARG BUILDER=rust:1-slim-bookworm

FROM ${BUILDER} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
# Cargo.toml names these, so cargo wants them there.
COPY benches benches
COPY tests/inside_the_sandbox.rs tests/
# A target is named so that build scripts are not built static, which proc macros cannot be.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --bin docker-proxy-acl --target "$target" \
 && cp "target/$target/release/docker-proxy-acl" /docker-proxy-acl

FROM scratch
COPY --from=build /docker-proxy-acl /docker-proxy-acl
HEALTHCHECK --interval=30s --timeout=12s --start-period=5s CMD ["/docker-proxy-acl", "healthcheck"]
ENTRYPOINT ["/docker-proxy-acl"]
