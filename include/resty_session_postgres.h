/*
 * resty-session-postgres: a PostgreSQL session storage.
 *
 * Generated from the Rust sources; `make generate` writes it anew.
 */

#ifndef RESTY_SESSION_POSTGRES_H
#define RESTY_SESSION_POSTGRES_H

#include <stddef.h>
#include <stdint.h>

// The version of this header; rsp_version() is the library's.
#define RSP_VERSION_MAJOR 0
#define RSP_VERSION_MINOR 2
#define RSP_VERSION_PATCH 0
#define RSP_VERSION_STRING "0.2.0"

// In the place of a time: the second in which the function is called.
#define RSP_NOW INT64_MIN

// In `rsp_set.flags`: the session `old_key` is deleted instead of ending soon.
#define RSP_SET_DELETE_OLD 1

// In `rsp_request.flags` of `RSP_COUNT`: for all sessions, PostgreSQL's estimate of the number of
// rows is enough.
#define RSP_COUNT_ESTIMATE 1

// In `rsp_request.flags` of `RSP_MIGRATE`: new tables are unlogged, and so empty after a crash of the
// server.
#define RSP_MIGRATE_UNLOGGED 1

// What became of a call. A number keeps its meaning for ever and is never used for another one;
// later versions may add numbers, so treat one that you do not know as a failure.
enum rsp_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Success: the outputs are written.
  RSP_OK = 0,
  // A pointer that may not be NULL is NULL; the message names it.
  RSP_NULL_POINTER = 1,
  // A configuration key is unknown, or its value is not accepted.
  RSP_INVALID_CONFIG = 2,
  // An argument has a value that no call may have: a time out of range, an unknown flag.
  RSP_INVALID_ARGUMENT = 3,
  // A text cannot be stored: an empty key, a NUL byte, invalid UTF-8, more than 256 MiB.
  RSP_INVALID_TEXT = 4,
  // As many operations wait as the backlog allows. Try again later.
  RSP_BACKLOG_FULL = 5,
  // No connection became free or could be opened within the connect timeout.
  RSP_NO_CONNECTION = 6,
  // The server refused the connection: a wrong password, an unknown database, a certificate.
  RSP_REFUSED = 7,
  // A connection was held, but the answer did not come in time.
  RSP_TIMEOUT = 8,
  // The connection broke, and trying again did not help.
  RSP_CONNECTION_LOST = 9,
  // Another transaction held the session's row until the deadline.
  RSP_LOCKED = 10,
  // The server rejected the statement; the message ends in its SQLSTATE.
  RSP_DATABASE = 11,
  // The process is exiting, and the storage with it.
  RSP_STOPPED = 12,
  // A defect of this library; the operation may or may not have been carried out.
  RSP_INTERNAL = 13,
  // The operating system refused something, such as one more file descriptor.
  RSP_SYSTEM = 14,
  // The subject has as many live sessions as `max_sessions_per_subject` allows, and one more is
  // refused.
  RSP_TOO_MANY_SESSIONS = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rsp_status rsp_status;
#else
typedef uint32_t rsp_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How urgent a line is.
enum rsp_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // What happens in the ordinary course of things.
  RSP_LOG_INFO = 0,
  // Worth knowing.
  RSP_LOG_NOTICE = 1,
  // Somebody should look at it: a server that went away, for example.
  RSP_LOG_WARN = 2,
  // A defect of this library.
  RSP_LOG_ERROR = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rsp_log_level rsp_log_level;
