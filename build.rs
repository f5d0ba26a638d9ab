//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // lua_close unloads C modules while the engine's threads still run their code (at a
        // worker's exit, on a reload, after each request with lua_code_cache off).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
