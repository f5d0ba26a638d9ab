/*
 * resty-session-postgres: a PostgreSQL session storage.
 *
 * Generated from the Rust sources; `make generate` writes it anew.
 */

#ifndef RESTY_SESSION_POSTGRES_H
#define RESTY_SESSION_POSTGRES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the library's version, such as "0.1.0".
//
// The text is NUL-terminated, static, and must not be freed. Any thread may call this at any time.
const char *rsp_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RESTY_SESSION_POSTGRES_H */