#else
typedef uint32_t rsp_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an `rsp_request` asks for, with the fields that it looks at; those in brackets may be left
// as `rsp_request_init` makes them. A number keeps its meaning for ever.
enum rsp_operation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Ends the sessions of a subject: audience, subject, \[except_key\]. `rsp_completion_count` says
  // how many were alive. A save with metadata that was committed before takes no effect, one that
  // comes later does; those of one audience and its revocations take place one after the other.
  RSP_REVOKE = 1,
  // Ends all sessions of an audience: audience. `rsp_completion_count` says how many were alive.
  RSP_REVOKE_AUDIENCE = 2,
  // Lists live sessions in the order of their keys, of a subject, of an audience, or all:
  // \[audience\], \[subject\], \[now_s\], \[after_key\], \[limit\]. `rsp_completion_metadata` has
  // them.
  RSP_LIST = 3,
  // Counts live sessions: \[audience\], \[subject\], \[now_s\], \[flags\].
  // `rsp_completion_count` has their number.
  RSP_COUNT = 4,
  // Lets a live session end at another time: key, ttl_s, \[now_s\]. `rsp_completion_count` is 1, or
  // 0 where there is no such session.
  RSP_TOUCH = 5,
  // Deletes sessions that are over on the database's clock and at the given time: \[limit\],
  // \[now_s\]. `rsp_completion_count` says how many. It takes up to half of an operation's time.
  RSP_CLEANUP = 6,
  // Creates the tables, or makes of older ones what they should be: \[flags\].
  // `rsp_completion_count` says how many changes that took.
  RSP_MIGRATE = 7,
  // Looks at the tables. `rsp_completion_count` says how many things are wrong or slow, and
  // `rsp_completion_value` has two lines for each: in words, and the statement that repairs it.
  RSP_CHECK = 8,
  // Reads a row, if there is one: for readiness probes. It waits a second at most for a connection,
  // and another one for the answer.
  RSP_HEALTH = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rsp_operation rsp_operation;
#else
typedef uint32_t rsp_operation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A session's data. It never changes, so any number of threads may read it at the same time.
typedef struct rsp_bytes rsp_bytes;

// What became of a submitted operation. It never changes, so any number of threads may read it at
// the same time.
typedef struct rsp_completion rsp_completion;

// A configuration in the making, to make storages of. One thread at a time may use it.
typedef struct rsp_config rsp_config;

// Lines for the host's log, the eldest first. They never change, so any number of threads may read
// them at the same time.
typedef struct rsp_log rsp_log;

// Live sessions: the key of each and when it ends. Those of a read_metadata are in no particular
// order, those of an `RSP_LIST` in that of their keys. It never changes, so any number of threads
// may read it at the same time.
typedef struct rsp_metadata rsp_metadata;

// A queue of completions. Any number of threads may submit to it and drain it at the same time.
//
// It belongs to the process that made it: in a child of a fork its functions fail, and the child
// makes its own.
typedef struct rsp_queue rsp_queue;

// A session storage. Any number of threads may use it at the same time.
//
// Storages of equal configurations share one pool of connections, which the first operation of a
// process opens; it lasts until the process ends. A child of a fork opens its own.
typedef struct rsp_storage rsp_storage;

// An audience and a subject under which a session is to be found. No text needs a NUL at its end.
typedef struct rsp_pair {
  // The audience.
  const char *audience;
  // Its length in bytes.
  size_t audience_len;
  // The subject.
  const char *subject;
  // Its length in bytes.
  size_t subject_len;
} rsp_pair;

// What `rsp_storage_set` saves. Prepare it by `rsp_set_init`, then fill in what is wanted: a field
// that a later version adds then asks for nothing. No text needs a NUL at its end; everything is
// copied before the call returns.
typedef struct rsp_set {
  // The size of this struct as the caller knows it; `rsp_set_init` writes it.
  size_t size;
  // The session's (the cookie's) name.
  const char *name;
  // Its length in bytes.
  size_t name_len;
  // The session's key; not empty.
  const char *key;
  // Its length in bytes.
  size_t key_len;
  // The session's data.
  const char *value;
  // Its length in bytes.
  size_t value_len;
  // For how many seconds the session lives from `now_s` on.
  int64_t ttl_s;
  // The current time in seconds since 1970, or `RSP_NOW`.
  int64_t now_s;
  // The key of a session that this one replaces. May be NULL: then there is none.
  const char *old_key;
  // Its length in bytes.
  size_t old_key_len;
  // For how many seconds the replaced session lives on at most; unused with
  // `RSP_SET_DELETE_OLD`.
  int64_t stale_ttl_s;
  // The audiences and subjects under which the session is to be found. May be NULL if
  // `metadata_len` is 0.
  const struct rsp_pair *metadata;
  // How many pairs these are.
  size_t metadata_len;
  // 0 or `RSP_SET_DELETE_OLD`.
  uint64_t flags;
} rsp_set;

