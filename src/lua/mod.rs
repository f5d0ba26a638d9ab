//! The Lua module: `luaopen_resty_session_postgres`.
//!
//! The functions here take and return plain Lua values and never raise (see [`function`]). A caller's
//! mistake comes back as `false, message`, and `instance.lua`, which is part of this module, raises it at
//! the caller's line.

mod call;
mod function;
mod queue;
mod storage;

use crate::host::{fork::ForkLocal, lock, log};
use function::function;
use mlua::{Function, Lua, Result, Table, ffi};
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::sync::Mutex;

/// Opens the module; Lua's `require` calls this.
///
/// # Safety
///
/// `state` must be a valid Lua state of the Lua that this was built for, with room for a value on
/// its stack.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_resty_session_postgres(
    state: *mut mlua::lua_State,
) -> c_int {
    log::catch_panic_messages();
    // SAFETY: the caller guarantees the state.
    unsafe { give_lasting_state(state) };
    // SAFETY: the caller guarantees the state; mlua catches panics and turns them into Lua errors.
    unsafe { Lua::entrypoint1(state, open) }
}

/// Has mlua, at its first use in this Lua VM, keep a coroutine that lives as long as the VM. By itself
/// it keeps the main coroutine, which LuaJIT and Lua 5.1 do not expose, or else the running one: in
/// nginx that is a request's, and mlua would go on using it after the request has ended.
///
/// # Safety
///
/// As [`luaopen_resty_session_postgres`].
#[allow(unsafe_code)]
unsafe fn give_lasting_state(state: *mut mlua::lua_State) {
    // SAFETY: the caller guarantees the state and room for a value, here the new coroutine.
    let lasting = unsafe { ffi::lua_newthread(state) };
    // SAFETY: takes the coroutine from the stack and keeps it in the registry.
    unsafe { ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX) };
    // SAFETY: a coroutine of the same VM, which the registry keeps alive.
    let _ = unsafe { Lua::get_or_init_from_ptr(lasting) };
}

fn open(lua: &Lua) -> Result<Table> {
    let native = lua.create_table()?;
    call::register(lua, &native)?;
    storage::register(lua, &native)?;
    queue::register(lua, &native)?;
    native.set("take_log", function(lua, take_log)?)?;
    native.set("is_first_event_loop", function(lua, is_first_event_loop)?)?;
    native.set("fallback", chunk(lua, "fallback", include_str!("fallback.lua"))?)?;
    let bind = chunk(lua, "instance", include_str!("instance.lua"))?;
    let bind: Function = bind.call(&native)?;
    let module: Table = bind.call(())?;
    module.set("_VERSION", crate::VERSION)?;
    module.set("bind", bind)?;
    module.set("pump", chunk(lua, "pump", include_str!("pump.lua"))?)?;
    module.set("native", native)?;
    Ok(module)
}

/// Lua code that is part of this module, so that all of a version is loaded as one file.
fn chunk(lua: &Lua, name: &str, code: &str) -> Result<Function> {
    lua.load(code).set_name(format!("=resty_session_postgres.{name}")).into_function()
}

/// `is_first_event_loop(subsystem)`: whether this is the process's first Lua VM to ask in that subsystem
/// of nginx, http or stream: each has an event loop's VM of its own.
fn is_first_event_loop(_: &Lua, subsystem: String) -> Result<bool> {
    static ASKED: ForkLocal<Mutex<BTreeSet<String>>> = ForkLocal::new();
    Ok(lock(ASKED.get_or_init(Mutex::default)).insert(subsystem))
}

/// `take_log()`: the lines for the host's log as `{ level, text, level, text, … }`, the level as
/// the name of ngx_lua's constant; nil when there is none.
fn take_log(lua: &Lua, (): ()) -> Result<Option<Table>> {
    if log::is_empty() {
        return Ok(None);
    }
    let lines = log::take().into_iter();
    let flat = lines.flat_map(|line| [line.level.name().to_owned(), line.text]);
    lua.create_sequence_from(flat).map(Some)
}
