//! Programs from the distribution's packages, unpacked privately: nothing of the machine is used or changed.
//!
//! 1. A package index of our own, for one release, with an *empty* list of installed packages: the whole closure, the C
//!    library included, is resolved from that one release. So a newer release's server runs on an older machine.
//! 2. `apt-get install --simulate` names the closure; what a server needs at run time (libraries and the packages asked for)
//!    is downloaded with signatures checked and unpacked below one directory.
//! 3. Each ELF program is moved aside and replaced by a script that starts it with that directory's dynamic loader and library
//!    path. Nothing leaks into children through LD_LIBRARY_PATH, and `--argv0` keeps the program's idea of where it stands,
//!    from which PostgreSQL finds its siblings and its share directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache;
use crate::program;
use crate::trouble::{Doing, Result, Trouble};

/// A release of the distribution, and where its packages come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Release {
    pub(crate) suite: String,
    /// Lines of a `sources.list`.
    pub(crate) sources: Vec<String>,
}

/// What the machine says of itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Machine {
    /// `debian`, `ubuntu`, ...
    id: String,
    codename: String,
    /// The main archive, and that of the security updates, as the machine's own sources have them.
    archive: String,
    security: Option<String>,
}

/// Packages that come with the closure and are of no use to a server started by hand: their programs are maintainer scripts'
/// tools, or they are large and optional (the just-in-time compiler).
const LEFT_OUT: [&str; 13] = [
    "libperl",
    "libgdbm",
    "libsemanage",
    "libsepol",
    "libpam-modules",
    "libsystemd-shared",
    "libc-bin",
    "libc-l10n",
    "libdebconf",
    "libllvm",
    "libz3",
    "libjson-perl",
    "libproc2",
];

impl Machine {
    pub(crate) fn read() -> Result<Machine> {
        let os = fs::read_to_string("/etc/os-release").doing("/etc/os-release")?;
        let mut sources = String::new();
        let dir = Path::new("/etc/apt/sources.list.d");
        let mut files: Vec<PathBuf> =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.push("/etc/apt/sources.list".into());
        for file in files {
            if file
                .extension()
                .is_some_and(|extension| extension == "sources" || extension == "list")
            {
                sources += &fs::read_to_string(&file).unwrap_or_default();
                sources.push('\n');
            }
        }
        Machine::from_text(&os, &sources)
    }

