//! Connecting, over real sockets of this machine: to a server that refuses, hangs up, or shows the wrong certificate.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// The error's own words and those of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", chain(source)),
    }
}

async fn listen() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::parse(&format!("postgres://ada:pw@127.0.0.1:{port}/shop")).unwrap();
    (listener, target)
}

/// Reads a message without a tag: SSLRequest, StartupMessage, CancelRequest.
async fn untagged(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let length = stream.read_u32().await.unwrap();
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await.unwrap();
    body
}

/// Reads the start-up, and answers it as a server that asks for no password.
async fn let_in(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), version: &str) {
    assert!(untagged(stream).await.starts_with(&[0, 3, 0, 0]));
    let answer = [
        message(b'R', &[0; 4]),
        message(b'S', format!("server_version\0{version}\0").as_bytes()),
        message(b'K', b"\0\0\x12\x34keys"),
        ready_for_query(),
    ];
    stream.write_all(&answer.concat()).await.unwrap();
}

/// Takes the statements that lift the time limits.
async fn lift_limits(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    assert_eq!(stream.read_u8().await.unwrap(), b'Q');
    let statement = String::from_utf8(untagged(stream).await).unwrap();
    stream.write_all(&[message(b'C', b"SET\0"), ready_for_query()].concat()).await.unwrap();
    statement
}

#[tokio::test]
async fn a_session_begins_with_the_limits_of_its_version_lifted() {
    for (version, number, expected) in [
        ("13.9", 130_009, None),
        ("14.2", 140_002, Some("SET idle_session_timeout = 0\0")),
        (
            "18.6 (Debian)",
            180_006,
            Some("SET idle_session_timeout = 0; SET transaction_timeout = 0\0"),
        ),
    ] {
        let (listener, target) = listen().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let_in(&mut stream, version).await;
            match expected {
                Some(_) => Some(lift_limits(&mut stream).await),
                None => None,
            }
        };
        let (client, statement) = tokio::join!(Client::connect(&target, Mode::Query), serve);
        assert_eq!(statement.as_deref(), expected);
        let client = client.unwrap();
        assert_eq!((client.server_version(), client.process_id()), (number, Some(0x1234)));
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_named() {
    let cases = [
        (
            "28P01",
            "password authentication failed",
            "user name or password are wrong for user \"ada\"",
            false,
        ),
        (
            "28000",
            "no pg_hba.conf entry for host \"10.0.0.9\"",
            "a line like `host shop ada <address of this machine>/32 scram-sha-256` is missing",
            false,
        ),
        (
            "28000",
            "role \"ada\" is not permitted to log in",
            "user name or password are wrong",
            false,
        ),
        ("3D000", "database \"shop\" does not exist", "database \"shop\" does not exist", false),
        ("53300", "sorry, too many clients already", "the server has no connection left", true),
        (
            "57P03",
            "the database system is starting up",
            "the server takes no connections now",
            true,
        ),
        (
            "42501",
            "must be superuser or replication role",
            "must be superuser or replication role",
            false,
        ),
    ];
    for (code, text, expected, transient) in cases {
        let (listener, target) = listen().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            untagged(&mut stream).await;
            let body = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
            stream.write_all(&message(b'E', body.as_bytes())).await.unwrap();
        };
        let (client, ()) = tokio::join!(Client::connect(&target, Mode::Replication), serve);
        let error = client.unwrap_err();
        let told = chain(&error);
        assert!(told.contains(expected) && told.contains(text), "{told}");
        assert_eq!(error.is_transient(), transient, "{told}");
    }
}

#[tokio::test]
async fn each_way_not_to_be_reached_has_its_name() {
    // a port on which nobody listens: bound, then let go
    let (listener, mut target) = listen().await;
    drop(listener);
    let error = Client::connect(&target, Mode::Query).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Unreachable { attempts } if attempts.len() == 1),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{}: Connection refused", target.port)),
        "{error}"
    );

    target.host = Host::Socket("/nowhere".into());
    let error = Client::connect(&target, Mode::Query).await.unwrap_err();
    assert!(
        error.to_string().contains(&format!("/nowhere/.s.PGSQL.{}: No such file", target.port)),
        "{error}"
    );

    target.host = Host::Name("nowhere.invalid".into());
    let error = Client::connect(&target, Mode::Query).await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");

    // a server that takes the connection and says nothing
    let (_listener, mut target) = listen().await;
    target.connect_timeout = Duration::from_millis(20);
    let error = Client::connect(&target, Mode::Query).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }) && error.is_transient(), "{error}");

    // one that hangs up
    let (listener, target) = listen().await;
    let serve = async { untagged(&mut listener.accept().await.unwrap().0).await };
    let (client, _) = tokio::join!(Client::connect(&target, Mode::Query), serve);
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Session { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_statement_is_cancelled_over_a_connection_of_its_own() {
    let (listener, target) = listen().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let_in(&mut stream, "18.6").await;
        lift_limits(&mut stream).await;
        let (mut other, _) = listener.accept().await.unwrap();
        untagged(&mut other).await
    };
    let ask = async {
        let client = Client::connect(&target, Mode::Query).await.unwrap();
        client.canceller().unwrap().cancel().await
    };
    let (result, request) = tokio::join!(ask, serve);
    result.unwrap();
    assert_eq!(request, b"\x04\xd2\x16\x2e\0\0\x12\x34keys");
}

