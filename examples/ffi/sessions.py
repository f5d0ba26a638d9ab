"""The operations from Python's ctypes. Each call blocks until PostgreSQL has answered.

    python3 sessions.py "host=db dbname=sessions"

The system finds the library after ldconfig (docs/installing.md), or with
LD_LIBRARY_PATH=/opt/sessions/lib. ctypes reads no declarations; this has those that it needs.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int64, c_size_t, c_uint32, c_void_p

# With the number in its soname, so that an incompatible version is not loaded.
library = ctypes.CDLL("libresty_session_postgres.so.0.2")

TEXT = (c_char_p, c_size_t)  # a text and its length in bytes
OUT = POINTER(c_void_p)
MESSAGE = (c_char_p, c_size_t)  # the last two parameters of a function that can fail


def declare(name, result, *parameters):
    function = getattr(library, name)
    function.restype = result
    function.argtypes = parameters
    return function


# They return a status.
CAN_FAIL = {
    "config_new": (OUT,),
    "config_dsn": (c_void_p, *TEXT),
    "config_environment": (c_void_p,),
    "storage_new": (c_void_p, OUT),
    "request_new": (c_char_p, OUT),
    "request_text": (c_void_p, c_char_p, *TEXT),
    "request_number": (c_void_p, c_char_p, c_double),
    "request_flag": (c_void_p, c_char_p, c_bool),
    "request_pair": (c_void_p, c_char_p, *TEXT, *TEXT),
    "call": (c_void_p, c_void_p, OUT),
}
functions = {
    name: declare("rsp_" + name, c_uint32, *parameters, *MESSAGE)
    for name, parameters in CAN_FAIL.items()
}
status_name = declare("rsp_status_name", c_char_p, c_uint32)
# c_void_p: ctypes would end a c_char_p at its first NUL, and not give the pointer.
completion_value = declare("rsp_completion_value", c_void_p, c_void_p, POINTER(c_size_t))
completion_sessions = declare("rsp_completion_sessions", c_size_t, c_void_p)
completion_limited = declare("rsp_completion_limited", c_bool, c_void_p)
session_key = declare(
    "rsp_completion_session_key", c_void_p, c_void_p, c_size_t, POINTER(c_size_t)
)
session_expires = declare(
    "rsp_completion_session_expires", c_bool, c_void_p, c_size_t, POINTER(c_int64)
)


class SessionError(Exception):
    """A status that is not RSP_OK, with the library's message."""


def check(name, *arguments):
    message = ctypes.create_string_buffer(256)
    status = functions[name](*arguments, message, len(message))
    if status != 0:
        text = message.value.decode()
        raise SessionError(f"{status_name(status).decode()}: {text}")


def text(value):
    """A text and its length. The length 0 is refused; the empty text has RSP_NUL_TERMINATED."""
    data = value.encode()
    return data, len(data) or c_size_t(-1).value


class Handle:
    """A handle of the library, which is freed with this object."""

    def __init__(self, kind, new, *arguments):
        self.free = declare(f"rsp_{kind}_free", None, c_void_p)
        pointer = c_void_p()
        check(new, *arguments, byref(pointer))
        self._as_parameter_ = pointer

    def __del__(self):
        if hasattr(self, "_as_parameter_"):
            self.free(self._as_parameter_)


class Storage:
    """A storage; any thread may use it."""

    def __init__(self, dsn):
        config = Handle("config", "config_new")
        if dsn is None:
            check("config_environment", config)  # PGHOST, PGDATABASE and so on, as psql reads them
        else:
            check("config_dsn", config, *text(dsn))
        self.handle = Handle("storage", "storage_new", config)

    def call(self, operation, **arguments):
        """Carries an operation out. Its arguments are those of docs/c.md, by their names."""
        request = Handle("request", "request_new", operation.encode())
        for name, value in arguments.items():
            parameter = name.encode()
            if isinstance(value, bool):
                check("request_flag", request, parameter, value)
            elif isinstance(value, (int, float)):
                check("request_number", request, parameter, value)
            elif isinstance(value, str):
                check("request_text", request, parameter, *text(value))
            else:
                for audience, subject in value:
                    check("request_pair", request, parameter, *text(audience), *text(subject))
        return Handle("completion", "call", self.handle, request)

    def get(self, key):
        completion = self.call("get", key=key)
        length = c_size_t()
        value = completion_value(completion, byref(length))
        return value and ctypes.string_at(value, length.value).decode()

    def list(self, **arguments):
        """All sessions, as pairs of a key and the second in which it expires, a page at a time."""
        while True:
            completion = self.call("list", **arguments)
            for index in range(completion_sessions(completion)):
                length, expires = c_size_t(), c_int64()
                key = session_key(completion, index, byref(length))
                session_expires(completion, index, byref(expires))
                key = ctypes.string_at(key, length.value).decode()
                yield key, expires.value
            if not completion_limited(completion):
                return
            arguments["after_key"] = key


def main():
    storage = Storage(sys.argv[1] if len(sys.argv) > 1 else None)
    key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ"
    value = '{"visits":1}'
    storage.call("set", name="session", key=key, value=value, ttl=3600, metadata=[("shop", "ada")])
    print("saved")
    print("found:", storage.get(key))
    for found, expires in storage.list(audience="shop", subject="ada"):
        print(f"1 session, {found}, which expires at {expires}")
    storage.call("delete", key=key)
    print("deleted")
    print(storage.get(key) or "gone")


main()
