/*
 * resty-session-postgres: a PostgreSQL session storage.
 *
 * Generated from the Rust sources by `make generate`.
 *
 * Conventions. They hold for every function; a function's own comment says only what differs.
 *
 * Errors: a function that can fail returns an rsp_status and ends in the parameters message and
 * message_size: a buffer of the caller and its size in bytes. On failure the function writes a message
 * to the buffer. The message ends in NUL and is cut between two characters if it does not fit. It
 * contains no session key, no session data and no password. message may be NULL. Every such function
 * may return RSP_NULL_POINTER and RSP_INTERNAL; its comment lists the others.
 *
 * Pointers: no argument may be NULL, unless its comment says so. A function that can fail then returns
 * RSP_NULL_POINTER; one that cannot returns NULL, 0 or false; one that frees does nothing.
 *
 * Outputs: a parameter whose name ends in _out is written on success only. Outputs of functions that
 * cannot fail may be NULL.
 *
 * Texts: a text is a pointer and a length in bytes. It needs no NUL at its end. With the length
 * RSP_NUL_TERMINATED it ends before its first NUL. The length 0 is refused, since it is probably a
 * forgotten one; the empty text is "" with RSP_NUL_TERMINATED. Names of operations, parameters and
 * configuration keys have no length and end in NUL. Texts are UTF-8 without NUL bytes, of at most
 * 16 MiB. The library copies what it keeps before the function returns.
 *
 * Ownership: a handle that a function gives to the caller belongs to the caller until its _free
 * function. Handles may be freed in any order. Texts and pointers that a function returns belong to the
 * handle that they were read from and are valid until it is freed; such a text ends in a NUL that its
 * length does not count.
 *
 * Threads: any thread may call any function. Several threads may use a storage, a queue, a completion
 * or a log at the same time. While a function changes a configuration or a request, no other thread
 * may use it. While a _free function runs, and after it, no thread may use the handle.
 *
 * fork: a child may use the storages of its parent, and opens connections of its own. A queue belongs
 * to the process that made it: in a child only rsp_queue_free accepts it.
 *
 * Time: durations are seconds, points in time are seconds since 1970-01-01 00:00:00 UTC. The parameters
 * of requests may be fractional. (Configuration keys are milliseconds.)
 *
 * The library writes nothing to stdout or stderr, and installs no signal handler.
 */

#ifndef RESTY_SESSION_POSTGRES_H
#define RESTY_SESSION_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The version of this header; rsp_version() is the library's.
#define RSP_VERSION_MAJOR 0
#define RSP_VERSION_MINOR 2
#define RSP_VERSION_PATCH 0
#define RSP_VERSION_STRING "0.2.0"

// In the place of a text's length: the text ends in NUL.
#define RSP_NUL_TERMINATED ((size_t)-1)

// The result of a call. A number never changes its meaning. Later versions may add numbers: treat an
// unknown one as a failure.
enum rsp_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Success.
  RSP_OK = 0,
  // A pointer that must not be NULL is NULL; the message names the parameter.
  RSP_NULL_POINTER = 1,
  // An argument that no call may have: an unknown name, a missing argument, a number out of range.
  RSP_INVALID_ARGUMENT = 2,
  // A text that is not accepted: an empty key, the length 0, a NUL byte, invalid UTF-8, more than
  // 16 MiB.
  RSP_INVALID_TEXT = 3,
  // A configuration key is unknown, or its value is not accepted.
  RSP_INVALID_CONFIG = 4,
  // As many operations wait as the backlog allows. Try again later.
  RSP_BACKLOG_FULL = 5,
  // No connection became free or could be opened within connect_timeout.
  RSP_NO_CONNECTION = 6,
  // The server refused the connection: a wrong password, an unknown database, a certificate.
  RSP_REFUSED = 7,
  // The server did not answer within send_timeout and read_timeout together.
  RSP_TIMEOUT = 8,
  // The connection broke, and a second try did not succeed.
  RSP_CONNECTION_LOST = 9,
  // Another transaction held the session's row until the deadline.
  RSP_LOCKED = 10,
  // The server rejected the statement; the message ends in the SQLSTATE.
  RSP_DATABASE = 11,
  // The subject already has as many live sessions as max_sessions_per_subject allows.
  RSP_TOO_MANY_SESSIONS = 12,
  // The process is exiting, and the storage stops with it.
  RSP_STOPPED = 13,
  // The operating system refused something, such as one more file descriptor.
  RSP_SYSTEM = 14,
  // A defect of this library. The operation may have been carried out or not.
  RSP_INTERNAL = 15,
  // The answer is larger than the library hands out: a session's data, or a list of sessions.
  RSP_TOO_LARGE = 16,
  // The session that the save names was ended: it was deleted or revoked. Nothing was saved.
  RSP_SESSION_ENDED = 17,
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
  // Normal operation.
  RSP_LOG_LEVEL_INFO = 0,
  // Unusual, but no failure.
  RSP_LOG_LEVEL_NOTICE = 1,
  // Needs attention: a connection that was lost, for example.
  RSP_LOG_LEVEL_WARN = 2,
  // Operations fail: a server cannot be reached, or a table is missing. Or a defect of this library.
  RSP_LOG_LEVEL_ERROR = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rsp_log_level rsp_log_level;
