//! Doors that are requests: the phases of nginx in which a request may call the storage.
//!
//! Each phase has an nginx of its own, started at the first call and stopped when the tests exit.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::lua_door::LuaDoor;
use crate::support::{Nginx, process};

/// The folder of `door.lua`.
pub fn lua_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour"))
}

/// A door that all tests share.
pub type Shared = OnceLock<Arc<LuaDoor>>;

pub fn shared(door: &'static Shared, open: impl FnOnce() -> LuaDoor) -> Arc<LuaDoor> {
    Arc::clone(door.get_or_init(|| Arc::new(open())))
}

pub fn nginx_rewrite() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
        answering_in(
            "rewrite",
            "rewrite_by_lua_block {
                ngx.req.read_body()
                ngx.print(require('door').serve(ngx.req.get_body_data()))
                ngx.exit(ngx.HTTP_OK)
            }",
        )
    })
}

pub fn nginx_access() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
        answering_in(
            "access",
            "access_by_lua_block {
                ngx.req.read_body()
                ngx.print(require('door').serve(ngx.req.get_body_data()))
                ngx.exit(ngx.HTTP_OK)
            }",
        )
    })
}

pub fn nginx_content() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
        answering_in(
            "content",
            "content_by_lua_block {
                ngx.req.read_body()
                ngx.print(require('door').serve(ngx.req.get_body_data()))
            }",
        )
    })
}

pub fn nginx_timer() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
        answering_in(
            "timer",
            "content_by_lua_block {
                ngx.req.read_body()
                local request, reply = ngx.req.get_body_data(), nil
                local done = require('ngx.semaphore').new()
                assert(ngx.timer.at(0, function()
                    reply = require('door').serve(request)
                    done:post()
                end))
                assert(done:wait(30))
                ngx.print(reply)
            }",
        )
    })
}

pub fn nginx_header_filter() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
        answering_in(
            "header_filter",
            "content_by_lua_block {
                ngx.req.read_body()
                ngx.ctx.request = ngx.req.get_body_data()
                ngx.print('')
            }
            header_filter_by_lua_block {
                ngx.ctx.reply = require('door').serve(ngx.ctx.request)
            }
            body_filter_by_lua_block {
                ngx.arg[1], ngx.ctx.reply = ngx.ctx.reply, nil
            }",
        )
    })
}

/// The log phase comes after the response: a second request brings the reply.
pub fn nginx_log() -> Arc<LuaDoor> {
    static DOOR: Shared = Shared::new();
    shared(&DOOR, || {
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
                    local reply = require('door').serve(ngx.ctx.request)
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
        LuaDoor::new("log", move |request| {
            let id = calls.fetch_add(1, Ordering::Relaxed);
            nginx.post(&format!("/call?id={id}"), request);
            nginx.get(&format!("/reply?id={id}")).body
        })
    })
}

/// A door in a phase that can still answer the request with the reply.
fn answering_in(phase: &'static str, directives: &str) -> LuaDoor {
    let nginx = Nginx::builder()
        .lua_folder(lua_folder())
        .location("= /call", directives)
        .start();
    let nginx = process::keep_until_exit(nginx, Nginx::destroy);
    LuaDoor::new(phase, |request| {
        let response = nginx.post("/call", request);
        let log = || nginx.error_log();
        assert_eq!(response.status, 200, "{}\n{}", response.body, log());
        response.body
    })
}