    fn from_text(os: &str, sources: &str) -> Result<Machine> {
        let field = |name: &str| {
            os.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|value| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let (id, codename) = (field("ID"), field("VERSION_CODENAME"));
        let addresses: Vec<&str> = sources.lines().flat_map(addresses).collect();
        // Of several archives the distribution's own is the one whose path ends in its name.
        let archive = addresses
            .iter()
            .find(|address| {
                address.trim_end_matches('/').ends_with(&id) && !address.contains("security")
            })
            .or_else(|| addresses.iter().find(|address| !address.contains("security")))
            .ok_or("no package archive stands in /etc/apt")?;
        let security = addresses.iter().find(|address| address.contains("security"));
        Ok(Machine {
            id,
            codename,
            archive: (*archive).to_owned(),
            security: security.map(|address| (*address).to_owned()),
        })
    }

    /// The releases that may have PostgreSQL `version`, best first; the machine's own is always the last resort.
    pub(crate) fn releases(&self, version: u32) -> Vec<Release> {
        let mut suites = Vec::new();
        if self.id == "debian" {
            match version {
                15 => suites.push("bookworm"),
                17 => suites.push("trixie"),
                18 => suites.push("sid"),
                _ => {}
            }
        }
        if !suites.contains(&self.codename.as_str()) {
            suites.push(&self.codename);
        }
        suites.into_iter().map(|suite| self.release(suite)).collect()
    }

    fn release(&self, suite: &str) -> Release {
        let ubuntu = self.id == "ubuntu";
        let components = if ubuntu { "main universe" } else { "main" };
        let signed =
            keyring(&self.id).map(|file| format!("[signed-by={file}] ")).unwrap_or_default();
        let line =
            |address: &str, suite: &str| format!("deb {signed}{address} {suite} {components}");
        let mut sources = vec![line(&self.archive, suite)];
        if ubuntu {
            sources.push(line(&self.archive, &format!("{suite}-updates")));
        }
        if let (true, Some(security)) = (suite != "sid", &self.security) {
            sources.push(line(security, &format!("{suite}-security")));
        }
        Release { suite: suite.to_owned(), sources }
    }
}

/// The file of the distribution's keys, whose name depends on its age; without one, apt asks its own list of trusted keys.
fn keyring(id: &str) -> Option<String> {
    ["gpg", "pgp"]
        .map(|end| format!("/usr/share/keyrings/{id}-archive-keyring.{end}"))
        .into_iter()
        .find(|file| Path::new(file).exists())
}

/// The addresses of one line, of either of apt's two styles.
fn addresses(line: &str) -> Vec<&str> {
    let rest = match (line.strip_prefix("URIs:"), line.strip_prefix("deb ")) {
        (Some(rest), _) => rest,
        (_, Some(rest)) => rest.rsplit(']').next().unwrap_or(rest),
        _ => return Vec::new(),
    };
    let words = rest.split_whitespace();
    if line.starts_with("deb ") { words.take(1).collect() } else { words.collect() }
}

/// The private index of one release, refreshed; it goes when it is dropped, since it would be refreshed anyway.
pub(crate) struct Index {
    directory: PathBuf,
    _lock: fs::File,
}

impl Index {
    /// Fetches the index. It is refreshed each time something is to be downloaded: a rolling release forgets old versions.
    pub(crate) fn fetch(release: &Release) -> Result<Index> {
        let directory = cache::directory()?.join("apt").join(&release.suite);
        let lock = cache::lock(&directory)?;
        for sub in ["lists/partial", "archives/partial", "empty"] {
            fs::create_dir_all(directory.join(sub)).doing(directory.display())?;
        }
        let write = |name: &str, text: &str| {
            fs::write(directory.join(name), text).doing(directory.display())
        };
        write("status", "")?;
        write("preferences", "")?;
        write("sources.list", &(release.sources.join("\n") + "\n"))?;
        write("apt.conf", &configuration(&directory)?)?;
        let index = Index { directory, _lock: lock };
        program::output(index.apt("apt-get").args(["update", "-qq"]))?;
        Ok(index)
    }

    /// The highest major version of PostgreSQL that the release has.
    pub(crate) fn newest_postgres(&self) -> Result<Option<u32>> {
        let names = program::output(self.apt("apt-cache").args(["pkgnames", "postgresql-"]))?;
        Ok(names.lines().filter_map(|name| name.strip_prefix("postgresql-")?.parse().ok()).max())
    }

    /// Downloads `packages` with the libraries they need and unpacks them into `root`; what was taken, as `name=version` lines.
    pub(crate) fn unpack(&self, packages: &[String], root: &Path) -> Result<Vec<String>> {
        let plan = program::output(
            self.apt("apt-get").args(["install", "--simulate", "-qq", "-y"]).args(packages),
        )?;
        let taken: Vec<String> =
            plan.lines().filter_map(|line| installed(line, packages)).collect();
        let debs = self.directory.join("archives");
        program::output(
            self.apt("apt-get").current_dir(&debs).args(["download", "-qq"]).args(&taken),
        )?;
        fs::create_dir_all(root).doing(root.display())?;
        for package in &taken {
            let deb = deb_file(&debs, package)?;
            unpack_one(&deb, root)?;
            fs::remove_file(&deb).doing(deb.display())?;
        }
        Ok(taken)
    }