/// A certificate authority, what it has signed for the server, and the files that name it.
struct Authority {
    ca: PathBuf,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// Signs a certificate for `name`; its files are called after `file`.
    fn new(file: &str, name: &str) -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, file);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let issuer = Issuer::new(parameters, key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&server_key, &issuer)
            .unwrap();
        let path =
            std::env::temp_dir().join(format!("afterimage-{}-{file}.pem", std::process::id()));
        std::fs::write(&path, certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![server.der().clone()],
                PrivateKeyDer::try_from(server_key.serialize_der()).unwrap(),
            )
            .unwrap();
        Authority { ca: path, server: Arc::new(config) }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.ca);
    }
}

/// Answers a request for TLS with a handshake, then lets in.
async fn serve_tls(listener: &TcpListener, config: &Arc<ServerConfig>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(untagged(&mut stream).await, 80_877_103_u32.to_be_bytes());
    stream.write_all(b"S").await.unwrap();
    if let Ok(mut stream) = TlsAcceptor::from(Arc::clone(config)).accept(stream).await {
        let_in(&mut stream, "18.6").await;
        lift_limits(&mut stream).await;
    }
}

#[tokio::test]
async fn the_mode_decides_what_of_a_certificate_is_looked_at() {
    let good = Authority::new("good", "127.0.0.1");
    let other_name = Authority::new("other-name", "db.example");
    let stranger = Authority::new("stranger", "127.0.0.1");
    use TlsMode::{Require, VerifyCa, VerifyFull};
    let name = "not made out to the host's name";
    let issuer = "its issuer is not among the certificate authorities";
    /// Mode, the authority trusted, the server's, and what comes of it.
    type Case<'a> = (TlsMode, Option<&'a Authority>, &'a Authority, Result<(), &'a str>);
    let cases: [Case<'_>; 9] = [
        (Require, None, &stranger, Ok(())),
        (Require, Some(&good), &good, Ok(())),
        (Require, Some(&good), &stranger, Err(issuer)),
        (VerifyCa, Some(&good), &good, Ok(())),
        (VerifyCa, Some(&other_name), &other_name, Ok(())),
        (VerifyCa, Some(&good), &stranger, Err(issuer)),
        (VerifyFull, Some(&good), &good, Ok(())),
        (VerifyFull, Some(&other_name), &other_name, Err(name)),
        (VerifyFull, Some(&good), &stranger, Err(issuer)),
    ];
    for (mode, trusted, server, expected) in cases {
        let (listener, mut target) = listen().await;
        target.tls =
            Tls { mode, ca: trusted.map(|authority| authority.ca.clone()), identity: None };
        let (client, ()) = tokio::join!(
            Client::connect(&target, Mode::Query),
            serve_tls(&listener, &server.server)
        );
        match (client, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error @ ConnectError::Certificate { .. }), Err(expected)) => {
                assert!(error.to_string().contains(expected) && !error.is_transient(), "{error}");
            }
            (client, expected) => panic!(
                "{mode:?}: {:?} and not {expected:?}",
                client.err().map(|error| chain(&error))
            ),
        }
    }
}

#[tokio::test]
async fn a_connection_is_never_quietly_left_in_the_clear() {
    let answers: [(&[u8], &str); 4] = [
        (b"N", "speaks no TLS"),
        (
            b"ESFATAL\0Mshow this to nobody\0\0",
            "message 'E' does not belong in answer to a request for TLS",
        ),
        (b"?", "message '?' does not belong"),
        // what is smuggled in behind the answer is taken for TLS, and is none
        (b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", "the TLS handshake"),
    ];
    for (answer, expected) in answers {
        let (listener, mut target) = listen().await;
        target.tls.mode = TlsMode::Require;
        let serve = async {
            let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            untagged(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            // nothing but TLS may come now
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.first().is_none_or(|byte| *byte == 0x15 || *byte == 0x16), "{rest:?}");
        };
        let (client, ()) = tokio::join!(Client::connect(&target, Mode::Query), serve);
        let told = chain(&client.unwrap_err());
        assert!(told.contains(expected) && !told.contains("nobody"), "{told}");
    }
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_named() {
    let authority = Authority::new("files", "127.0.0.1");
    let empty = authority.ca.with_extension("empty");
    std::fs::write(&empty, "no PEM\n").unwrap();
    let identity = |certificate: &PathBuf, key: &PathBuf| {
        Some(Identity { certificate: certificate.clone(), key: key.clone() })
    };
    let good = authority.ca.clone();
    let cases = [
        (
            Some("/nowhere/ca".into()),
            None,
            "file /nowhere/ca of option ca (sslrootcert) cannot be read",
        ),
        (Some(empty.clone()), None, "of option ca (sslrootcert) holds no certificate"),
        (
            Some(good.clone()),
            identity(&"/nowhere/c".into(), &empty),
            "file /nowhere/c of option cert (sslcert) cannot be read",
        ),
        (
            Some(good.clone()),
            identity(&empty, &empty),
            "of option cert (sslcert) holds no certificate",
        ),
        (
            Some(good.clone()),
            identity(&good, &empty),
            "of option key (sslkey) holds no private key",
        ),
    ];
    for (ca, identity, expected) in cases {
        let tls = Tls { mode: TlsMode::VerifyFull, ca, identity };
        let error = super::super::tls::setup(&tls, &Host::Name("db.example".into())).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let tls = Tls { mode: TlsMode::VerifyFull, ca: Some(good), identity: None };
    let error = super::super::tls::setup(&tls, &Host::Name("not a name".into())).err().unwrap();
    assert!(matches!(error, TlsSetupError::ServerName(_)), "{error}");
    std::fs::remove_file(empty).unwrap();
}
