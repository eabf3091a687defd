# gudgeon as a static binary in an empty image: no shell, no package manager, no user database.
#
#   scripts/build-image                      with whichever of docker, podman, buildah is there
#   docker build -t gudgeon:dev .            the same by hand
#
# The binary links glibc statically, so that nothing is needed around it. The target comes from the toolchain's own host:
# build on (or emulate) arm64 to get an arm64 image.

# What decides how the dependencies compile, and nothing else: a new lint, bench or test does not rebuild them.
FROM rust:1.95-bookworm AS manifest
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
RUN awk 'BEGIN { keep = 1 } /^\[/ { keep = !/^\[(lints|package\.metadata|\[(bench|test|example)\])/ } keep && !/^#/' \
        Cargo.toml > Cargo.toml.new \
    && mv Cargo.toml.new Cargo.toml

# Every dependency, compiled against an empty crate. The slow layer: cached until the manifest above changes.
# The target is named so that RUSTFLAGS reach the binary and leave build scripts and procedural macros alone.
FROM rust:1.95-bookworm AS deps
WORKDIR /src
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY --from=manifest /src/Cargo.toml /src/Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && target="$(rustc --print host-tuple)" \
    && cargo build --release --locked --features parquet --target "$target"

# Our own code. The touch makes it newer than the empty crate, whatever the checkout's times are.
FROM deps AS build
COPY src src
RUN touch src/main.rs src/lib.rs \
    && target="$(rustc --print host-tuple)" \
    && cargo build --release --locked --features parquet --target "$target" \
    && mkdir -p /out/models \
    && strip --strip-debug -o /out/gudgeon "target/$target/release/gudgeon" \
    && /out/gudgeon --version

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gudgeon" \
      org.opencontainers.image.description="A model server: versioned ONNX models in a hot-swappable slot behind a stable prediction API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/gudgeon /gudgeon
# The registry's mount point. A new named volume takes its owner from here; nothing else is ever written.
COPY --from=build --chown=65532:65532 /out/models /models
# The models are in `models` of the working directory, unless something says otherwise: SageMaker has them in /opt/ml/model.
WORKDIR /
ENV GUDGEON_HTTP_ADDR=0.0.0.0:8080 \
    GUDGEON_GRPC_ADDR=0.0.0.0:8081 \
    GUDGEON_OPS_ADDR=0.0.0.0:8082
# 8080 predictions and probes, 8081 predictions over gRPC, 8082 operations: keep the last one inside.
EXPOSE 8080 8081 8082
USER 65532:65532
ENTRYPOINT ["/gudgeon"]
CMD ["serve"]
