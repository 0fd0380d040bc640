//! The server's version as a number.

/// The number of a `server_version` parameter, as `server_version_num` gives it: `18.6` is 180006, `9.6.24` is 90624.
///
/// Development versions (`19devel`, `18beta2`) count as the first of their line; what follows a space is the packager's.
pub fn server_version_number(text: &str) -> Option<u32> {
    let text = text.split(' ').next()?;
    let mut parts = [0_u32; 3];
    let mut count = 0;
    for part in text.split('.').take(3) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 4 {
            return None;
        }
        parts[count] = part[..digits].parse().ok()?;
        count += 1;
        if digits < part.len() {
            break;
        }
    }
    let [major, minor, patch] = parts;
    match (major, count) {
        (10.., 1 | 2) => Some(major * 10_000 + minor),
        (..10, 2 | 3) if minor < 100 && patch < 100 => Some(major * 10_000 + minor * 100 + patch),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_servers_write_them() {
        let cases = [
            ("18.6 (Debian 18.6-1.pgdg)", Some(180_006)),
            ("15.20", Some(150_020)),
            ("14", Some(140_000)),
            ("19devel", Some(190_000)),
            ("18beta2", Some(180_000)),
            ("18rc1 (Debian)", Some(180_000)),
            ("9.6.24", Some(90_624)),
            ("9.5", Some(90_500)),
            ("16.3.1", None),
            ("9999999.1", None),
            ("", None),
            ("PostgreSQL", None),
            (".1", None),
        ];
        for (text, number) in cases {
            assert_eq!(server_version_number(text), number, "{text}");
        }
    }
}
