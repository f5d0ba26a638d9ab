//! A TLS handshake, which may wait as well: there is no request yet, only the name that the client
//! asks for.
//!
//! Of its phases only ssl_certificate is tried. In the other two, ssl_client_hello and
//! ssl_session_fetch, nothing may yield in an nginx without OpenResty's patches, not even ngx.sleep.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;

use super::site::{self, assert_answer, timed};
use crate::support::{self, process};

/// A certificate that nobody has to trust, with its key, in one file.
fn write_certificate(path: &Path) {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let key = EcKey::generate(&curve).and_then(PKey::from_ec_key);
    let key = key.expect("a key");
    let mut builder = X509::builder().expect("a certificate");
    let valid_until = Asn1Time::days_from_now(2).expect("a time");
    let valid_from = Asn1Time::days_from_now(0).expect("a time");
    builder.set_not_before(&valid_from).expect("room");
    builder.set_not_after(&valid_until).expect("room");
    builder.set_pubkey(&key).expect("a key");
    builder
        .sign(&key, MessageDigest::sha256())
        .expect("a signature");
    let mut pem = key.private_key_to_pem_pkcs8().expect("text");
    pem.extend(builder.build().to_pem().expect("text"));
    std::fs::write(path, pem).expect("a file");
}

/// One handshake, in which the client asks for that name.
fn handshake(socket: &Path, name: &str) {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
    connector.set_verify(SslVerifyMode::NONE);
    let stream = UnixStream::connect(socket).expect("nginx listens");
    connector
        .build()
        .connect(name, stream)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn a_handshake_that_waits_holds_up_nobody() {
    let folder = process::folder();
    let socket = folder.path().join("tls");
    let certificate = folder.path().join("certificate");
    write_certificate(&certificate);
    let tls = format!(
        "listen unix:{socket} ssl;
         ssl_certificate {certificate};
         ssl_certificate_key {certificate};
         ssl_certificate_by_lua_block {{
             local name = require('ngx.ssl').server_name()
             local args = {{ ['do'] = 'set', key = name, value = 'was here' }}
             require('site').record(ngx.get_phase(), args)
         }}",
        socket = socket.display(),
        certificate = certificate.display(),
    );
    let site = site::on(support::shared())
        .nginx(|nginx| nginx.server(&tls))
        .start();
    let outcome = || site.nginx.get("/outcome?of=ssl_cert");
    let name = "shop.example";

    handshake(&socket, name);
    assert_answer(&outcome(), 200, "true");
    assert_answer(&site.get(name), 200, "was here");

    assert_answer(&site.set(name, "changed"), 200, "true");
    let mut sql = site.sql();
    let holder = site::lock_row(&mut sql, name);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| handshake(&socket, name));
        thread::sleep(Duration::from_millis(100));
        let (response, took) = timed(|| site.nginx.get("/plain"));
        assert_answer(&response, 200, "plain");
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert!(!waiting.is_finished(), "it did not wait");
        holder.rollback().expect("a transaction to end");
    });
    assert_answer(&outcome(), 200, "true");
    assert_answer(&site.get(name), 200, "was here");
    site.nginx.assert_clean_log();
}