    fn apt(&self, name: &str) -> Command {
        let mut command = program::bound(name);
        command.env("APT_CONFIG", self.directory.join("apt.conf")).env("LC_ALL", "C");
        command
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The machine's own settings for fetching (proxy, validity, ..) and a state of our own. The file named by APT_CONFIG is read
/// before the directories of parts, so it can turn those off.
fn configuration(directory: &Path) -> Result<String> {
    let machine = program::output(Command::new("apt-config").arg("dump"))?;
    let mut text: String = machine
        .lines()
        .filter(|line| line.starts_with("Acquire::"))
        .filter(|line| {
            !["IndexTargets", "GzipIndexes", "Languages", "CompressionTypes"]
                .iter()
                .any(|part| line.contains(part))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let architecture = program::output(Command::new("dpkg").arg("--print-architecture"))?;
    let dir = directory.display();
    text += &format!(
        r#"Dir "/";
Dir::Etc::parts "{dir}/empty";
Dir::Etc::main "{dir}/preferences";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "{dir}/empty";
Dir::Etc::preferences "{dir}/preferences";
Dir::Etc::preferencesparts "{dir}/empty";
Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "{dir}/status";
Dir::State::extended_states "{dir}/extended_states";
Dir::Cache "{dir}";
Dir::Cache::archives "{dir}/archives";
Dir::Log "{dir}";
APT::Sandbox::User "";
APT::Architectures:: "{architecture}";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "3";
Debug::NoLocking "true";
"#,
        architecture = architecture.trim(),
    );
    Ok(text)
}

/// `Inst name (version ..` as `name=version`, for packages that are asked for or libraries of use.
fn installed(line: &str, wanted: &[String]) -> Option<String> {
    let mut words = line.strip_prefix("Inst ")?.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.trim_start_matches('(');
    let asked = wanted.iter().any(|package| package == name) || name == "openssl-provider-legacy";
    let library =
        name.starts_with("lib") && !LEFT_OUT.iter().any(|prefix| name.starts_with(prefix));
    (asked || library).then(|| format!("{name}={version}"))
}

/// The file that `apt-get download` made: `name_version_architecture.deb`, with the version's colon escaped.
fn deb_file(debs: &Path, package: &str) -> Result<PathBuf> {
    let (name, version) = package.split_once('=').expect("made by `installed` with a =");
    let start = format!("{name}_{}_", version.replace(':', "%3a"));
    fs::read_dir(debs)
        .doing(debs.display())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start))
        })
        .ok_or_else(|| Trouble(format!("{package} was not downloaded")))
}

fn unpack_one(deb: &Path, root: &Path) -> Result<()> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .doing("dpkg-deb")?;
    let stdout = archive.stdout.take().expect("stdout was asked to be a pipe");
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(root).arg("--no-same-owner");
    for part in [
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/lintian",
        "usr/share/info",
        "lib/systemd",
    ] {
        tar.arg(format!("--exclude=./{part}"));
    }
    let unpacked = tar.stdin(stdout).status().doing("tar")?;
    let read = archive.wait().doing("dpkg-deb")?;
    if unpacked.success() && read.success() {
        Ok(())
    } else {
        Err(Trouble(format!("{} could not be unpacked", deb.display())))
    }
}

/// Puts starting scripts in place of the ELF programs of `programs`, a directory below `root`.
pub(crate) fn wrap(root: &Path, programs: &Path) -> Result<()> {
    let libraries = library_directories(root)?;
    let loader = libraries
        .iter()
        .chain([root.join("lib64"), root.join("usr/lib64"), root.join("lib")].iter())
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
                && path.is_file()
        })
        .ok_or_else(|| Trouble(format!("no dynamic loader below {}", root.display())))?;
    let libraries: Vec<String> = libraries.iter().map(|dir| dir.display().to_string()).collect();
    let aside = programs.join(".elf");
    fs::create_dir_all(&aside).doing(aside.display())?;
    for entry in fs::read_dir(programs).doing(programs.display())?.flatten() {
        let path = entry.path();
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !plain || !is_elf(&path) {
            continue;
        }
        let elf = aside.join(entry.file_name());
        fs::rename(&path, &elf).doing(path.display())?;
        let script = format!(
            "#!/bin/sh\nexec \"{}\" --argv0 \"{}\" --library-path \"{}\" \"{}\" \"$@\"\n",
            loader.display(),
            path.display(),
            libraries.join(":"),
            elf.display()
        );
        fs::write(&path, script).doing(path.display())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).doing(path.display())?;
    }
    Ok(())
}

