//! Where the module may be loaded and instances be made: in the master, in a request while garbage
//! is collected, and in a Lua VM that lasts for one request.

use std::time::Duration;

use super::site::{self, Site, assert_answer, memory, open_files, together};
use crate::support;

/// Each request of ngx_lua is a coroutine, and LuaJIT does not tell which its main state is.
#[test]
fn a_module_first_loaded_in_a_request_survives_the_collection_of_that_requests_garbage() {
    let site = site::on(support::shared())
        .content(
            "/collect",
            "local run = require('site').run
             local args = ngx.req.get_uri_args()
             local create, resume = coroutine.create, coroutine.resume
             for n = 1, 3 do
               local in_coroutine = create(function()
                 local instance = require('resty.session.postgres').new(
                   require('site').configuration())
                 collectgarbage()
                 local status, text = run(args, instance)
                 assert(status == 200, text)
                 collectgarbage()
               end)
               assert(resume(in_coroutine))
               in_coroutine = nil
               collectgarbage()
               collectgarbage()
             end
             ngx.print('done')",
        )
        .start();
    for round in 0..5 {
        together(8, |n| {
            let path = format!("/collect?do=set&key=key{n}&value=value{round}");
            assert_answer(&site.nginx.get(&path), 200, "done");
        });
    }
    site.assert_works();
}

/// An instance a request is what lua-resty-session makes of a configuration in `session.start`.
#[test]
fn a_configuration_that_comes_with_each_request_reaches_one_pool() {
    let site = site::on(support::shared())
        .conf("pool_size", 3)
        .content(
            "/new",
            "local site = require('site')
             local new = require('resty.session.postgres').new
             local instance = new(site.configuration())
             ngx.status = site.run(ngx.req.get_uri_args(), instance)",
        )
        .start();
    together(4, |client| {
        for n in 0..50 {
            let path = format!("/new?do=set&key=key{client}-{n}&value=value");
            assert_eq!(site.nginx.get(&path).status, 200);
        }
    });
    let connections = site.connections();
    assert!((1..=3).contains(&connections), "{connections}");
}

/// With `lua_code_cache off` each request has a Lua VM of its own, which is closed after it.
#[test]
fn a_vm_for_each_request_leaves_nothing_behind() {
    let site = site::on(support::shared()).nginx(|nginx| nginx.http("lua_code_cache off;")).start();
    site.assert_works();
    let worker = site.worker();
    let sizes = || (memory(worker), open_files(worker));
    get_500_times(&site);
    let before = sizes();
    for _ in 0..3 {
        get_500_times(&site);
    }
    let after = sizes();
    // 1,500 VMs that stayed would be hundreds of MB.
    let sizes = format!("{before:?} became {after:?} KiB and open files");
    assert!(after.0 < before.0 + 20_000, "{sizes}");
    assert!(after.1 < before.1 + 10, "{sizes}");
    let connections = site.connections();
    assert!((1..=4).contains(&connections), "{connections}");
    assert_eq!(site.worker(), worker, "the worker died");
    let took = site.nginx.quit();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn get_500_times(site: &Site) {
    together(4, |_| {
        for _ in 0..125 {
            assert_answer(&site.get("works"), 200, "yes");
        }
    });
}
