//! The files that the configuration names. They are read when a storage is made, where nginx may
//! still be root, and again after a failed attempt, because they may have been renewed.

use crate::Error;
use crate::config::{TlsConfig, TlsMode, Verify};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509StoreBuilder, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the files held when they were read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    root: Option<Vec<u8>>,
    revoked: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// Makes a configuration error of a key.
fn unusable(key: &'static str) -> impl Fn(&dyn Display) -> Error {
    move |reason| Error::config(key, reason.to_string())
}

impl Files {
    /// Reads the files and checks what they hold.
    pub(crate) fn read(config: &TlsConfig) -> Result<Self, Error> {
        if config.mode == TlsMode::Off {
            return Ok(Files::default());
        }
        let read = |key, path: &Path| {
            let content = fs::read(path);
            content.map_err(|error| cannot_read(key, path, &error))
        };
        let client = config.client.as_ref();
        let optional = |key, path: Option<&Path>| path.map(|path| read(key, path)).transpose();
        let files = Files {
            root: optional("sslrootcert", config.root.as_deref())?,
            revoked: optional("sslcrl", config.revoked.as_deref())?,
            certificate: optional("sslcert", client.map(|client| &*client.certificate))?,
            key: client.map(|client| read_private(&client.key)).transpose()?,
        };
        connector(config, &files)?;
        Ok(files)
    }
}

fn cannot_read(key: &'static str, path: &Path, error: &io::Error) -> Error {
    unusable(key)(&format!("cannot read {}: {error}", path.display()))
}

/// A private key. As in libpq, others than its owner must not be able to read it.
fn read_private(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |error| cannot_read("sslkey", path, &error);
    let mut file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let open_to = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & open_to != 0 {
        let path = path.display();
        return Err(unusable("sslkey")(&format!(
            "{path} may be read by others than its owner (chmod 600)"
        )));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(fail)?;
    Ok(content)
}

/// The connector that makes the TLS sessions.
pub(super) fn connector(config: &TlsConfig, files: &Files) -> Result<SslConnector, Error> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())
        .map_err(|error| unusable("sslmode")(&error))?;
    let least = match config.least_version {
        "TLSv1" => SslVersion::TLS1,
        "TLSv1.1" => SslVersion::TLS1_1,
        "TLSv1.3" => SslVersion::TLS1_3,
        _ => SslVersion::TLS1_2,
    };
    builder
        .set_min_proto_version(Some(least))
        .map_err(|error| unusable("ssl_min_protocol_version")(&error))?;
    builder
        .set_alpn_protos(b"\x0apostgresql")
        .map_err(|error| unusable("sslnegotiation")(&error))?;
    if config.verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    }
    trust(&mut builder, files)?;
    if let (Some(client), Some(certificate), Some(key)) =
        (&config.client, &files.certificate, &files.key)
    {
        let password = client.password.as_ref().map(|password| password.reveal());
        identify(&mut builder, certificate, key, password)?;
    }
    Ok(builder.build())
}

/// Trusts the given roots only, or the system's if none are given.
fn trust(builder: &mut SslConnectorBuilder, files: &Files) -> Result<(), Error> {
    if let Some(pem) = &files.root {
        let fail = unusable("sslrootcert");
        let mut store = X509StoreBuilder::new().map_err(|error| fail(&error))?;
        for root in certificates("sslrootcert", pem)? {
            store.add_cert(root).map_err(|error| fail(&error))?;
        }
        builder.set_cert_store(store.build());
    } else {
        trust_the_system(builder);
    }
    if let Some(pem) = &files.revoked {
        let fail = unusable("sslcrl");
        revoke(builder.cert_store_mut(), pem).map_err(|error| fail(&error))?;
    }
    Ok(())
}

/// The system's OpenSSL knows where the system's store is.
#[cfg(not(feature = "vendored"))]
fn trust_the_system(_: &mut SslConnectorBuilder) {}

/// A vendored OpenSSL would look where it was built.
#[cfg(feature = "vendored")]
fn trust_the_system(builder: &mut SslConnectorBuilder) {
    let found = openssl_probe::probe();
    let (file, folder) = (found.cert_file.as_deref(), found.cert_dir.first());
    // If neither can be loaded, no certificate is trusted, and verification fails.
    let _ = builder.load_verify_locations(file, folder.map(|folder| folder.as_path()));
}

/// OpenSSL takes revocation lists from files only, so what was read is put into an unnamed file.
fn revoke(store: &mut X509StoreBuilderRef, pem: &[u8]) -> io::Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(pem)?;
    let lookup = store.add_lookup(X509Lookup::file())?;
    let descriptor = file.as_raw_fd();
    lookup.load_crl_file(format!("/proc/self/fd/{descriptor}"), SslFiletype::PEM)?;
    store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    Ok(())
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<X509>, Error> {
    let found = X509::stack_from_pem(pem).map_err(|error| unusable(key)(&error))?;
    if found.is_empty() {
        return Err(unusable(key)(&"no certificate in the file"));
    }
    Ok(found)
}

/// Our certificate, the intermediate certificates, and the private key.
fn identify(
    builder: &mut SslConnectorBuilder,
    certificate: &[u8],
    key: &[u8],
    password: Option<&str>,
) -> Result<(), Error> {
    let mut chain = certificates("sslcert", certificate)?.into_iter();
    let fail = unusable("sslcert");
    if let Some(leaf) = chain.next() {
        builder
            .set_certificate(&leaf)
            .map_err(|error| fail(&error))?;
    }
    for between in chain {
        builder
            .add_extra_chain_cert(between)
            .map_err(|error| fail(&error))?;
    }
    let fail = unusable("sslkey");
    let key = private_key(key, password).map_err(|error| fail(&error))?;
    builder
        .set_private_key(&key)
        .and_then(|()| builder.check_private_key())
        .map_err(|error| fail(&error))
}

fn private_key(pem: &[u8], password: Option<&str>) -> Result<PKey<Private>, ErrorStack> {
    // Without a password, OpenSSL would ask the terminal for it.
    PKey::private_key_from_pem_callback(pem, |buffer| {
        let password = password.unwrap_or_default().as_bytes();
        let length = password.len().min(buffer.len());
        buffer[..length].copy_from_slice(&password[..length]);
        Ok(length)
    })
}
