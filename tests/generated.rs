//! The code under src/grpc is what its .proto gives, so that nobody needs protoc to build gudgeon.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use prost::Message as _;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grpc")
}

#[track_caller]
fn check(name: &str, made: &[u8]) {
    let path = folder().join(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "as for the documentation, a variable asks for the files to be written"
    )]
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    assert!(kept == made, "src/grpc/{name} is not what inference.proto gives: UPDATE_GENERATED=1 writes it anew");
}

#[test]
fn the_generated_code_is_what_the_proto_gives() {
    let files = protox::compile(["inference.proto"], [folder()]).unwrap();
    check("inference.bin", &files.encode_to_vec());
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    check("inference.rs", &std::fs::read(out.path().join("inference.rs")).unwrap());
}
