//! Certificates of every kind: an authority of the tests' own, and what it issues and revokes.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder, X509NameRef};
use tempfile::TempDir;

use crate::support::process;

pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    serial: Cell<u32>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    serial: u32,
}

impl Issued {
    /// Its key, encrypted.
    pub fn encrypted_key(&self, password: &str) -> Vec<u8> {
        let key = PKey::private_key_from_pem(&self.key).unwrap();
        let cipher = Cipher::aes_256_cbc();
        key.private_key_to_pem_pkcs8_passphrase(cipher, password.as_bytes()).unwrap()
    }
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(common: &str) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", common).unwrap();
    name.build()
}

/// A certificate that lacks what its kind needs.
fn draft(common: &str, issuer: &X509NameRef, key: &PKey<Private>, serial: u32) -> X509Builder {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name(common)).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

/// From ten days ago until so many days from now.
fn valid_for(builder: &mut X509Builder, days: i64) {
    let day = 86_400;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let at = |days: i64| Asn1Time::from_unix(now + days * day).unwrap();
    builder.set_not_before(&at(-10)).unwrap();
    builder.set_not_after(&at(days)).unwrap();
}

impl Authority {
    pub fn new(common: &str) -> Self {
        let key = new_key();
        let mut builder = draft(common, &name(common), &key, 1);
        valid_for(&mut builder, 10);
        let authority = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(authority).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Authority { certificate: builder.build(), key, serial: Cell::new(1) }
    }

    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// A server's certificate.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue("server", names, 10)
    }

    /// The certificate of a client, or of a server with these names.
    pub fn issue(&self, common: &str, names: &[&str], days: i64) -> Issued {
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        let key = new_key();
        let mut builder = draft(common, self.certificate.subject_name(), &key, serial);
        valid_for(&mut builder, days);
        if !names.is_empty() {
            let mut extension = SubjectAlternativeName::new();
            for name in names {
                match name.parse::<std::net::IpAddr>() {
                    Ok(_) => extension.ip(name),
                    Err(_) => extension.dns(name),
                };
            }
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let extension = extension.build(&context).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Issued {
            certificate: builder.build().to_pem().unwrap(),
            key: key.private_key_to_pem_pkcs8().unwrap(),
            serial,
        }
    }

    /// The list of what this authority has revoked, as OpenSSL's own program writes it.
    pub fn revoke(&self, revoked: &[&Issued]) -> Vec<u8> {
        let folder = Folder::new();
        let line = |one: &&Issued| {
            format!("R\t401231235959Z\t250101000000Z\t{:02X}\tunknown\t/CN=x\n", one.serial)
        };
        let index: String = revoked.iter().map(line).collect();
        let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\ndefault_md = sha256\n\
                      default_crl_days = 10\n";
        folder.write("index", index);
        folder.write("config", config);
        folder.write("ca.crt", self.pem());
        folder.write("ca.key", self.key.private_key_to_pem_pkcs8().unwrap());
        process::run(
            Command::new(process::program("/usr/bin/openssl", "openssl"))
                .current_dir(folder.0.path())
                .args(["ca", "-config", "config", "-gencrl", "-out", "crl"])
                .args(["-keyfile", "ca.key", "-cert", "ca.crt"]),
        );
        fs::read(folder.path("crl")).unwrap()
    }
}

/// A folder of files that no other user may read.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(process::folder())
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Writes a file and returns its path as a configuration has it.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(file);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