// An operation with its arguments. Prepare it by `rsp_request_init`, then fill in what the operation
// takes; what it does not take is refused, but for `now_s`.
//
// No text needs a NUL at its end; everything is copied before the call returns. A text that
// is NULL is not given.
typedef struct rsp_request {
  // The size of this struct as the caller knows it; `rsp_request_init` writes it.
  size_t size;
  // An `rsp_operation`; `rsp_request_init` writes it.
  uint32_t operation;
  // A session's key; not empty.
  const char *key;
  // Its length in bytes.
  size_t key_len;
  // The audience.
  const char *audience;
  // Its length in bytes.
  size_t audience_len;
  // The subject.
  const char *subject;
  // Its length in bytes.
  size_t subject_len;
  // The key of a session that is not ended.
  const char *except_key;
  // Its length in bytes.
  size_t except_key_len;
  // The last key of the page before.
  const char *after_key;
  // Its length in bytes.
  size_t after_key_len;
  // For how many seconds the session lives from `now_s` on.
  int64_t ttl_s;
  // The current time in seconds since 1970, or `RSP_NOW`.
  int64_t now_s;
  // How many at most; 0 leaves that to the library.
  uint64_t limit;
  // 0, or flags of the operation.
  uint64_t flags;
} rsp_request;

// A function of the host's that takes lines for its log: `user` as it was set, how urgent the line
// is, and its text as of `rsp_log_get`, valid until the function returns.
typedef void (*rsp_log_function)(void *user, rsp_log_level level, const char *text);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the name of a status, such as "RSP_TIMEOUT".
//
// # Arguments
//
// - `status`: any number; one that this version does not know is named "RSP_UNKNOWN".
//
// # Returns
//
// A static, NUL-terminated text that must not be freed.
//
// Any thread may call this at any time.
const char *rsp_status_name(uint32_t status);

// Returns the version of the library that the program runs with, such as "0.2.0"; the version that
// it was compiled for is `RSP_VERSION_STRING`.
//
// # Returns
//
// A static, NUL-terminated text that must not be freed.
//
// Any thread may call this at any time.
const char *rsp_version(void);

// Makes a configuration in which every key has its default.
//
// # Arguments
//
// - `config_out`: receives the configuration, which the caller owns and gives to
//   `rsp_config_free`.
//
// # Errors
//
// `RSP_NULL_POINTER`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `config_out` must be NULL or valid for writes.
rsp_status rsp_config_new(struct rsp_config **config_out);

// Sets a key. A key may be set again: the last value holds.
//
// The keys are those of the Lua module, listed in the project's README. Every value is a text:
// a number in decimal digits, a boolean as "true", "false", "on" or "off", a list separated by
// commas. Times are milliseconds.
//
// # Arguments
//
// - `config`: the configuration. After an error it is unchanged.
// - `key`, `key_len`: the key's name and its length in bytes; no NUL is needed at its end.
// - `value`, `value_len`: likewise the value. Both are copied.
// - `message`, `message_size`: a buffer and its size in bytes. After a failure it holds a
//   NUL-terminated message, cut at a character where it is too long. May be NULL or of size 0.
//
// # Errors
//
// `RSP_INVALID_CONFIG` for an unknown key or a value that the key does not accept,
// `RSP_INVALID_TEXT`, `RSP_NULL_POINTER`.
//
// Not thread-safe: no other thread may use `config` meanwhile.
//
// # Safety
//
// `config` must be NULL or come from `rsp_config_new`; `key` and `value` must be NULL or valid for
// reads of their lengths; `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_config_set(struct rsp_config *config,
                          const char *key,
                          size_t key_len,
                          const char *value,
                          size_t value_len,
                          char *message,
                          size_t message_size);

// Frees a configuration. Storages that were made of it stay.
//
// # Arguments
//
// - `config`: the configuration, not to be used again. May be NULL: then nothing happens.
//
// Not thread-safe: no other thread may use `config` meanwhile.
//
// # Safety
//
// `config` must be NULL or come from `rsp_config_new`, and not be freed already.
void rsp_config_free(struct rsp_config *config);

// Prepares a set: everything is 0 or NULL, and `now_s` is `RSP_NOW`.
//
// # Arguments
//
// - `set`: the struct.
// - `size`: `sizeof(rsp_set)`.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` for a size that no version of the struct has, `RSP_NULL_POINTER`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `set` must be NULL or valid for writes of `size` bytes, and aligned.
rsp_status rsp_set_init(struct rsp_set *set, size_t size);

