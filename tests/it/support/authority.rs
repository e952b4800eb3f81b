//! Certificates of authorities that a test makes itself.

use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::date_time_ymd;
use tempfile::TempDir;

/// A certificate authority of its own, and a folder with its certificate.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key, in PEM, of a server that calls itself `name`; `year` is the one in which they end.
    pub(crate) fn pem(&self, name: &str, year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The same as files: their paths.
    pub(crate) fn files(&self, name: &str, year: i32) -> (String, String) {
        let (certificate, key) = self.pem(name, year);
        let place = |ending: &str| self.folder.path().join(format!("{name}-{year}.{ending}.pem"));
        std::fs::write(place("certificate"), certificate).unwrap();
        std::fs::write(place("key"), key).unwrap();
        (place("certificate").to_str().unwrap().to_owned(), place("key").to_str().unwrap().to_owned())
    }
}
