//! A TLS handshake, which may wait as well: there is no request yet, only the name that the client
//! asks for.
//!
//! Of its phases only ssl_certificate is tried. In the other two, ssl_client_hello and
//! ssl_session_fetch, nothing may yield in an nginx without OpenResty's patches, not even ngx.sleep.

use std::os::unix::net::UnixStream;
use std::path::Path;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use super::site::{self, assert_answer};
use crate::support;
use crate::tls::pki::{Authority, Folder};

/// One handshake, in which the client asks for that name.
fn handshake(socket: &Path, name: &str) {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
    connector.set_verify(SslVerifyMode::NONE);
    let stream = UnixStream::connect(socket).expect("nginx listens");
    connector.build().connect(name, stream).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn a_handshake_that_waits_holds_up_no_request() {
    let (folder, issued) = (Folder::new(), Authority::new("ours").server(&[]));
    let socket = folder.path("tls");
    let tls = format!(
        "listen unix:{socket} ssl;
         ssl_certificate {certificate};
         ssl_certificate_key {key};
         ssl_certificate_by_lua_block {{
             local name = require('ngx.ssl').server_name()
             local args = {{ ['do'] = 'set', key = name, value = 'was here' }}
             require('site').record(ngx.get_phase(), args)
         }}",
        socket = socket.display(),
        certificate = folder.write("crt", issued.certificate),
        key = folder.write("key", issued.key),
    );
    let site = site::on(support::shared()).nginx(|nginx| nginx.server(&tls)).start();
    let outcome = || site.nginx.get("/outcome?of=ssl_cert");
    let name = "shop.example";

    handshake(&socket, name);
    assert_answer(&outcome(), 200, "true");
    assert_answer(&site.get(name), 200, "was here");

    assert_answer(&site.set(name, "changed"), 200, "true");
    site.assert_waits_for_row(name, || handshake(&socket, name));
    assert_answer(&outcome(), 200, "true");
    assert_answer(&site.get(name), 200, "was here");
}