// Makes a storage. Nothing is connected yet and no thread is started.
//
// # Arguments
//
// - `config`: the configuration, which stays the caller's and may be changed or freed afterwards.
//   May be NULL: then every key has its default.
// - `storage_out`: receives the storage, which the caller owns and gives to `rsp_storage_free`.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// `RSP_INVALID_CONFIG` where keys contradict each other, or name a file that cannot be used;
// `RSP_NULL_POINTER`.
//
// Any thread may call this at any time, but none may change `config` meanwhile.
//
// # Safety
//
// `config` must be NULL or a live `rsp_config`; `storage_out` must be NULL or valid for writes;
// `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_new(const struct rsp_config *config,
                           struct rsp_storage **storage_out,
                           char *message,
                           size_t message_size);

// Saves a session; all of it takes place, or nothing. Blocks within the configured timeouts.
//
// # Arguments
//
// - `storage`: the storage.
// - `set`: what is saved; see `rsp_set`.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `set` must be NULL or prepared by
// `rsp_set_init`, with texts and pairs that are NULL or valid for reads of their lengths;
// `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_set(const struct rsp_storage *storage,
                           const struct rsp_set *set,
                           char *message,
                           size_t message_size);

// Reads a session's data. Blocks within the configured timeouts.
//
// # Arguments
//
// - `storage`: the storage.
// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end.
// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`. A session that ended before is
//   not found.
// - `value_out`: receives the data, which the caller owns and gives to `rsp_bytes_free`; NULL where
//   there is no such session, which is no error.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `value_out` is not written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `key` must be NULL or valid for reads of
// `key_len` bytes; `value_out` must be NULL or valid for writes; `message` must be NULL or valid
// for writes of `message_size` bytes.
rsp_status rsp_storage_get(const struct rsp_storage *storage,
                           const char *key,
                           size_t key_len,
                           int64_t now_s,
                           struct rsp_bytes **value_out,
                           char *message,
                           size_t message_size);

// Deletes a session and its metadata; that there is none is no error. Blocks within the configured
// timeouts.
//
// # Arguments
//
// - `storage`: the storage.
// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `key` must be NULL or valid for reads of
// `key_len` bytes; `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_delete(const struct rsp_storage *storage,
                              const char *key,
                              size_t key_len,
                              char *message,
                              size_t message_size);

// Lists the live sessions of a subject. Blocks within the configured timeouts.
//
// # Arguments
//
// - `storage`: the storage.
// - `audience`, `audience_len`, `subject`, `subject_len`: what the sessions were saved under, and
//   the lengths in bytes; no NUL is needed at their ends.
// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`. A session that ended before is
//   left out.
// - `metadata_out`: receives the sessions, never NULL and possibly 0 of them, which the caller owns
//   and gives to `rsp_metadata_free`.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `metadata_out` is not
// written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `audience` and `subject` must be NULL or valid
// for reads of their lengths; `metadata_out` must be NULL or valid for writes; `message` must be
// NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_read_metadata(const struct rsp_storage *storage,
                                     const char *audience,
                                     size_t audience_len,
                                     const char *subject,
                                     size_t subject_len,
                                     int64_t now_s,
                                     struct rsp_metadata **metadata_out,
                                     char *message,
                                     size_t message_size);

// Returns what this process's connections and operations have come to, as Prometheus reads it.
// Storages that share a pool share it. Never blocks.
//
// # Arguments
//
// - `storage`: the storage.
// - `text_out`: receives the text, which the caller owns and gives to `rsp_bytes_free`.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// `RSP_INTERNAL`, `RSP_NULL_POINTER`. After an error `text_out` is not written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `text_out` must be NULL or valid for writes;
// `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_metrics(const struct rsp_storage *storage,
                               struct rsp_bytes **text_out,
                               char *message,
                               size_t message_size);

// Frees a storage. Operations that were submitted to it go on, and other storages of an equal
// configuration stay; so do the connections, until they have idled for long enough.
//
// # Arguments
//
// - `storage`: the storage, not to be used again. May be NULL: then nothing happens.
//
// Not thread-safe: no other thread may use `storage` meanwhile.
//
// # Safety
//
// `storage` must be NULL or come from `rsp_storage_new`, and not be freed already.
void rsp_storage_free(struct rsp_storage *storage);

