//! Link options of the shared libraries.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // lua_close unloads Lua modules, and a C program may unload the library, while its threads still run.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Programs are linked with the C library; the Lua module is opened by its path.
    if std::env::var_os("CARGO_FEATURE_LUA_MODULE").is_none() {
        let number =
            |part: &str| std::env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
        // As in the Makefile.
        let compatible = match number("MAJOR").as_str() {
            "0" => format!("0.{}", number("MINOR")),
            major => major.to_owned(),
        };
        let soname = format!("libresty_session_postgres.so.{compatible}");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    }
}
