//! The exchange against a server written down here: its side of SCRAM is computed, not recorded.

use sha2::{Digest, Sha256};

use super::*;

const PASSWORD: &[u8] = b"pencil";
const SALT_BASE64: &str = "c2FsdHNhbHQ=";
const ROUNDS: u32 = 3;

fn startup() -> Startup {
    Startup {
        user: "ada".into(),
        database: "shop".into(),
        replication: true,
        application_name: "test".into(),
    }
}

fn start(password: Option<&[u8]>, transport: Transport, policy: Policy) -> Handshake {
    Handshake::start(&startup(), password, transport, policy, &mut BytesMut::new()).unwrap()
}

fn authentication(kind: u32, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], data].concat()
}

/// Sends one Authentication message and returns the body of the answer.
fn exchange(handshake: &mut Handshake, kind: u32, data: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut out = BytesMut::new();
    assert_eq!(handshake.message(b'R', &authentication(kind, data), &mut out)?, None);
    if out.is_empty() {
        return Ok(Vec::new());
    }
    assert_eq!(
        (out[0], u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize),
        (b'p', out.len() - 1)
    );
    Ok(out[5..].to_vec())
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], data].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5C)[..], &inner].concat()).into()
}

fn salted_password() -> [u8; 32] {
    let mut round = hmac(PASSWORD, b"saltsalt\0\0\0\x01");
    let mut sum = round;
    for _ in 1..ROUNDS {
        round = hmac(PASSWORD, &round);
        sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) as usize & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    out
}

/// The mechanism and the client-first message of a SASLInitialResponse.
fn initial(body: &[u8]) -> (String, String) {
    let end = body.iter().position(|byte| *byte == 0).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&body[..end]), text(&body[end + 5..]))
}

/// Runs SCRAM up to the server's proof, and checks the client's; returns mechanism, gs2 header and server-final message.
fn scram(
    handshake: &mut Handshake,
    offer: &[u8],
    binding: &[u8],
) -> Result<(String, String, String), HandshakeError> {
    let (mechanism, first) = initial(&exchange(handshake, 10, offer)?);
    let (header, bare) = first.split_at(first.find("n=,r=").unwrap());
    let nonce = &bare[5..];
    let server_first = format!("r={nonce}server,s={SALT_BASE64},i={ROUNDS}");
    let last = String::from_utf8(exchange(handshake, 11, server_first.as_bytes())?).unwrap();
    let (without_proof, proof) = last.split_once(",p=").unwrap();
    let bound = base64(&[header.as_bytes(), binding].concat());
    assert_eq!(without_proof, format!("c={bound},r={nonce}server"));
    let signed = format!("{bare},{server_first},{without_proof}");
    let client_key = hmac(&salted_password(), b"Client Key");
    let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
    let expected: Vec<u8> =
        client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    assert_eq!(proof, base64(&expected));
    let server_key = hmac(&salted_password(), b"Server Key");
    Ok((
        mechanism,
        header.to_owned(),
        format!("v={}", base64(&hmac(&server_key, signed.as_bytes()))),
    ))
}

const PLAIN: &[u8] = b"SCRAM-SHA-256\0\0";
const BOTH: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

fn tls() -> Transport {
    Transport::Tls { end_point: Some(b"end point".to_vec()) }
}

#[test]
fn the_startup_message_says_who_and_how_values_are_written() {
    let mut out = BytesMut::new();
    Handshake::start(&startup(), None, Transport::Plain, Policy::default(), &mut out).unwrap();
    assert_eq!(u32::from_be_bytes(out[..4].try_into().unwrap()) as usize, out.len());
    assert_eq!(out[4..8], [0, 3, 0, 0]);
    let body = String::from_utf8(out[8..].to_vec()).unwrap();
    assert!(
        body.starts_with(
            "user\0ada\0database\0shop\0application_name\0test\0replication\0database\0"
        ),
        "{body:?}"
    );
    for parameter in [
        "client_encoding\0UTF8\0",
        "TimeZone\0UTC\0",
        "extra_float_digits\x003\0",
        "statement_timeout\x000\0",
    ] {
        assert!(body.contains(parameter), "{parameter:?}");
    }
    assert!(body.ends_with("\0\0"));
    let ordinary = Startup { replication: false, ..startup() };
    let mut out = BytesMut::new();
    Handshake::start(&ordinary, None, Transport::Plain, Policy::default(), &mut out).unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("replication"));
    let odd = Startup { database: "a\0b".into(), ..startup() };
    let error =
        Handshake::start(&odd, None, Transport::Plain, Policy::default(), &mut out).unwrap_err();
    assert!(matches!(error, HandshakeError::ZeroByte("database")));
}