// Replaces the password that this process opens further connections with; those that are open
// stay. Concerns every storage that shares the connections of this one. Does not wait for the
// database.
//
// # Arguments
//
// - `storage`: the storage.
// - `password`, `password_len`: the new password and its length in bytes; no NUL is needed at its
//   end. It is copied.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// `RSP_INVALID_TEXT`, `RSP_NULL_POINTER`, `RSP_INTERNAL`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `password` must be NULL or valid for reads of
// `password_len` bytes; `message` must be NULL or valid for writes of `message_size` bytes.
rsp_status rsp_storage_set_password(const struct rsp_storage *storage,
                                    const char *password,
                                    size_t password_len,
                                    char *message,
                                    size_t message_size);

// Returns the data's first byte.
//
// # Arguments
//
// - `bytes`: the data. May be NULL.
//
// # Returns
//
// A pointer that is valid until `bytes` is freed; NULL for NULL. The bytes are UTF-8, hold no NUL,
// and have one after their end.
//
// Any thread may call this at any time.
//
// # Safety
//
// `bytes` must be NULL or a live `rsp_bytes` of this library.
const char *rsp_bytes_data(const struct rsp_bytes *bytes);

// Returns the data's length in bytes, without the NUL after its end.
//
// # Arguments
//
// - `bytes`: the data. May be NULL, whose length is 0.
//
// Any thread may call this at any time.
//
// # Safety
//
// `bytes` must be NULL or a live `rsp_bytes` of this library.
size_t rsp_bytes_len(const struct rsp_bytes *bytes);

// Frees data that `rsp_storage_get` has given.
//
// # Arguments
//
// - `bytes`: the data, not to be used again. May be NULL: then nothing happens. What
//   `rsp_completion_value` returns belongs to its completion and must not be freed.
//
// Not thread-safe: no other thread may use `bytes` meanwhile.
//
// # Safety
//
// `bytes` must be NULL or come from `rsp_storage_get`, and not be freed already.
void rsp_bytes_free(struct rsp_bytes *bytes);

// Returns how many sessions there are.
//
// # Arguments
//
// - `metadata`: the sessions. May be NULL, which are 0.
//
// Any thread may call this at any time.
//
// # Safety
//
// `metadata` must be NULL or a live `rsp_metadata` of this library.
size_t rsp_metadata_len(const struct rsp_metadata *metadata);

// Reads one of the sessions.
//
// # Arguments
//
// - `metadata`: the sessions.
// - `index`: which of them, from 0.
// - `key_out`: receives the session's key, UTF-8 without NUL bytes and with one after its end. It
//   is valid until `metadata` is freed.
// - `key_len_out`: receives the key's length in bytes, without that NUL. May be NULL.
// - `expires_s_out`: receives the second in which the session ends, since 1970. May be NULL.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` where there is no such index, `RSP_NULL_POINTER`. After an error no output
// is written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `metadata` must be NULL or a live `rsp_metadata` of this library; the outputs must be NULL or
// valid for writes.
rsp_status rsp_metadata_get(const struct rsp_metadata *metadata,
                            size_t index,
                            const char **key_out,
                            size_t *key_len_out,
                            int64_t *expires_s_out);

// Reads what else an `RSP_LIST` says of one of its sessions.
//
// # Arguments
//
// - `metadata`: the sessions.
// - `index`: which of them, from 0.
// - `name_out`: receives the session's (the cookie's) name, UTF-8 without NUL bytes and with one
//   after its end; NULL for the sessions of a read_metadata. It is valid until `metadata` is freed.
// - `name_len_out`: receives the name's length in bytes, without that NUL. May be NULL.
// - `created_s_out`: receives the second in which the key was first saved, since 1970, or `RSP_NOW`
//   where that is unknown. May be NULL.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` where there is no such index, `RSP_NULL_POINTER`. After an error no output
// is written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `metadata` must be NULL or a live `rsp_metadata` of this library; the outputs must be NULL or
// valid for writes.
rsp_status rsp_metadata_name(const struct rsp_metadata *metadata,
                             size_t index,
                             const char **name_out,
                             size_t *name_len_out,
                             int64_t *created_s_out);

