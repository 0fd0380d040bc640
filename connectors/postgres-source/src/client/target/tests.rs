use secrecy::ExposeSecret;

use super::*;

/// All that a target says, in one line.
fn show(target: &Target) -> String {
    let host = match &target.host {
        Host::Name(name) => name.clone(),
        Host::Socket(path) => format!("socket:{}", path.display()),
    };
    let password = target.password.as_ref().map_or("-", |password| password.expose_secret());
    let Tls { mode, ca, identity } = &target.tls;
    let ca = ca.as_ref().map_or(String::new(), |path| format!(" ca={}", path.display()));
    let identity = identity.as_ref().map_or(String::new(), |identity| {
        format!(" cert={} key={}", identity.certificate.display(), identity.key.display())
    });
    let bound = if target.policy.require_channel_binding { " bound" } else { "" };
    format!(
        "{}:{password}@{host}:{}/{} {mode:?}{ca}{identity}{bound} {} {:?}",
        target.user, target.port, target.database, target.application_name, target.connect_timeout
    )
}

#[test]
fn urls_say_where_as_whom_and_how_guarded() {
    let cases = [
        ("postgres://ada@db.example", "ada:-@db.example:5432/ada VerifyFull afterimage 10s"),
        ("postgresql://ada:pw@db:6543/shop", "ada:pw@db:6543/shop VerifyFull afterimage 10s"),
        ("postgres://a%40b:p%3A%2F%25@db/s%C3%A4", "a@b:p:/%@db:5432/sä VerifyFull afterimage 10s"),
        ("postgres://ada:p@ss@db/s", "ada:p@ss@db:5432/s VerifyFull afterimage 10s"),
        ("postgres://ada@[::1]:6/s", "ada:-@::1:6/s Disable afterimage 10s"),
        ("postgres://ada@[2001:db8::1]/s", "ada:-@2001:db8::1:5432/s VerifyFull afterimage 10s"),
        ("postgres://ada@127.0.0.2/s", "ada:-@127.0.0.2:5432/s Disable afterimage 10s"),
        ("postgres://ada@LocalHost/s", "ada:-@LocalHost:5432/s Disable afterimage 10s"),
        (
            "postgres://ada@localhost/s?sslmode=verify-full",
            "ada:-@localhost:5432/s VerifyFull afterimage 10s",
        ),
        (
            "postgres://ada@localhost.example/s",
            "ada:-@localhost.example:5432/s VerifyFull afterimage 10s",
        ),
        (
            "postgres://ada@%2Frun%2Fpostgresql/s",
            "ada:-@socket:/run/postgresql:5432/s Disable afterimage 10s",
        ),
        (
            "postgres://ada@/s?host=/run/pg&port=7",
            "ada:-@socket:/run/pg:7/s Disable afterimage 10s",
        ),
        (
            "postgres:///?host=db&user=ada&password=pw&dbname=s",
            "ada:pw@db:5432/s VerifyFull afterimage 10s",
        ),
        (
            "postgres://ada@db/s?sslmode=verify-ca&sslrootcert=/ca&sslcert=/c&sslkey=/k&channel_binding=require",
            "ada:-@db:5432/s VerifyCa ca=/ca cert=/c key=/k bound afterimage 10s",
        ),
        (
            "postgres://ada@db/s?sslmode=require&application_name=a%20b&connect_timeout=3",
            "ada:-@db:5432/s Require a b 3s",
        ),
    ];
    for (url, expected) in cases {
        assert_eq!(Target::parse(url).as_ref().map(show), Ok(expected.to_owned()), "{url}");
    }
}

#[test]
fn what_is_no_target_is_refused_without_telling_the_password() {
    let value = |option, value: &str, expected| TargetError::Value {
        option,
        value: value.into(),
        expected,
    };
    let seconds = "a number of seconds from 1 to 3600";
    let cases = [
        ("mysql://ada:hush@db/s", TargetError::Scheme),
        ("postgres://ada:hush@/s", TargetError::NoHost),
        ("postgres://:hush@db/s", TargetError::NoUser),
        ("postgres://db/s", TargetError::NoUser),
        ("postgres://ada:hush@a,b/s", TargetError::SeveralHosts),
        ("postgres://ada:hush@/s?host=a,b", TargetError::SeveralHosts),
        ("postgres://ada:hush%ZZ@db/s", TargetError::Encoding("the password")),
        ("postgres://ada:hush%f@db/s", TargetError::Encoding("the password")),
        ("postgres://ada:hush@db%ff/s", TargetError::Encoding("the host")),
        ("postgres://ada:hush@[::1/s", TargetError::Encoding("the host")),
        ("postgres://ada:hush@[::1]5/s", TargetError::Port),
        ("postgres://ada:hush@db:0/s", TargetError::Port),
        ("postgres://ada:hush@db:65536/s", TargetError::Port),
        ("postgres://ada:hush@db:x/s", TargetError::Port),
        ("postgres://ada:hush@db/s?sslmod=require", TargetError::UnknownOption("sslmod".into())),
        (
            "postgres://ada:hush@db/s?sslmode=prefer",
            value("sslmode", "prefer", "disable, require, verify-ca or verify-full"),
        ),
        ("postgres://ada:hush@db/s?connect_timeout=0", value("connect_timeout", "0", seconds)),
        ("postgres://ada:hush@db/s?sslcert=/c", TargetError::HalfIdentity),
    ];
    for (url, expected) in cases {
        let error = Target::parse(url).map(|target| show(&target)).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_eq!(error, expected, "{url}");
    }
    let target = Target::parse("postgres://ada:hush@db/s").unwrap();
    assert!(!format!("{target:?}").contains("hush"));
}
