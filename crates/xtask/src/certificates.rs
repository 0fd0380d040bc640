//! Certificates for one stack's encrypted listeners: an authority of its own, one for the servers, one for a client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;
use crate::trouble::{Doing, Result};

/// The directory they are in.
#[derive(Clone, Debug)]
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    pub(crate) const KEY_STORE_PASSWORD: &str = "changeit";

    /// Makes all of them, valid for a year, the server's for `localhost` and 127.0.0.1.
    pub(crate) fn make(directory: &Path) -> Result<Certificates> {
        fs::create_dir_all(directory).doing(directory.display())?;
        let made = Certificates(directory.to_owned());
        made.openssl(
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "365",
                "-subj",
                "/CN=stack authority",
            ],
            &["-keyout", "ca.key", "-out", "ca.pem"],
        )?;
        made.signed(
            "server",
            "localhost",
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
        )?;
        made.signed("client", "connector", "extendedKeyUsage=clientAuth\n")?;
        let password = format!("pass:{}", Self::KEY_STORE_PASSWORD);
        made.openssl(
            &[
                "pkcs12",
                "-export",
                "-in",
                "server.pem",
                "-inkey",
                "server.key",
                "-certfile",
                "ca.pem",
                "-name",
                "server",
            ],
            &["-out", "server.p12", "-passout", &password],
        )?;
        // PostgreSQL takes no key that others may read.
        let key = made.server_key();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).doing(key.display())?;
        Ok(made)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    pub(crate) fn client(&self) -> PathBuf {
        self.0.join("client.pem")
    }

    pub(crate) fn client_key(&self) -> PathBuf {
        self.0.join("client.key")
    }

    pub(crate) fn key_store(&self) -> PathBuf {
        self.0.join("server.p12")
    }

    fn signed(&self, name: &str, common_name: &str, extensions: &str) -> Result<()> {
        let (key, request, certificate, list) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
            format!("{name}.ext"),
        );
        fs::write(self.0.join(&list), extensions).doing(&list)?;
        self.openssl(
            &[
                "req",
                "-new",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                &format!("/CN={common_name}"),
            ],
            &["-keyout", &key, "-out", &request],
        )?;
        self.openssl(
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "365",
            ],
            &["-extfile", &list, "-out", &certificate],
        )
    }

    fn openssl(&self, arguments: &[&str], files: &[&str]) -> Result<()> {
        program::output(Command::new("openssl").current_dir(&self.0).args(arguments).args(files))
            .map(drop)
    }
}