// Frees what `rsp_storage_read_metadata` has given.
//
// # Arguments
//
// - `metadata`: the sessions, not to be used again. May be NULL: then nothing happens. What
//   `rsp_completion_metadata` returns belongs to its completion and must not be freed.
//
// Not thread-safe: no other thread may use `metadata` meanwhile.
//
// # Safety
//
// `metadata` must be NULL or come from `rsp_storage_read_metadata`, and not be freed already.
void rsp_metadata_free(struct rsp_metadata *metadata);

// Makes a queue.
//
// # Arguments
//
// - `queue_out`: receives the queue, which the caller owns and gives to `rsp_queue_free`.
//
// # Errors
//
// `RSP_SYSTEM` where the process may have no more file descriptors (a queue has two),
// `RSP_NULL_POINTER`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `queue_out` must be NULL or valid for writes.
rsp_status rsp_queue_new(struct rsp_queue **queue_out);

// Returns a file descriptor for poll, epoll, select and the like: it is readable while completions
// are ready, and until `rsp_queue_drain` has taken the last of them. With edge-triggered polling,
// drain until none is left.
//
// # Arguments
//
// - `queue`: the queue.
//
// # Returns
//
// The descriptor, which stays the queue's: it must not be read from, written to or closed, and is
// closed by `rsp_queue_free`. -1 where `queue` is NULL.
//
// Any thread may call this at any time.
//
// # Safety
//
// `queue` must be NULL or a live `rsp_queue`.
int rsp_queue_fd(const struct rsp_queue *queue);

// Takes completions that are ready, in the order in which they came. Never blocks.
//
// # Arguments
//
// - `queue`: the queue.
// - `completions`: an array that receives them. The caller owns each and gives it to
//   `rsp_completion_free`.
// - `capacity`: how many the array has room for; what is beyond stays in the queue.
// - `count_out`: receives how many were written to the array; 0 where none is ready.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` in a child of a fork, `RSP_NULL_POINTER`. After an error no output is
// written.
//
// Any thread may call this at any time; each completion is given out once.
//
// # Safety
//
// `queue` must be NULL or a live `rsp_queue`; `completions` must be NULL or valid for writes of
// `capacity` pointers; `count_out` must be NULL or valid for writes.
rsp_status rsp_queue_drain(const struct rsp_queue *queue,
                           struct rsp_completion **completions,
                           size_t capacity,
                           size_t *count_out);

// Frees a queue and closes its descriptor. Completions that were not taken are dropped; operations
// that are under way go on, and their completions are dropped when they come: the `user` pointers
// of both are not given back.
//
// # Arguments
//
// - `queue`: the queue, not to be used again. May be NULL: then nothing happens.
//
// Not thread-safe: no other thread may use `queue` meanwhile.
//
// # Safety
//
// `queue` must be NULL or come from `rsp_queue_new`, and not be freed already.
void rsp_queue_free(struct rsp_queue *queue);

// Prepares a request: everything else is 0 or NULL, and `now_s` is `RSP_NOW`.
//
// # Arguments
//
// - `request`: the struct.
// - `size`: `sizeof(rsp_request)`.
// - `operation`: an `rsp_operation`.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` for a size that no version of the struct has, `RSP_NULL_POINTER`.
//
// Any thread may call this at any time.
//
// # Safety
//
// `request` must be NULL or valid for writes of `size` bytes, and aligned.
rsp_status rsp_request_init(struct rsp_request *request, size_t size, uint32_t operation);

// Carries an operation out. Blocks within the configured timeouts.
//
// # Arguments
//
// - `storage`: the storage.
// - `request`: the operation and its arguments.
// - `completion_out`: receives what came of it, which the caller owns and gives to
//   `rsp_completion_free`; its ticket is 0 and its user pointer NULL.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `completion_out` is not
// written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` must be NULL or a live `rsp_storage`; `request` must be NULL or prepared by
// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths;
// `completion_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
// `message_size` bytes.
rsp_status rsp_storage_call(const struct rsp_storage *storage,
                            const struct rsp_request *request,
                            struct rsp_completion **completion_out,
                            char *message,
                            size_t message_size);

