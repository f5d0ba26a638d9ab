//! Sequences of calls on a few handles, without a database: NULL or live handles and texts in any
//! combination, freed in any order.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use resty_session_postgres::capi::*;
use std::ffi::{c_char, c_void};
use std::ptr;

/// A call of the C interface, as its header allows it.
macro_rules! sound {
    ($call:expr) => {{
        // SAFETY: pointers are NULL, or lead to handles that this input has made and not yet freed;
        // texts and buffers are as long as is said.
        unsafe { $call }
    }};
}

type Text<'a> = Option<&'a [u8]>;

#[derive(Arbitrary, Debug)]
struct Set<'a> {
    size: Option<u16>,
    name: Text<'a>,
    key: Text<'a>,
    value: Text<'a>,
    ttl_s: i64,
    now_s: i64,
    old_key: Text<'a>,
    stale_ttl_s: i64,
    pairs: Vec<(Text<'a>, Text<'a>)>,
    flags: u64,
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    NewStorage,
    FreeStorage,
    NewQueue,
    FreeQueue,
    Set(Set<'a>, bool),
    Get(Text<'a>, i64, bool),
    Delete(Text<'a>, bool),
    ReadMetadata(Text<'a>, Text<'a>, i64, bool),
    Drain(u8),
    ReadCompletion(u8),
    FreeCompletion(u8),
    TakeLog,
    StatusName(u32),
    InitSet(u16),
}

/// The handles, NULL where there is none.
struct World {
    storage: *mut rsp_storage,
    queue: *mut rsp_queue,
    completions: Vec<*mut rsp_completion>,
    message: [u8; 40],
}

/// A pointer and a length; NULL has one too.
fn text(text: &Text) -> (*const c_char, usize) {
    text.map_or((ptr::null(), 7), |bytes| {
        (bytes.as_ptr().cast(), bytes.len())
    })
}

/// A storage whose server is nowhere, so that its operations fail, and soon.
fn new_storage() -> *mut rsp_storage {
    let mut config = ptr::null_mut();
    assert_eq!(sound!(rsp_config_new(&mut config)), rsp_status::RSP_OK);
    for (key, value) in [
        ("host", "/nowhere"),
        ("connect_timeout", "1"),
        ("backlog", "8"),
    ] {
        let (key, key_len) = (key.as_ptr().cast(), key.len());
        let (value, value_len) = (value.as_ptr().cast(), value.len());
        let set = sound!(rsp_config_set(
            config,
            key,
            key_len,
            value,
            value_len,
            ptr::null_mut(),
            0
        ));
        assert_eq!(set, rsp_status::RSP_OK);
    }
    let mut storage = ptr::null_mut();
    let made = sound!(rsp_storage_new(config, &mut storage, ptr::null_mut(), 0));
    assert_eq!(made, rsp_status::RSP_OK);
    sound!(rsp_config_free(config));
    storage
}

impl World {
    fn message(&mut self) -> *mut c_char {
        self.message.as_mut_ptr().cast()
    }

    fn run(&mut self, call: &Call) {
        let (storage, queue) = (self.storage, self.queue);
        let (message, size) = (self.message(), 40);
        let user = ptr::dangling_mut::<c_void>();
        let status = match call {
            Call::NewStorage => {
                sound!(rsp_storage_free(storage));
                self.storage = new_storage();
                rsp_status::RSP_OK
            }
            Call::FreeStorage => {
                sound!(rsp_storage_free(storage));
                self.storage = ptr::null_mut();
                rsp_status::RSP_OK
            }
            Call::NewQueue => {
                sound!(rsp_queue_free(queue));
                sound!(rsp_queue_new(&mut self.queue))
            }
            Call::FreeQueue => {
                sound!(rsp_queue_free(queue));
                self.queue = ptr::null_mut();
                rsp_status::RSP_OK
            }
            Call::Set(set, blocking) => self.set(set, *blocking),
            Call::Get(key, now, blocking) => {
                let (key, len) = text(key);
                let mut value = user.cast();
                if *blocking {
                    let status = sound!(rsp_storage_get(
                        storage, key, len, *now, &mut value, message, size
                    ));
                    // There is no server: whatever the failure, nothing was written.
                    assert_eq!(value, user.cast());
                    status
                } else {
                    let ticket = ptr::null_mut();
                    sound!(rsp_storage_submit_get(
                        storage, queue, key, len, *now, user, ticket, message, size,
                    ))
                }
            }
            Call::Delete(key, blocking) => {
                let (key, len) = text(key);
                if *blocking {
                    sound!(rsp_storage_delete(storage, key, len, message, size))
                } else {
                    let mut ticket = 0;
                    sound!(rsp_storage_submit_delete(
                        storage,
                        queue,
                        key,
                        len,
                        user,
                        &mut ticket,
                        message,
                        size,
                    ))
                }
            }
            Call::ReadMetadata(audience, subject, now, blocking) => {
                let ((audience, audience_len), (subject, subject_len)) =
                    (text(audience), text(subject));
                if *blocking {
                    let mut found = ptr::null_mut();
                    sound!(rsp_storage_read_metadata(
                        storage,
                        audience,
                        audience_len,
                        subject,
                        subject_len,
                        *now,
                        &mut found,
                        message,
                        size,
                    ))
                } else {
                    sound!(rsp_storage_submit_read_metadata(
                        storage,
                        queue,
                        audience,
                        audience_len,
                        subject,
                        subject_len,
                        *now,
                        user,
                        ptr::null_mut(),
                        message,
                        size,
                    ))
                }
            }
            Call::Drain(capacity) => self.drain(usize::from(*capacity)),
            Call::ReadCompletion(index) => {
                let completion = self.completion(*index);
                sound!(rsp_bytes_len(rsp_completion_value(completion)));
                sound!(rsp_metadata_len(rsp_completion_metadata(completion)));
                sound!(rsp_completion_ticket(completion));
                let given = sound!(rsp_completion_user(completion));
                assert_eq!(
                    given,
                    if completion.is_null() {
                        ptr::null_mut()
                    } else {
                        user
                    }
                );
                sound!(rsp_completion_status(completion, message, size))
            }
            Call::FreeCompletion(index) => {
                let completion = self.completion(*index);
                self.completions.retain(|kept| *kept != completion);
                sound!(rsp_completion_free(completion));
                rsp_status::RSP_OK
            }
            Call::TakeLog => {
                let mut log = ptr::null_mut();
                let status = sound!(rsp_log_take(&mut log));
                sound!(rsp_log_free(log));
                status
            }
            Call::StatusName(number) => {
                assert!(!rsp_status_name(*number).is_null());
                rsp_status::RSP_OK
            }
            Call::InitSet(size) => {
                let mut bytes = vec![1_u64; usize::from(*size).div_ceil(8)];
                sound!(rsp_set_init(bytes.as_mut_ptr().cast(), usize::from(*size)))
            }
        };
        assert_ne!(status, rsp_status::RSP_INTERNAL);
    }

    fn set(&mut self, set: &Set, blocking: bool) -> rsp_status {
        let pair = |(audience, subject): &(Text, Text)| {
            let ((audience, audience_len), (subject, subject_len)) =
                (text(audience), text(subject));
            rsp_pair {
                audience,
                audience_len,
                subject,
                subject_len,
            }
        };
        let pairs: Vec<_> = set.pairs.iter().map(pair).collect();
        let (name, name_len) = text(&set.name);
        let (key, key_len) = text(&set.key);
        let (value, value_len) = text(&set.value);
        let (old_key, old_key_len) = text(&set.old_key);
        let size = set.size.map_or(size_of::<rsp_set>(), usize::from);
        let request = rsp_set {
            size,
            name,
            name_len,
            key,
            key_len,
            value,
            value_len,
            ttl_s: set.ttl_s,
            now_s: set.now_s,
            old_key,
            old_key_len,
            stale_ttl_s: set.stale_ttl_s,
            metadata: pairs.as_ptr(),
            metadata_len: pairs.len(),
            flags: set.flags,
        };
        // As long as it says, as a later version's would be.
        let mut longer = vec![0_u8; size.max(size_of::<rsp_set>()) + 8];
        let at = longer.as_mut_ptr().align_offset(8);
        let place = longer[at..].as_mut_ptr().cast::<rsp_set>();
        sound!(place.write(request));
        let (storage, queue, message) = (self.storage, self.queue, self.message());
        if blocking {
            sound!(rsp_storage_set(storage, place, message, 40))
        } else {
            let user = ptr::dangling_mut();
            let ticket = ptr::null_mut();
            sound!(rsp_storage_submit_set(
                storage, queue, place, user, ticket, message, 40
            ))
        }
    }

    fn drain(&mut self, capacity: usize) -> rsp_status {
        let mut taken = vec![ptr::null_mut(); capacity.max(1)];
        let mut count = 0;
        let status = sound!(rsp_queue_drain(
            self.queue,
            taken.as_mut_ptr(),
            capacity,
            &mut count
        ));
        assert!(count <= capacity);
        self.completions.extend(&taken[..count]);
        status
    }

    fn completion(&self, index: u8) -> *mut rsp_completion {
        let found = self.completions.get(usize::from(index));
        found.copied().unwrap_or(ptr::null_mut())
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let mut world = World {
        storage: ptr::null_mut(),
        queue: ptr::null_mut(),
        completions: Vec::new(),
        message: [0; 40],
    };
    for call in calls.iter().take(50) {
        world.run(call);
    }
    sound!(rsp_storage_free(world.storage));
    for completion in world.completions {
        sound!(rsp_completion_free(completion));
    }
    sound!(rsp_queue_free(world.queue));
});