#[test]
fn scram_binds_to_the_certificate_when_both_sides_can() {
    /// Transport, the server's offer, and what comes of it: mechanism, header, data bound.
    type Case = (Transport, &'static [u8], &'static str, &'static str, &'static [u8]);
    let cases: [Case; 5] = [
        (Transport::Plain, PLAIN, "SCRAM-SHA-256", "n,,", b""),
        (tls(), BOTH, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", b"end point"),
        // over TLS without an offer: "we could have"
        (tls(), PLAIN, "SCRAM-SHA-256", "y,,", b""),
        (Transport::Tls { end_point: None }, BOTH, "SCRAM-SHA-256", "n,,", b""),
        (Transport::Plain, BOTH, "SCRAM-SHA-256", "n,,", b""),
    ];
    for (transport, offer, mechanism, header, binding) in cases {
        let mut handshake = start(Some(PASSWORD), transport, Policy::default());
        let (used, gs2, proof) = scram(&mut handshake, offer, binding).unwrap();
        assert_eq!((used.as_str(), gs2.as_str()), (mechanism, header));
        exchange(&mut handshake, 12, proof.as_bytes()).unwrap();
        exchange(&mut handshake, 0, b"").unwrap();
    }
}

#[test]
fn a_server_that_does_not_prove_itself_is_left() {
    // accepted before the proof, at each step
    let mut handshake = start(Some(PASSWORD), Transport::Plain, Policy::default());
    exchange(&mut handshake, 10, PLAIN).unwrap();
    assert!(matches!(exchange(&mut handshake, 0, b""), Err(HandshakeError::Scram(_))));
    let mut handshake = start(Some(PASSWORD), Transport::Plain, Policy::default());
    scram(&mut handshake, PLAIN, b"").unwrap();
    assert!(matches!(exchange(&mut handshake, 0, b""), Err(HandshakeError::Scram(_))));
    // a wrong proof
    let mut handshake = start(Some(PASSWORD), Transport::Plain, Policy::default());
    let (.., proof) = scram(&mut handshake, PLAIN, b"").unwrap();
    let wrong = proof.replacen(proof.chars().nth(5).unwrap(), "_", 1);
    assert!(matches!(
        exchange(&mut handshake, 12, wrong.as_bytes()),
        Err(HandshakeError::Scram(_))
    ));
    // a nonce that is not ours, and so many rounds that they are an attack
    for first in [format!("r=other,s={SALT_BASE64},i=3"), "r=".to_owned(), "\u{fffd}".to_owned()] {
        let mut handshake = start(Some(PASSWORD), Transport::Plain, Policy::default());
        exchange(&mut handshake, 10, PLAIN).unwrap();
        assert!(
            matches!(exchange(&mut handshake, 11, first.as_bytes()), Err(HandshakeError::Scram(_))),
            "{first}"
        );
    }
}

#[test]
fn weak_ways_need_to_be_allowed() {
    let md5 = Policy { allow_md5: true, ..Policy::default() };
    let clear = Policy { allow_cleartext: true, ..Policy::default() };
    let bound = Policy { require_channel_binding: true, allow_md5: true, allow_cleartext: true };
    let check = |kind: u32, data: &[u8], password: Option<&[u8]>, transport: Transport, policy| {
        exchange(&mut start(password, transport, policy), kind, data)
            .map(|answer| String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned())
            .map_err(|error| error.to_string())
    };
    let pw = Some(PASSWORD);
    let refused = |result: Result<String, String>, word: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    };
    refused(check(5, b"salt", pw, tls(), Policy::default()), "MD5");
    refused(check(3, b"", pw, tls(), Policy::default()), "clear text");
    refused(check(3, b"", pw, Transport::Plain, clear), "not encrypted");
    refused(check(5, b"salty", pw, Transport::Plain, md5), "malformed");
    refused(check(5, b"salt", None, Transport::Plain, md5), "none is configured");
    refused(check(10, PLAIN, None, Transport::Plain, md5), "none is configured");
    refused(check(10, b"SCRAM-SHA-512\0\0", pw, tls(), md5), "without SCRAM-SHA-256");
    refused(check(10, b"SCRAM-SHA-256", pw, tls(), md5), "malformed");
    refused(check(7, b"", pw, tls(), md5), "GSSAPI");
    refused(check(99, b"", pw, tls(), md5), "number 99");
    for (kind, data) in [(0, &b""[..]), (3, b""), (5, b"salt"), (10, PLAIN)] {
        refused(check(kind, data, pw, tls(), bound), "channel binding");
    }
    assert_eq!(check(3, b"", pw, tls(), clear).unwrap(), "pencil");
    // md5(md5("pencil" + "ada") + "salt"), by another implementation
    assert_eq!(
        check(5, b"salt", pw, Transport::Plain, md5).unwrap(),
        "md5ec2ff800e521b2ddaedb76ea6f06e5bb"
    );
}