// Submits what `rsp_storage_call` would carry out.
//
// # Arguments
//
// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
//   configured timeouts. Either may be freed before that.
// - `request`: the operation and its arguments. Everything is copied before the call returns.
// - `user`: comes back with the completion, and is never looked into. May be NULL.
// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
//
// Any thread may call this at any time.
//
// # Safety
//
// `storage` and `queue` must be NULL or live handles; `request` must be NULL or prepared by
// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths; `ticket_out`
// must be NULL or valid for writes; `message` must be NULL or valid for writes of `message_size`
// bytes.
rsp_status rsp_storage_submit(const struct rsp_storage *storage,
                              const struct rsp_queue *queue,
                              const struct rsp_request *request,
                              void *user,
                              uint64_t *ticket_out,
                              char *message,
                              size_t message_size);

// Submits `rsp_storage_set`.
//
// # Arguments
//
// `set` is as in `rsp_storage_set`, the others as in `rsp_storage_submit`.
//
// # Errors
//
// Those of `rsp_storage_submit`.
//
// Any thread may call this at any time.
//
// # Safety
//
// As in these two.
rsp_status rsp_storage_submit_set(const struct rsp_storage *storage,
                                  const struct rsp_queue *queue,
                                  const struct rsp_set *set,
                                  void *user,
                                  uint64_t *ticket_out,
                                  char *message,
                                  size_t message_size);

// Submits `rsp_storage_get`; `rsp_completion_value` has the data.
//
// # Arguments
//
// `key` and `now_s` are as in `rsp_storage_get`, the others as in `rsp_storage_submit`.
//
// # Errors
//
// Those of `rsp_storage_submit`.
//
// Any thread may call this at any time.
//
// # Safety
//
// As in these two.
rsp_status rsp_storage_submit_get(const struct rsp_storage *storage,
                                  const struct rsp_queue *queue,
                                  const char *key,
                                  size_t key_len,
                                  int64_t now_s,
                                  void *user,
                                  uint64_t *ticket_out,
                                  char *message,
                                  size_t message_size);

// Submits `rsp_storage_delete`.
//
// # Arguments
//
// `key` is as in `rsp_storage_delete`, the others as in `rsp_storage_submit`.
//
// # Errors
//
// Those of `rsp_storage_submit`.
//
// Any thread may call this at any time.
//
// # Safety
//
// As in these two.
rsp_status rsp_storage_submit_delete(const struct rsp_storage *storage,
                                     const struct rsp_queue *queue,
                                     const char *key,
                                     size_t key_len,
                                     void *user,
                                     uint64_t *ticket_out,
                                     char *message,
                                     size_t message_size);

// Submits `rsp_storage_read_metadata`; `rsp_completion_metadata` has the sessions.
//
// # Arguments
//
// `audience`, `subject` and `now_s` are as in `rsp_storage_read_metadata`, the others as in
// `rsp_storage_submit`.
//
// # Errors
//
// Those of `rsp_storage_submit`.
//
// Any thread may call this at any time.
//
// # Safety
//
// As in these two.
rsp_status rsp_storage_submit_read_metadata(const struct rsp_storage *storage,
                                            const struct rsp_queue *queue,
                                            const char *audience,
                                            size_t audience_len,
                                            const char *subject,
                                            size_t subject_len,
                                            int64_t now_s,
                                            void *user,
                                            uint64_t *ticket_out,
                                            char *message,
                                            size_t message_size);

// Returns the pointer that the operation was submitted with.
//
// # Arguments
//
// - `completion`: the completion. May be NULL, whose pointer is NULL.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`.
void *rsp_completion_user(const struct rsp_completion *completion);

// Returns the ticket that the operation was submitted under.
//
// # Arguments
//
// - `completion`: the completion. May be NULL, whose ticket is 0, which no operation has.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`.
uint64_t rsp_completion_ticket(const struct rsp_completion *completion);

// Returns what became of the operation, as the blocking function would.
//
// # Arguments
//
// - `completion`: the completion.
// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
//
// # Errors
//
// Those of the operation; `RSP_NULL_POINTER` where `completion` is NULL.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`; `message` must be NULL or valid for writes
// of `message_size` bytes.
rsp_status rsp_completion_status(const struct rsp_completion *completion,
                                 char *message,
                                 size_t message_size);

