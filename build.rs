//! How the binary is linked: smaller, with nothing left out.

#![expect(clippy::disallowed_methods, reason = "a build script is told of its target in the environment")]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    // Addresses to relocate as a bitmap instead of a table; known to glibc from 2.36 on.
    if target.ends_with("-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Functions of equal code become one. This is the toolchain's own linker's option, which it uses for this target.
    if target == "x86_64-unknown-linux-gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
