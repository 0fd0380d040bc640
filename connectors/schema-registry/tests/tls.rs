//! A registry behind TLS: which certificates are trusted, and which are shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use avro::{Registry, RegistryError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair,
    generate_simple_self_signed,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use schema_registry::{Config, RegistryClient, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Files that disappear with the test.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("registry-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the temporary directory can be written");
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    CertifiedIssuer::self_signed(params, key).expect("an authority signs itself")
}

/// Certificate and key, PEM.
fn signed(authority: &Authority, name: &str) -> (String, String) {
    let params = CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.signed_by(&key, authority).expect("the authority signs");
    (certificate.pem(), key.serialize_pem())
}

/// Answers every request with id 7; returns the port.
async fn serve(authority: &Authority, name: &str, asks_for_certificates: bool) -> u16 {
    let (certificate, key) = signed(authority, name);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is PEM")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has them");
    let builder = match asks_for_certificates {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("an authority is a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        }
    };
    let config = builder.with_single_cert(chain, key).expect("the key fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{\"id\":7}";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

async fn ask(port: u16, tls: Option<Tls>) -> Result<u32, RegistryError> {
    let config = Config { tls, ..Config::new(format!("https://localhost:{port}")) };
    let client = RegistryClient::new(&config, StdRng::seed_from_u64(1))
        .expect("the configuration is good")
        .with_patience(Duration::from_millis(300));
    client.id("s", "\"int\"").await
}

#[tokio::test]
async fn a_trusted_registry_is_asked_and_another_is_not() {
    let (files, ours) = (Files::new("trust"), authority());
    let ca = Some(files.write("ca.pem", &ours.pem()));
    let tls = Some(Tls { ca, ..Tls::default() });
    let port = serve(&ours, "localhost", false).await;
    assert_eq!(ask(port, tls.clone()).await.expect("it is trusted"), 7);

    let refused = async |port, tls| {
        let error = ask(port, tls).await.expect_err("it is not trusted");
        assert_eq!((error.code, error.transient), ("registry-tls", false), "{error}");
    };
    refused(port, None).await;
    refused(serve(&authority(), "localhost", false).await, tls.clone()).await;
    refused(serve(&ours, "elsewhere", false).await, tls).await;
}

#[tokio::test]
async fn our_certificate_is_shown_where_it_is_asked_for() {
    let (files, ours) = (Files::new("identity"), authority());
    let ca = Some(files.write("ca.pem", &ours.pem()));
    let (certificate, key) = signed(&ours, "afterimage");
    let cert = Some(files.write("cert.pem", &certificate));
    let key = Some(files.write("key.pem", &key));
    let port = serve(&ours, "localhost", true).await;
    let known = Tls { ca: ca.clone(), cert, key };
    assert_eq!(ask(port, Some(known)).await.expect("we are known"), 7);
    let unknown = Tls { ca, ..Tls::default() };
    let error = ask(port, Some(unknown)).await.expect_err("we are not known");
    assert!(error.problem.contains("cannot be reached"), "{error}");
}

#[test]
fn a_key_that_is_none_is_refused() {
    let files = Files::new("pem");
    let pair = generate_simple_self_signed(vec!["x".into()]).expect("a pair can be made");
    let cert = files.write("cert.pem", &pair.cert.pem());
    let key = files.write("key.pem", "no key");
    let tls = Some(Tls { cert: Some(cert), key: Some(key), ..Tls::default() });
    let config = Config { tls, ..Config::new("https://localhost") };
    let error =
        RegistryClient::new(&config, StdRng::seed_from_u64(1)).expect_err("there is no key");
    assert!(error.to_string().ends_with("cert.pem holds no usable PEM"), "{error}");
}