fn library_directories(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for parent in [root.join("usr/lib"), root.join("lib")] {
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains("-linux-gnu") && entry.path().is_dir() {
                found.push(entry.path());
            }
        }
    }
    if found.is_empty() {
        Err(Trouble(format!("no libraries below {}", root.display())))
    } else {
        Ok(found)
    }
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";
    const UBUNTU: &str = "ID=ubuntu\nVERSION_CODENAME=noble\n";

    #[test]
    fn the_archive_is_the_one_the_machine_has() {
        for (os, sources, archive, security) in [
            (
                DEBIAN,
                "Types: deb\nURIs: http://mirror/debian\nURIs: http://mirror/debian-security\n",
                "http://mirror/debian",
                true,
            ),
            (DEBIAN, "deb http://mirror/debian bookworm main", "http://mirror/debian", false),
            (
                DEBIAN,
                "deb http://security.mirror/debian x main\ndeb http://mirror/debian y main",
                "http://mirror/debian",
                true,
            ),
            (
                DEBIAN,
                "deb [arch=amd64 signed-by=/k] http://mirror/debian/ bookworm main",
                "http://mirror/debian/",
                false,
            ),
            (
                DEBIAN,
                "deb http://elsewhere/tools x main\ndeb http://mirror/debian bookworm main",
                "http://mirror/debian",
                false,
            ),
            (
                UBUNTU,
                "URIs: http://mirror/ubuntu/ \nURIs: http://security.mirror/ubuntu/",
                "http://mirror/ubuntu/",
                true,
            ),
        ] {
            let machine = Machine::from_text(os, sources).unwrap();
            assert_eq!(
                (machine.archive.as_str(), machine.security.is_some()),
                (archive, security),
                "{sources}"
            );
        }
        assert!(Machine::from_text(DEBIAN, "# nothing").is_err());
    }

    #[test]
    fn a_version_is_looked_for_where_it_is_and_then_in_the_machines_own_release() {
        for (os, version, suites) in [
            (DEBIAN, 18, &["sid", "bookworm"][..]),
            (DEBIAN, 17, &["trixie", "bookworm"]),
            (DEBIAN, 15, &["bookworm"]),
            (DEBIAN, 16, &["bookworm"]),
            (UBUNTU, 18, &["noble"]),
        ] {
            let machine =
                Machine::from_text(os, "deb http://mirror/x y main\nURIs: http://security/x")
                    .unwrap();
            let releases = machine.releases(version);
            assert_eq!(
                releases.iter().map(|release| release.suite.as_str()).collect::<Vec<_>>(),
                suites
            );
            let with_security =
                |release: &Release| release.sources.iter().any(|line| line.contains("-security"));
            assert!(
                releases.iter().all(|release| with_security(release) == (release.suite != "sid"))
            );
        }
    }

    #[test]
    fn only_what_a_server_needs_is_taken() {
        let wanted = ["postgresql-18".to_owned()];
        for (line, taken) in [
            ("Inst libc6 (2.43-1 Debian:unstable [amd64])", Some("libc6=2.43-1")),
            ("Inst postgresql-18 (18.6-1 Debian:unstable [amd64])", Some("postgresql-18=18.6-1")),
            ("Inst perl (5.42 Debian:unstable [amd64])", None),
            ("Inst libperl5.42 (5.42 Debian:unstable [amd64])", None),
            ("Conf libc6 (2.43-1 Debian:unstable [amd64])", None),
        ] {
            assert_eq!(installed(line, &wanted).as_deref(), taken, "{line}");
        }
    }
}