#else
typedef uint32_t rsp_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The outcome of an operation. Which functions have something to return depends on the operation;
// the others return NULL, 0 or false.
typedef struct rsp_completion rsp_completion;

// A configuration in the making, to make storages of.
typedef struct rsp_config rsp_config;

// Lines for the host's log, the oldest first.
typedef struct rsp_log rsp_log;

// Receives the completions of submitted operations, of any number of storages.
typedef struct rsp_queue rsp_queue;

// An operation with its arguments. It may be carried out several times, and changed in between.
typedef struct rsp_request rsp_request;

// A session storage. Storages of equal configurations share one pool of connections. The first
// operation of a process opens it; it lasts until the process ends.
typedef struct rsp_storage rsp_storage;

// Writes a line to the host's log. user: the pointer that was set with the function. text: as of
// rsp_log_line, valid until the function returns.
typedef void (*rsp_log_function)(void *user, rsp_log_level level, const char *text);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the version of the library that is loaded, such as "0.2.0", as a static text.
// RSP_VERSION_STRING is the version of the header.
const char *rsp_version(void);

// Returns the name of a status, such as "RSP_TIMEOUT", as a static text; "RSP_UNKNOWN" for a number
// that this version does not have.
const char *rsp_status_name(uint32_t status);

// Makes a configuration in which every key has its default.
rsp_status rsp_config_new(rsp_config **config_out, char *message, size_t message_size);

// Sets a key, listed in docs/configuration.md. The last value of a key holds. A value is a text: a
// number in decimal digits, a boolean as "true", "false", "on" or "off", a list separated by commas.
// Times are milliseconds.
//
// Errors: RSP_INVALID_CONFIG for an unknown key or a value that the key does not accept,
// RSP_INVALID_TEXT. The configuration is then unchanged.
rsp_status rsp_config_set(rsp_config *config,
                          const char *key,
                          const char *value,
                          size_t value_len,
                          char *message,
                          size_t message_size);

// Sets the keys that a connection string of libpq names: "postgres://user@host/database" or
// "host=... dbname=...". Empty values leave keys unchanged.
//
// Errors: RSP_INVALID_CONFIG, RSP_INVALID_TEXT. The configuration is then unchanged.
rsp_status rsp_config_dsn(rsp_config *config,
                          const char *dsn,
                          size_t dsn_len,
                          char *message,
                          size_t message_size);

// Sets the keys for which libpq has an environment variable (PGHOST, PGUSER, ...) from those that
// are set and not empty. No other function reads these variables.
//
// Errors: RSP_INVALID_CONFIG. The configuration is then unchanged.
rsp_status rsp_config_environment(rsp_config *config, char *message, size_t message_size);

// Frees a configuration.
void rsp_config_free(rsp_config *config);

// Makes a storage. It does not connect and starts no thread.
//
// config may be NULL: every key then has its default. It may be changed or freed afterwards.
//
// Errors: RSP_INVALID_CONFIG for keys that contradict each other, or that name a file which cannot
// be used.
rsp_status rsp_storage_new(const rsp_config *config,
                           rsp_storage **storage_out,
                           char *message,
                           size_t message_size);

// Replaces the password with which this process opens further connections. Open connections stay.
// It concerns all storages that share the connections of this one, and does not wait for the
// database.
//
// Errors: RSP_INVALID_TEXT.
rsp_status rsp_storage_set_password(const rsp_storage *storage,
                                    const char *password,
                                    size_t password_len,
                                    char *message,
                                    size_t message_size);

// Reads the counters of this process's connections and operations. The value of the completion is a
// text in Prometheus' format. Storages that share connections share the counters. It does not wait
// for the database.
rsp_status rsp_storage_metrics(const rsp_storage *storage,
                               rsp_completion **completion_out,
                               char *message,
                               size_t message_size);

