//! What the machine must have, checked in one place before the first download.
//!
//! Who may install without asking (root, or sudo without a password) gets what is missing; everybody else is told all of it
//! in one line.

use std::path::Path;
use std::process::Command;

use crate::java;
use crate::postgres;
use crate::program;
use crate::stack::Request;
use crate::steps::Steps;
use crate::trouble::{Result, Trouble};

/// One thing needed: what people call it, the Debian package that brings it (none: no package does), and whether it is here.
pub(crate) struct Need {
    what: &'static str,
    package: Option<&'static str>,
    met: bool,
}

fn program_of(what: &'static str, package: &'static str) -> Need {
    Need { what, package: Some(package), met: program::find(what).is_some() }
}

/// For running the servers as plain processes.
pub(crate) fn of_stack(request: &Request) -> Vec<Need> {
    let mut needs = vec![
        Need {
            what: "java 17 or later",
            package: Some("default-jre-headless"),
            met: java::version().is_some_and(|v| v >= java::VERSION_MIN),
        },
        program_of("mvn", "maven"),
        program_of("apt-get", "apt"),
        program_of("dpkg-deb", "dpkg"),
        program_of("tar", "tar"),
        program_of("setpriv", "util-linux"),
        // PostgreSQL, as Debian builds it, has no time zones of its own.
        Need {
            what: "time zones",
            package: Some("tzdata"),
            met: Path::new("/usr/share/zoneinfo/Europe").exists(),
        },
    ];
    if postgres::is_root() {
        needs.push(program_of("unshare", "util-linux"));
        needs.push(Need {
            what: "user namespaces for root, or an ordinary user: PostgreSQL does not run as root",
            package: None,
            met: program::find("unshare").is_none() || postgres::can_leave_root(),
        });
    }
    if request.secure {
        needs.push(program_of("openssl", "openssl"));
    }
    needs
}

/// For building the connector: its Kafka client is compiled from C.
pub(crate) fn of_build() -> Vec<Need> {
    vec![
        program_of("gcc", "gcc"),
        program_of("g++", "g++"),
        program_of("make", "make"),
        program_of("pkg-config", "pkg-config"),
        Need {
            what: "OpenSSL's headers",
            package: Some("libssl-dev"),
            met: program::succeeds(Command::new("pkg-config").args(["--exists", "openssl"])),
        },
    ]
}

/// Installs what is missing where that is allowed without asking, else names all of it.
pub(crate) fn ensure(needs: &[Need], steps: Steps) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.met).collect();
    if !missing.is_empty() {
        let what = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
        let mut packages: Vec<&str> = missing.iter().filter_map(|need| need.package).collect();
        packages.dedup();
        let installable = missing.iter().all(|need| need.package.is_some());
        let Some(before) = installer().filter(|_| installable) else {
            let hint = match packages.is_empty() {
                true => String::new(),
                false => format!(" (on Debian and Ubuntu: apt-get install {})", packages.join(" ")),
            };
            return Err(Trouble(format!("missing on this machine: {what}{hint}")));
        };
        steps.note(&format!("missing on this machine: {what}; installing {}", packages.join(" ")));
        steps.step("installed", || {
            let apt = |arguments: &[&str]| {
                let words = before.iter().copied().chain([
                    "env",
                    "DEBIAN_FRONTEND=noninteractive",
                    "apt-get",
                ]);
                program::output(program::command(words).args(arguments))
            };
            apt(&["update", "-qq"])?;
            let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
            install.extend(&packages);
            apt(&install)
        })?;
    }
    Ok(())
}

/// What must stand before a command that installs: nothing for root, sudo where it asks for no password.
fn installer() -> Option<&'static [&'static str]> {
    program::find("apt-get")?;
    if postgres::is_root() {
        return Some(&[]);
    }
    program::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(&["sudo", "-n"])
}