#[test]
fn what_the_server_tells_of_itself_makes_the_session() {
    let mut handshake = start(None, Transport::Plain, Policy::default());
    let out = &mut BytesMut::new();
    let mut send = |tag, body: &[u8]| handshake.message(tag, body, out);
    assert_eq!(send(b'R', &authentication(0, b"")).unwrap(), None);
    send(b'S', b"in_hot_standby\0off\0").unwrap();
    send(b'N', b"SNOTICE\0\0").unwrap();
    send(b'S', b"server_version\x0018.6 (Debian 18.6-1)\0").unwrap();
    send(b'K', b"\0\0\x12\x34\xde\xad\xbe\xef").unwrap();
    let session = send(b'Z', b"I").unwrap().unwrap();
    assert_eq!(
        (session.server_version, session.parameter("in_hot_standby")),
        (180_006, Some("off"))
    );
    assert!(matches!(send(b'Z', b"I"), Err(HandshakeError::Unexpected { .. })));
    let key = session.key.unwrap();
    let mut cancel = BytesMut::new();
    key.cancel_request(&mut cancel);
    assert_eq!(&cancel[..], b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x34\xde\xad\xbe\xef");
    assert!(!format!("{key:?}").contains("222"));
}

#[test]
fn a_server_that_goes_wrong_during_start_up_is_left() {
    let cases: [(u8, Vec<u8>, &str); 7] = [
        (b'K', vec![0; 7], "malformed message 'K'"),
        (b'K', vec![0; 300], "malformed message 'K'"),
        (b'S', b"name".to_vec(), "malformed message 'S'"),
        (b'T', vec![], "message 'T' does not belong here during start-up"),
        (b'R', authentication(0, b""), "message 'R' does not belong here during start-up"),
        (b'Z', b"I".to_vec(), "server version \"\" is not understood"),
        (b'E', b"SFATAL\0C57P03\0Mstarting up\0\0".to_vec(), "the server refuses the connection"),
    ];
    for (tag, body, expected) in cases {
        let mut handshake = start(None, Transport::Plain, Policy::default());
        exchange(&mut handshake, 0, b"").unwrap();
        let error = handshake.message(tag, &body, &mut BytesMut::new()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut session = Session::default();
    for index in 0..256 {
        session.set_parameter(format!("name{index}\0value\0").as_bytes()).unwrap();
    }
    session.set_parameter(b"name7\0other\0").unwrap();
    assert_eq!(session.parameter("name7"), Some("other"));
    assert!(matches!(
        session.set_parameter(b"more\0value\0"),
        Err(HandshakeError::TooManyParameters(256))
    ));
}
