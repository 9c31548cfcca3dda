//! Certificates for services that speak TLS, signed by an authority of the moment.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The files of a server: its certificate, its key, and the authority's certificate.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) authority: PathBuf,
}

/// Makes them in a folder, for `localhost` and `127.0.0.1`.
pub(super) fn identity(folder: &Path) -> Identity {
    let mut authority = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    // With the name of what it signs, OpenSSL would take that for signed by itself.
    authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(names).expect("parameters").signed_by(&key, &authority).expect("signed");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    Identity {
        certificate: write("server.pem", certificate.pem()),
        key: write("server.key", key.serialize_pem()),
        authority: write("authority.pem", authority.pem()),
    }
}
