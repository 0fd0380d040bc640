//! PostgreSQL: install privately, initialise, run.
//!
//! The server refuses to run as root. Switching to another user would need files below a home directory that only root may
//! enter; so root runs it in a user namespace in which the same files belong to an ordinary user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::packages::{self, Index, Machine, Release};
use crate::program;
use crate::supervisor::Service;
use crate::trouble::{Doing, Result, Trouble};

/// The oldest version that the connector supports.
const VERSION_MIN: u32 = 14;
pub(crate) const DATABASE: &str = "shop";

/// An unpacked server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) programs: PathBuf,
    /// As the server tells it: `18.6`.
    pub(crate) version: String,
}

/// Where a running server's files and doors are.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) sockets: PathBuf,
    /// Certificate and key, when connections may be encrypted.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// Whether `version` needs no download.
pub(crate) fn has(version: u32) -> bool {
    directory(version).is_ok_and(|directory| cache::is_complete(&directory))
}

/// The number changes with what is unpacked and how, so that a running server never has its files replaced.
fn directory(version: u32) -> Result<PathBuf> {
    Ok(cache::directory()?.join("postgres-1").join(version.to_string()))
}

/// PostgreSQL `version` from the distribution's packages, or the newest it has.
pub(crate) fn install(version: u32) -> Result<Server> {
    let directory = directory(version)?;
    cache::entry(&directory, || unpack(version, &directory))?;
    let major = fs::read_to_string(directory.join("major")).doing(directory.display())?;
    let programs = directory.join("root/usr/lib/postgresql").join(major.trim()).join("bin");
    let said = program::output(Command::new(programs.join("postgres")).arg("--version"))?;
    let version = said.split_whitespace().nth(2).unwrap_or("unknown").to_owned();
    Ok(Server { programs, version })
}

fn unpack(version: u32, directory: &Path) -> Result<()> {
    let mut troubles = Vec::new();
    for release in Machine::read()?.releases(version) {
        match unpack_from(&release, version, directory) {
            Ok(()) => return Ok(()),
            Err(trouble) => troubles.push(format!("{}: {trouble}", release.suite)),
        }
    }
    Err(Trouble(format!("PostgreSQL {version} could not be had: {}", troubles.join("; "))))
}

fn unpack_from(release: &Release, version: u32, directory: &Path) -> Result<()> {
    let index = Index::fetch(release)?;
    let wanted = [format!("postgresql-{version}"), format!("postgresql-client-{version}")];
    let root = directory.join("root");
    let (major, taken) = match index.unpack(&wanted, &root) {
        Ok(taken) => (version, taken),
        Err(trouble) => {
            let newest = index
                .newest_postgres()?
                .filter(|newest| *newest >= VERSION_MIN && *newest != version)
                .ok_or(trouble)?;
            eprintln!(
                "PostgreSQL {version} is not in {}: taking {newest} in its place",
                release.suite
            );
            let wanted = [format!("postgresql-{newest}"), format!("postgresql-client-{newest}")];
            (newest, index.unpack(&wanted, &root)?)
        }
    };
    packages::wrap(&root, &root.join("usr/lib/postgresql").join(major.to_string()).join("bin"))?;
    fs::write(directory.join("versions"), taken.join("\n") + "\n").doing(directory.display())?;
    fs::write(directory.join("major"), major.to_string()).doing(directory.display())
}

impl Server {
    /// Makes a new cluster with the roles and the database, and its configuration.
    pub(crate) fn initialise(&self, place: &Place) -> Result<()> {
        let dir = &place.directory;
        fs::create_dir_all(dir).doing(dir.display())?;
        let password = dir.join("password");
        fs::write(&password, "postgres\n").doing(password.display())?;
        let data = dir.join("data");
        program::output(
            not_root(self.programs.join("initdb"))
                .arg("-D")
                .arg(&data)
                .arg(format!("--pwfile={}", password.display()))
                .args([
                    "-U",
                    "postgres",
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                    "-A",
                    "scram-sha-256",
                    "--auth-local=trust",
                    "--no-sync",
                ]),
        )?;
        let conf = data.join("postgresql.conf");
        let text = fs::read_to_string(&conf).doing(conf.display())? + &configuration(place);
        fs::write(&conf, text).doing(conf.display())?;
        // In single-user mode each line is one command; no server has to be started and stopped for it.
        let roles = format!(
            "CREATE ROLE admin LOGIN SUPERUSER REPLICATION PASSWORD 'admin'\n\
             CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'cdc'\n\
             CREATE DATABASE {DATABASE} OWNER cdc\n"
        );
        program::output_of_input(
            not_root(self.programs.join("postgres")).arg("--single").arg("-D").arg(&data).args([
                "-c",
                "log_min_messages=warning",
                "postgres",
            ]),
            &roles,
        )?;
        Ok(())
    }

    pub(crate) fn service(&self, name: &str, place: &Place, log: PathBuf) -> Service {
        let mut words = vec![];
        if is_root() {
            words.extend(namespace());
        }
        // Entering a namespace clears the wish to die with the parent, so it is made inside.
        words.extend(program::dies_with_parent());
        words.push(self.programs.join("postgres").display().to_string());
        words.extend(["-D".to_owned(), place.directory.join("data").display().to_string()]);
        Service { name: name.to_owned(), words, environment: vec![], log, end: "QUIT" }
    }

    /// Whether the database can be used by its owner.
    pub(crate) fn answers(&self, port: u16) -> bool {
        program::succeeds(
            Command::new(self.programs.join("psql"))
                .env("PGPASSWORD", "cdc")
                .env("PGCONNECT_TIMEOUT", "5")
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "-U",
                    "cdc",
                    "-d",
                    DATABASE,
                    "-Atqc",
                    "select 1",
                ]),
        )
    }
}

/// What stands before the server's programs when root runs them: a namespace in which we are an ordinary user. PostgreSQL looks
/// its user up, so it is one that the machine knows.
fn namespace() -> Vec<String> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = ordinary_user(&users).unwrap_or(65534);
    vec![
        "unshare".to_owned(),
        "--user".to_owned(),
        format!("--map-user={user}"),
        format!("--map-group={user}"),
    ]
}

/// The id of the first user that is not root.
fn ordinary_user(passwd: &str) -> Option<u32> {
    passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).find(|id| *id != 0)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether root may make the namespace that the server needs.
pub(crate) fn can_leave_root() -> bool {
    !is_root() || program::succeeds(program::command(namespace()).arg("true"))
}

fn not_root(program: PathBuf) -> Command {
    if is_root() {
        let mut command = program::command(namespace());
        command.arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn configuration(place: &Place) -> String {
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {}\n\
         unix_socket_directories = '{}'\n\
         wal_level = logical\n\
         max_wal_senders = 50\n\
         max_replication_slots = 50\n\
         max_connections = 200\n\
         max_prepared_transactions = 20\n\
         shared_buffers = 256MB\n\
         max_wal_size = 4GB\n\
         logging_collector = off\n\
         jit = off\n",
        place.port,
        place.sockets.display()
    );
    if let Some((certificate, key)) = &place.certificate {
        text += &format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificate.display(),
            key.display()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::ordinary_user;

    #[test]
    fn root_becomes_the_first_user_that_is_not_root() {
        for (passwd, user) in [
            ("root:x:0:0:root:/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n", Some(1)),
            ("me:x:1000:1000::/:/bin/sh", Some(1000)),
            ("toor:x:0:0::/:/bin/sh\nbroken\n", None),
        ] {
            assert_eq!(ordinary_user(passwd), user, "{passwd}");
        }
    }
}
