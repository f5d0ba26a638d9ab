//! The files that the configuration names. They are read when a storage is made, where nginx may
//! still be root, and again after a failed attempt, because they may have been renewed.

use crate::Error;
use crate::config::{Secret, TlsConfig, TlsMode, Verify};
use openssl::pkey::PKey;
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What the files held when they were read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    root: Option<Vec<u8>>,
    revoked: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// A failure as a configuration error of a key.
fn of<T>(key: &'static str, result: Result<T, impl Display>) -> Result<T, Error> {
    result.map_err(|reason| Error::config(key, reason.to_string()))
}

impl Files {
    /// Reads the files and checks what they hold.
    pub(crate) fn read(config: &TlsConfig) -> Result<Self, Error> {
        if config.mode == TlsMode::Off {
            return Ok(Files::default());
        }
        let content = |key, path: Option<&Path>, read: fn(&Path) -> io::Result<Vec<u8>>| {
            let failed = |path: &Path, error| format!("cannot read {}: {error}", path.display());
            let read = |path| read(path).map_err(|error| failed(path, error));
            of(key, path.map(read).transpose())
        };
        let any = |path: &Path| fs::read(path);
        // As in libpq, the group may read a key that belongs to root.
        let private = |path: &Path| read_private(path, 0o037);
        let client = config.client.as_ref();
        let files = Files {
            root: content("sslrootcert", config.root.as_deref(), any)?,
            revoked: content("sslcrl", config.revoked.as_deref(), any)?,
            certificate: content("sslcert", client.map(|client| &*client.certificate), any)?,
            key: content("sslkey", client.map(|client| &*client.key), private)?,
        };
        files.connector(config)?;
        Ok(files)
    }

    /// The connector that makes the TLS sessions, if the configuration asks for any.
    pub(super) fn connector(&self, config: &TlsConfig) -> Result<Option<SslConnector>, Error> {
        if config.mode == TlsMode::Off {
            return Ok(None);
        }
        let mut builder = of("sslmode", SslConnector::builder(SslMethod::tls_client()))?;
        let least = match config.least_version {
            "TLSv1" => SslVersion::TLS1,
            "TLSv1.1" => SslVersion::TLS1_1,
            "TLSv1.3" => SslVersion::TLS1_3,
            _ => SslVersion::TLS1_2,
        };
        let limited = builder.set_min_proto_version(Some(least));
        of("ssl_min_protocol_version", limited)?;
        let named = builder.set_alpn_protos(b"\x0apostgresql");
        of("sslnegotiation", named)?;
        if config.verify == Verify::Nothing {
            builder.set_verify(SslVerifyMode::NONE);
        }
        match &self.root {
            Some(pem) => builder.set_cert_store(of("sslrootcert", trust(pem))?),
            None => trust_the_system(&mut builder),
        }
        if let Some(pem) = &self.revoked {
            of("sslcrl", revoke(builder.cert_store_mut(), pem))?;
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let password = config.client.as_ref().and_then(|it| it.password.as_ref());
            let password = password.and_then(Secret::reveal).unwrap_or_default();
            of("sslcert", present(&mut builder, certificate))?;
            of("sslkey", prove(&mut builder, key, &password))?;
        }
        Ok(Some(builder.build()))
    }
}

/// Reads a file that others than its owner must not be able to read. `of_root` are the permissions
/// that a file of root must not give. An error of the system has its error number; the other errors
/// mean that the file must not be used.
pub(crate) fn read_private(path: &Path, of_root: u32) -> io::Result<Vec<u8>> {
    // Opening a named pipe would otherwise wait for a writer.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let refused = if metadata.uid() == 0 { of_root } else { 0o077 };
    if metadata.mode() & refused != 0 {
        let reason = "it may be read by others than its owner (chmod 600)";
        return Err(io::Error::other(reason));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// A store that trusts the given roots only.
fn trust(pem: &[u8]) -> io::Result<X509Store> {
    let mut store = X509StoreBuilder::new()?;
    for root in certificates(pem)? {
        store.add_cert(root)?;
    }
    Ok(store.build())
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

fn certificates(pem: &[u8]) -> io::Result<Vec<X509>> {
    let found = X509::stack_from_pem(pem)?;
    if found.is_empty() {
        return Err(io::Error::other("no certificate in the file"));
    }
    Ok(found)
}

/// Has our certificate sent, with its intermediate certificates.
fn present(builder: &mut SslConnectorBuilder, pem: &[u8]) -> io::Result<()> {
    let mut chain = certificates(pem)?;
    builder.set_certificate(&chain.remove(0))?;
    for between in chain {
        builder.add_extra_chain_cert(between)?;
    }
    Ok(())
}

/// Has the certificate's private key used.
fn prove(builder: &mut SslConnectorBuilder, pem: &[u8], password: &str) -> io::Result<()> {
    // Without a password, OpenSSL would ask the terminal for it.
    let key = PKey::private_key_from_pem_callback(pem, |buffer| {
        let length = password.len().min(buffer.len());
        buffer[..length].copy_from_slice(&password.as_bytes()[..length]);
        Ok(length)
    })?;
    builder.set_private_key(&key)?;
    Ok(builder.check_private_key()?)
}