// Returns the data that a get has found, or the text of an operation that answers one; see
// `rsp_operation`.
//
// # Arguments
//
// - `completion`: the completion. May be NULL.
//
// # Returns
//
// The data, which belongs to the completion: it is valid until that is freed, and must not be freed
// itself. NULL where there is no such session, after a failure, and for operations without a text.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`.
const struct rsp_bytes *rsp_completion_value(const struct rsp_completion *completion);

// Returns the sessions that a read_metadata or an `RSP_LIST` has found.
//
// # Arguments
//
// - `completion`: the completion. May be NULL.
//
// # Returns
//
// The sessions, which belong to the completion: they are valid until that is freed, and must not be
// freed themselves. NULL after a failure and for other operations.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`.
const struct rsp_metadata *rsp_completion_metadata(const struct rsp_completion *completion);

// Returns the number that an operation has answered; see `rsp_operation`.
//
// # Arguments
//
// - `completion`: the completion. May be NULL.
//
// # Returns
//
// The number; 0 after a failure and for operations that answer none.
//
// Any thread may call this at any time.
//
// # Safety
//
// `completion` must be NULL or a live `rsp_completion`.
uint64_t rsp_completion_count(const struct rsp_completion *completion);

// Frees a completion with its results.
//
// # Arguments
//
// - `completion`: the completion, not to be used again. May be NULL: then nothing happens. The
//   queue may be freed before.
//
// Not thread-safe: no other thread may use `completion` meanwhile.
//
// # Safety
//
// `completion` must be NULL or come from `rsp_queue_drain` or `rsp_storage_call`, and not be freed
// already.
void rsp_completion_free(struct rsp_completion *completion);

// Takes the lines that wait for the host's log. Call it now and then, after a failure, for example:
// no more than some dozens of lines are kept.
//
// # Arguments
//
// - `log_out`: receives the lines, which the caller owns and gives to `rsp_log_free`; NULL where
//   none waits, which costs next to nothing.
//
// # Errors
//
// `RSP_NULL_POINTER`.
//
// Any thread may call this at any time; each line is given out once.
//
// # Safety
//
// `log_out` must be NULL or valid for writes.
rsp_status rsp_log_take(struct rsp_log **log_out);

// Returns how many lines there are.
//
// # Arguments
//
// - `log`: the lines. May be NULL, which are 0.
//
// Any thread may call this at any time.
//
// # Safety
//
// `log` must be NULL or a live `rsp_log`.
size_t rsp_log_len(const struct rsp_log *log);

// Reads one of the lines.
//
// # Arguments
//
// - `log`: the lines.
// - `index`: which of them, from 0.
// - `level_out`: receives how urgent the line is. May be NULL.
// - `text_out`: receives the line, UTF-8 with a NUL and without a line feed at its end, and without
//   secrets. It is valid until `log` is freed.
//
// # Errors
//
// `RSP_INVALID_ARGUMENT` where there is no such index, `RSP_NULL_POINTER`. After an error no output
// is written.
//
// Any thread may call this at any time.
//
// # Safety
//
// `log` must be NULL or a live `rsp_log`; the outputs must be NULL or valid for writes.
rsp_status rsp_log_get(const struct rsp_log *log,
                       size_t index,
                       rsp_log_level *level_out,
                       const char **text_out);

// Frees lines.
//
// # Arguments
//
// - `log`: the lines, not to be used again. May be NULL: then nothing happens.
//
// Not thread-safe: no other thread may use `log` meanwhile.
//
// # Safety
//
// `log` must be NULL or come from `rsp_log_take`, and not be freed already.
void rsp_log_free(struct rsp_log *log);

// Has lines given to a function as they come up, instead of keeping them for `rsp_log_take`. Lines
// that wait already are given to it at once.
//
// # Arguments
//
// - `function`: the function. It is called on any thread, by one at a time, and those that serve
//   sessions wait for it: it should not take long. It must not end its thread or unwind, and must
//   call no function of this library but this one. NULL takes the function away.
// - `user`: what the function gets as its first argument. May be NULL.
//
// Any thread may call this at any time. When it returns, a function that was set before is not
// running any more, unless that is what calls this. A child of a fork keeps the function.
//
// # Safety
//
// `function` must be NULL or callable with `user` on any thread until it is taken away, and while
// the process exits.
void rsp_log_set_function(rsp_log_function function, void *user);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RESTY_SESSION_POSTGRES_H */
