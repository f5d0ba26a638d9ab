//! The Lua binding in requests: the phases of nginx in which a request may call the storage.
//!
//! Each phase has an nginx of its own, started at the first call and stopped when the tests exit.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::lua_binding::LuaBinding;
use crate::support::{Nginx, process};

/// The folder of `binding.lua`.
pub fn lua_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour"))
}

/// A binding that all tests share.
pub type Shared = OnceLock<Arc<LuaBinding>>;

pub fn shared(binding: &'static Shared, open: impl FnOnce() -> LuaBinding) -> Arc<LuaBinding> {
    Arc::clone(binding.get_or_init(|| Arc::new(open())))
}

/// What the phases below run: the request's body is a call, and the reply is the response.
const SERVE: &str = "ngx.req.read_body()
    ngx.print(require('binding').serve(ngx.req.get_body_data()))
    ngx.exit(ngx.HTTP_OK)";

macro_rules! answering_phases {
    ($($name:ident: $phase:literal, $directives:expr;)*) => {
        $(
            pub fn $name() -> Arc<LuaBinding> {
                static BINDING: Shared = Shared::new();
                shared(&BINDING, || answering_in($phase, &$directives))
            }
        )*
    };
}

answering_phases! {
    nginx_rewrite: "rewrite", format!("rewrite_by_lua_block {{ {SERVE} }}");
    nginx_access: "access", format!("access_by_lua_block {{ {SERVE} }}");
    nginx_content: "content", format!("content_by_lua_block {{ {SERVE} }}");
    nginx_timer: "timer", "content_by_lua_block {
        ngx.req.read_body()
        local request, reply = ngx.req.get_body_data(), nil
        local done = require('ngx.semaphore').new()
        assert(ngx.timer.at(0, function()
            reply = require('binding').serve(request)
            done:post()
        end))
        assert(done:wait(30))
        ngx.print(reply)
    }";
    nginx_header_filter: "header_filter", "content_by_lua_block {
        ngx.req.read_body()
        ngx.ctx.request = ngx.req.get_body_data()
        ngx.print('')
    }
    header_filter_by_lua_block {
        ngx.ctx.reply = require('binding').serve(ngx.ctx.request)
    }
    body_filter_by_lua_block {
        ngx.arg[1], ngx.ctx.reply = ngx.ctx.reply, nil
    }";
}

/// The log phase comes after the response: a second request brings the reply.
pub fn nginx_log() -> Arc<LuaBinding> {
    static BINDING: Shared = Shared::new();
    shared(&BINDING, || {
        let nginx = Nginx::builder()
            .lua_folder(lua_folder())
            .http("lua_shared_dict replies 128m;")
            .location(
                "= /call",
                "content_by_lua_block {
                    ngx.req.read_body()
                    ngx.ctx.request = ngx.req.get_body_data()
                }
                log_by_lua_block {
                    local reply = require('binding').serve(ngx.ctx.request)
                    assert(ngx.shared.replies:set(ngx.var.arg_id, reply))
                }",
            )
            .location(
                "= /reply",
                "content_by_lua_block {
                    for _ = 1, 3000 do
                        local reply = ngx.shared.replies:get(ngx.var.arg_id)
                        if reply then
                            ngx.shared.replies:delete(ngx.var.arg_id)
                            return ngx.print(reply)
                        end
                        ngx.sleep(0.01)
                    end
                }",
            )
            .start();
        let nginx = process::keep_until_exit(nginx, Nginx::destroy);
        let calls = AtomicU64::new(0);
        LuaBinding::new("log", move |request| {
            let id = calls.fetch_add(1, Ordering::Relaxed);
            nginx.post(&format!("/call?id={id}"), request);
            nginx.get(&format!("/reply?id={id}")).body
        })
    })
}

/// A binding in a phase that can still answer the request with the reply.
fn answering_in(phase: &'static str, directives: &str) -> LuaBinding {
    let nginx = Nginx::builder().lua_folder(lua_folder()).location("= /call", directives).start();
    let nginx = process::keep_until_exit(nginx, Nginx::destroy);
    LuaBinding::new(phase, |request| {
        let response = nginx.post("/call", request);
        let log = || nginx.error_log();
        assert_eq!(response.status, 200, "{}\n{}", response.body, log());
        response.body
    })
}
