//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // lua_close unloads C modules while the engine's threads still run their code (at a
        // worker's exit, on a reload, after each request with lua_code_cache off).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // Programs are linked with the C library; the Lua module is opened by its path. The number
        // is the version's first, as in the Makefile.
        if std::env::var_os("CARGO_FEATURE_LUA_MODULE").is_none() {
            let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
            let soname = format!("libresty_session_postgres.so.{major}");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
        }
    }
}
