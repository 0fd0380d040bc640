//! TLS, from a mode and three files to a rustls configuration.
//!
//! | mode | encrypted | the certificate's chain | its name |
//! |---|---|---|---|
//! | `disable` | no | | |
//! | `require` | yes | only when a CA is named | not looked at |
//! | `verify-ca` | yes | verified | not looked at |
//! | `verify-full` | yes | verified | verified |
//!
//! There is no mode that tries TLS and goes on without it: who can strip it would. The provider is named here and not
//! taken from the process, so that a session works the same in a test and in a program that has installed none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::error::TlsSetupError;
use super::target::Host;

/// How the connection is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub mode: TlsMode,
    /// Certificate authorities in PEM form; without it, those this machine trusts.
    pub ca: Option<PathBuf>,
    pub identity: Option<Identity>,
}

/// See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The client's own certificate, files in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// With the chain up to the authority, if there is one between.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsMode {
    pub(super) fn parse(text: &str) -> Option<TlsMode> {
        match text {
            "disable" => Some(TlsMode::Disable),
            "require" => Some(TlsMode::Require),
            "verify-ca" => Some(TlsMode::VerifyCa),
            "verify-full" => Some(TlsMode::VerifyFull),
            _ => None,
        }
    }
}

/// What a TLS handshake needs.
pub(super) struct Setup {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The set-up for `host`; `None` when the connection is to stay in the clear. Reads the files named.
pub(super) fn setup(tls: &Tls, host: &Host) -> Result<Option<Setup>, TlsSetupError> {
    let (mode, host) = match (tls.mode, host) {
        (TlsMode::Disable, _) | (_, Host::Socket(_)) => return Ok(None),
        (mode, Host::Name(host)) => (mode, host),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Versions)?;
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        TlsMode::Disable | TlsMode::Require if tls.ca.is_none() => {
            Arc::new(Unverified { provider })
        }
        TlsMode::VerifyFull => chain_and_name(tls.ca.as_deref(), provider)?,
        TlsMode::Disable | TlsMode::Require | TlsMode::VerifyCa => {
            Arc::new(ChainOnly { inner: chain_and_name(tls.ca.as_deref(), provider)? })
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = certificates(CERT, certificate)?;
            let wanted = "private key";
            let key = PrivateKeyDer::from_pem_slice(&read(KEY, key)?)
                .map_err(|_| TlsSetupError::Pem { option: KEY, path: key.clone(), wanted })?;
            builder.with_client_auth_cert(chain, key).map_err(TlsSetupError::Identity)?
        }
    };
    // servers from version 17 on look at it; it keeps a connection meant for us from being led to another protocol
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let name = match ServerName::try_from(host.clone()) {
        Ok(name) => name,
        // the name is only sent, not checked
        Err(_) if mode != TlsMode::VerifyFull => {
            ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]))
        }
        Err(_) => return Err(TlsSetupError::ServerName(host.clone())),
    };
    Ok(Some(Setup { config: Arc::new(config), name }))
}

// as the configuration file and a URL name them
const CA: &str = "ca (sslrootcert)";
const CERT: &str = "cert (sslcert)";
const KEY: &str = "key (sslkey)";

fn chain_and_name(
    ca: Option<&Path>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let (added, _) = roots.add_parsable_certificates(certificates(CA, path)?);
            if added == 0 {
                let wanted = "certificate";
                return Err(TlsSetupError::Pem { option: CA, path: path.to_owned(), wanted });
            }
        }
        None => {
            let (added, _) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                return Err(TlsSetupError::NoRoots);
            }
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(TlsSetupError::Roots)
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    std::fs::read(path).map_err(|source| TlsSetupError::File {
        option,
        path: path.to_owned(),
        source,
    })
}

fn certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let pem = read(option, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsSetupError::Pem { option, path: path.to_owned(), wanted: "certificate" }),
    }
}

/// What exactly is wrong with a server's certificate, when that is what the error says.
pub(super) fn certificate_problem(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(problem) = error else {
        return None;
    };
    Some(match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet".into(),
        CertificateError::UnknownIssuer => {
            "its issuer is not among the certificate authorities trusted here; name its own by ca (in a URL: sslrootcert)".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not made out to the host's name; connect by a name that it has, or set tls (in a URL: sslmode) to verify-ca".into()
        }
        CertificateError::BadSignature => "its signature is wrong".into(),
        CertificateError::Revoked => "it is revoked".into(),
        CertificateError::BadEncoding => "it cannot be read".into(),
        // a certificate that was made as a CA and is used by a server itself is refused by this name
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not made out for servers".into()
        }
        other => format!("{other:?}"),
    })
}

/// `verify-ca`: the chain is verified and the name is not.
#[derive(Debug)]
struct ChainOnly {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            // looked at last: everything else about the certificate is in order
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `require` without a CA: whoever answers is believed, as the user has chosen.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
