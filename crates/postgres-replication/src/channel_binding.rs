//! Channel binding `tls-server-end-point` (RFC 5929): a hash of the server's certificate that is mixed into the
//! password exchange, so that somebody between client and server, who must show a certificate of his own, fails.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// The binding data for a certificate in DER; `None` when the certificate's signature names no single hash function
/// (Ed25519, for one), for which the RFC defines no binding.
pub fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    match signature_hash(certificate)? {
        Hash::Sha256 => Some(Sha256::digest(certificate).to_vec()),
        Hash::Sha384 => Some(Sha384::digest(certificate).to_vec()),
        Hash::Sha512 => Some(Sha512::digest(certificate).to_vec()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// Also in place of MD5 and SHA-1, as the RFC asks.
    Sha256,
    Sha384,
    Sha512,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const CONTEXT_0: u8 = 0xA0;

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OID, parameters }, .. }`
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    match oid {
        // 1.2.840.113549.1.1.x: PKCS #1
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, kind] => match kind {
            4 | 5 | 11 => Some(Hash::Sha256),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            10 => pss_hash(parameters),
            _ => None,
        },
        // 1.2.840.10045.4: ECDSA with SHA-1, with SHA-2
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 1] => Some(Hash::Sha256),
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, kind] => match kind {
            2 => Some(Hash::Sha256),
            3 => Some(Hash::Sha384),
            4 => Some(Hash::Sha512),
            _ => None,
        },
        _ => None,
    }
}

/// `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] SEQUENCE { OID, .. } DEFAULT sha1, .. }`
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(parameters, CONTEXT_0) else {
        return Some(Hash::Sha256);
    };
    let (hash, _) = element(hash, SEQUENCE)?;
    // 2.16.840.1.101.3.4.2.x
    match element(hash, OBJECT_IDENTIFIER)?.0 {
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => Some(Hash::Sha256),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => Some(Hash::Sha384),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => Some(Hash::Sha512),
        _ => None,
    }
}

/// The content of a DER element with this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(short @ ..0x80) => out.push(short),
            _ => out.extend_from_slice(&[0x82, (content.len() >> 8) as u8, content.len() as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let tbs = der(SEQUENCE, &[7; 300]);
        let algorithm = der(SEQUENCE, &[&der(OBJECT_IDENTIFIER, oid)[..], parameters].concat());
        der(SEQUENCE, &[&tbs[..], &algorithm, b"signature"].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        const RSA: [u8; 8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1];
        const SHA: [u8; 8] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
        let rsa = |kind: u8| [&RSA[..], &[kind]].concat();
        let pss = |kind: u8| {
            let hash = der(SEQUENCE, &der(OBJECT_IDENTIFIER, &[&SHA[..], &[kind]].concat()));
            der(SEQUENCE, &der(CONTEXT_0, &hash))
        };
        let ecdsa = |kind: u8| vec![0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, kind];
        let cases: Vec<(Vec<u8>, Vec<u8>, Option<Hash>)> = vec![
            (rsa(5), vec![5, 0], Some(Hash::Sha256)),
            (rsa(11), vec![5, 0], Some(Hash::Sha256)),
            (rsa(12), vec![5, 0], Some(Hash::Sha384)),
            (rsa(13), vec![5, 0], Some(Hash::Sha512)),
            (rsa(10), pss(2), Some(Hash::Sha384)),
            (rsa(10), der(SEQUENCE, &[]), Some(Hash::Sha256)),
            (rsa(10), vec![], None),
            (ecdsa(2), vec![], Some(Hash::Sha256)),
            (ecdsa(4), vec![], Some(Hash::Sha512)),
            (vec![0x2B, 0x65, 0x70], vec![], None),
        ];
        for (oid, parameters, expected) in cases {
            let certificate = certificate(&oid, &parameters);
            assert_eq!(signature_hash(&certificate), expected, "{oid:?}");
            for cut in 0..certificate.len() {
                // no cut may panic; a certificate that is cut is no certificate
                assert_eq!(signature_hash(&certificate[..cut]), None);
            }
        }
    }
}
