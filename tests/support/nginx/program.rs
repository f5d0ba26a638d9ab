//! Which nginx is tested: the program `$RSP_NGINX`, OpenResty's for example, or Debian's.

use std::env;
use std::path::PathBuf;

use super::super::process;

const DEBIANS_MODULES: &str = "/usr/lib/nginx/modules";

fn given() -> Option<PathBuf> {
    env::var_os("RSP_NGINX").filter(|path| !path.is_empty()).map(PathBuf::from)
}

pub fn path() -> PathBuf {
    match given() {
        Some(path) => process::program(path, "the nginx that RSP_NGINX names"),
        None => process::program("/usr/sbin/nginx", "nginx"),
    }
}

/// Debian's ngx_lua is a module to load; OpenResty's is a part of nginx.
pub fn directives() -> String {
    if given().is_some() {
        return String::new();
    }
    let load = |(file, package)| {
        let module = process::program(format!("{DEBIANS_MODULES}/{file}"), package);
        format!("load_module {};\n", module.display())
    };
    [
        ("ndk_http_module.so", "libnginx-mod-http-ndk"),
        ("ngx_http_lua_module.so", "libnginx-mod-http-lua"),
    ]
    .into_iter()
    .map(load)
    .collect()
}

/// What follows our own folders in `lua_package_path` and `lua_package_cpath`: the Lua files that belong to
/// this nginx.
pub fn lua_paths() -> (String, String) {
    match given() {
        // OpenResty's are compiled in.
        Some(_) => (";".into(), ";".into()),
        None => (
            "/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua;;".into(),
            format!("/usr/lib/{}-linux-gnu/lua/5.1/?.so;;", env::consts::ARCH),
        ),
    }
}