// Frees a storage. Submitted operations go on; connections stay open for other storages that share
// them, and until keepalive_timeout.
void rsp_storage_free(rsp_storage *storage);

// Makes a request for an operation by its name: "get", "set", "revoke" and so on. docs/c.md lists the
// operations and their parameters.
//
// Errors: RSP_INVALID_ARGUMENT for an unknown operation.
rsp_status rsp_request_new(const char *operation,
                           rsp_request **request_out,
                           char *message,
                           size_t message_size);

// Sets a parameter that takes a text, such as "key". A parameter may be set again.
//
// Errors: RSP_INVALID_ARGUMENT for a parameter that the operation does not have or that takes
// something else, RSP_INVALID_TEXT. The request is then unchanged. Whether PostgreSQL can store the
// text is checked when the request is carried out.
rsp_status rsp_request_text(rsp_request *request,
                            const char *parameter,
                            const char *text,
                            size_t text_len,
                            char *message,
                            size_t message_size);

// Sets a parameter that takes a number, such as "ttl".
//
// Errors: RSP_INVALID_ARGUMENT, as in rsp_request_text.
rsp_status rsp_request_number(rsp_request *request,
                              const char *parameter,
                              double number,
                              char *message,
                              size_t message_size);

// Sets a parameter that takes a boolean, such as "remember".
//
// Errors: RSP_INVALID_ARGUMENT, as in rsp_request_text.
rsp_status rsp_request_flag(rsp_request *request,
                            const char *parameter,
                            bool flag,
                            char *message,
                            size_t message_size);

// Adds a pair of an audience and a subject to a parameter that takes pairs, such as "metadata".
//
// Errors: RSP_INVALID_ARGUMENT and RSP_INVALID_TEXT, as in rsp_request_text.
rsp_status rsp_request_pair(rsp_request *request,
                            const char *parameter,
                            const char *audience,
                            size_t audience_len,
                            const char *subject,
                            size_t subject_len,
                            char *message,
                            size_t message_size);

// Removes all arguments from a request.
void rsp_request_clear(rsp_request *request);

// Frees a request.
void rsp_request_free(rsp_request *request);

// Carries a request out and waits for its completion, within the configured timeouts. If no other
// operation is under way, its statement runs on the caller's own thread.
//
// completion_out may be NULL if only the status matters. On failure there is no completion.
//
// Errors: any status but RSP_INVALID_CONFIG and RSP_SYSTEM.
rsp_status rsp_call(const rsp_storage *storage,
                    const rsp_request *request,
                    rsp_completion **completion_out,
                    char *message,
                    size_t message_size);

// Submits a request and returns at once. Its completion comes to the queue within the configured
// timeouts, also if the operation fails.
//
// user: any pointer, for rsp_completion_user; the library does not follow it. ticket_out: receives
// the completion's ticket, never 0; it may be NULL.
//
// Errors: RSP_INVALID_ARGUMENT, RSP_INVALID_TEXT, RSP_BACKLOG_FULL, RSP_STOPPED. No completion comes
// then.
rsp_status rsp_submit(const rsp_storage *storage,
                      const rsp_queue *queue,
                      const rsp_request *request,
                      void *user,
                      uint64_t *ticket_out,
                      char *message,
                      size_t message_size);

// Reads a session's data, as rsp_call does for the request "get" with the parameter "key". The
// completion has no value if there is no live session of that key.
rsp_status rsp_get(const rsp_storage *storage,
                   const char *key,
                   size_t key_len,
                   rsp_completion **completion_out,
                   char *message,
                   size_t message_size);

// Saves a session, as rsp_call does for the request "set" with the parameters "name", "key", "value"
// and "ttl".
//
// ttl: seconds from now until the session expires.
rsp_status rsp_set(const rsp_storage *storage,
                   const char *name,
                   size_t name_len,
                   const char *key,
                   size_t key_len,
                   const char *value,
                   size_t value_len,
                   double ttl,
                   char *message,
                   size_t message_size);

// Deletes a session, as rsp_call does for the request "delete" with the parameter "key". It succeeds
// also if there is no such session.
rsp_status rsp_delete(const rsp_storage *storage,
                      const char *key,
                      size_t key_len,
                      char *message,
                      size_t message_size);

// Returns the status of the operation, with its message. RSP_OK means that it was carried out, and
// that a write is committed.
rsp_status rsp_completion_status(const rsp_completion *completion,
                                 char *message,
                                 size_t message_size);

// Returns the pointer that was given to rsp_submit.
void *rsp_completion_user(const rsp_completion *completion);

