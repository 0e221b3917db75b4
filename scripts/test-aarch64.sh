#!/usr/bin/env bash
# Tests distances, the kernels, the encoder and the codecs as 64-bit ARM runs them (NEON, dot products of bytes), emulated. Needs Debian's packages qemu-user,
# gcc-aarch64-linux-gnu, and `rustup target add aarch64-unknown-linux-gnu`. Arguments go to `cargo test`, by default those four packages.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
[ $# -gt 0 ] || set -- -p kokeshi-core -p kokeshi-kernels -p kokeshi-encode -p kokeshi-codec
cargo test --release --locked --target aarch64-unknown-linux-gnu "$@"