// Returns the ticket that rsp_submit gave out; 0 if the operation was not submitted.
uint64_t rsp_completion_ticket(const rsp_completion *completion);

// Returns the data of a session (get), or NULL if there is no live session.
const char *rsp_completion_value(const rsp_completion *completion, size_t *len_out);

// Returns whether there is such a live session (get, touch).
bool rsp_completion_found(const rsp_completion *completion);

// Returns the number that an operation answers: of counted, revoked or deleted sessions.
uint64_t rsp_completion_count(const rsp_completion *completion);

// Returns the number of listed sessions (list, read_metadata). rsp_completion_limited says whether
// there may be more.
size_t rsp_completion_sessions(const rsp_completion *completion);

// Returns whether a list ended at its limit, which is 1000 if the request sets none. There may then be
// more sessions: set the parameter "after_key" to the last key of this list, and call again.
bool rsp_completion_limited(const rsp_completion *completion);

// Returns the key of a listed session, or NULL if there is no session of that index.
const char *rsp_completion_session_key(const rsp_completion *completion,
                                       size_t index,
                                       size_t *len_out);

// Returns the (cookie's) name of a listed session, or NULL if the operation does not read names
// (read_metadata).
const char *rsp_completion_session_name(const rsp_completion *completion,
                                        size_t index,
                                        size_t *len_out);

// Reads the second in which a listed session expires. Returns false if there is no session of that
// index.
bool rsp_completion_session_expires(const rsp_completion *completion,
                                    size_t index,
                                    int64_t *expires_out);

// Reads when the key of a listed session was first saved. Returns false if that is unknown: only
// list reads it, from a sessions table with the column "created".
bool rsp_completion_session_created(const rsp_completion *completion,
                                    size_t index,
                                    int64_t *created_out);

// Returns the number of findings about the tables (check), or of changes to them (migrate).
size_t rsp_completion_findings(const rsp_completion *completion);

// Returns what a finding says is wrong or slow, or NULL if there is no finding of that index.
const char *rsp_completion_finding_problem(const rsp_completion *completion,
                                           size_t index,
                                           size_t *len_out);

// Returns the statements that repair what a finding describes, or NULL if there are none, or no
// finding of that index.
const char *rsp_completion_finding_repair(const rsp_completion *completion,
                                          size_t index,
                                          size_t *len_out);

// Returns whether a finding is advice: nothing is wrong. False if there is no finding of that index.
bool rsp_completion_finding_is_advice(const rsp_completion *completion,
                                      size_t index);

// Frees a completion.
void rsp_completion_free(rsp_completion *completion);

// Makes a queue.
//
// Errors: RSP_SYSTEM if no file descriptor is left.
rsp_status rsp_queue_new(rsp_queue **queue_out, char *message, size_t message_size);

// Returns a file descriptor for poll, epoll and the like. It is readable while completions are ready.
// It must not be read from or closed. It is closed when the queue is freed. -1 for NULL.
int rsp_queue_fd(const rsp_queue *queue);

// Takes completions that are ready, the oldest first. It does not block.
//
// completions: an array of capacity pointers, which receives the completions. count_out: receives
// their number, possibly 0. The descriptor stays readable if some are left.
//
// Errors: RSP_INVALID_ARGUMENT for a queue that was made before a fork.
rsp_status rsp_queue_drain(const rsp_queue *queue,
                           rsp_completion **completions,
                           size_t capacity,
                           size_t *count_out,
                           char *message,
                           size_t message_size);

// Frees a queue. Operations under way go on, and their completions are dropped.
void rsp_queue_free(rsp_queue *queue);

// Takes the lines that wait for the host's log, or returns NULL if none waits, which is cheap. Each
// line is given out once. The library keeps at most 64: call this after failures, or now and then.
rsp_log *rsp_log_take(void);

// Returns a line, without secrets and without a line feed; NULL if there is no line of that index.
const char *rsp_log_line(const rsp_log *log, size_t index, rsp_log_level *level_out);

// Frees lines.
void rsp_log_free(rsp_log *log);

// Sets a function that is called with each line at once, in place of rsp_log_take, and first with the
// lines that already wait. NULL removes it.
//
// The library calls the function on any thread, one call at a time, and threads that serve sessions
// wait for it: it should return quickly. It must not end its thread, unwind, or call a function of
// this library but this one. When this returns, the previous function does not run any more, unless
// it made this call. A child process keeps the function.
void rsp_log_set_function(rsp_log_function function,
                          void *user);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RESTY_SESSION_POSTGRES_H */
