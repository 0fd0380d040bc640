//! Kafka, the registry, Connect and its plugins: jars, fetched by the `mvn` client from wherever it is set up to fetch.
//!
//! One generated project with a module for each part, so that one start of the client resolves and fetches all of them in
//! parallel. Versions are fixed here and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::program;
use crate::trouble::{Doing, Result, Trouble};

pub(crate) const KAFKA: &str = "4.3.1";
pub(crate) const REGISTRY: &str = "2.6.13.Final";
pub(crate) const DEBEZIUM: &str = "3.6.1.Final";
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// A part of the stack that consists of jars.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The broker, its tools and Kafka Connect's worker, in one folder.
    Kafka,
    Registry,
    /// Debezium's PostgreSQL connector, a plugin of Connect.
    Debezium,
    /// The registry's Avro converter, a plugin of Connect.
    Converter,
}

struct Artifact {
    group: &'static str,
    name: &'static str,
    version: &'static str,
    /// An archive that is complete in itself, by its classifier; else a jar with all it needs.
    archive: Option<&'static str>,
    /// The group of which nothing is to come along.
    without: Option<&'static str>,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Kafka => "kafka",
            Part::Registry => "registry",
            Part::Debezium => "debezium",
            Part::Converter => "converter",
        }
    }

    fn artifacts(self) -> Vec<Artifact> {
        let jar =
            |group, name, version| Artifact { group, name, version, archive: None, without: None };
        let archive = |group, name, version, kind| Artifact {
            group,
            name,
            version,
            archive: Some(kind),
            without: Some("*"),
        };
        match self {
            Part::Kafka => vec![
                jar("org.apache.kafka", "kafka_2.13", KAFKA),
                jar("org.apache.kafka", "kafka-tools", KAFKA),
                jar("org.apache.kafka", "connect-runtime", KAFKA),
                jar("org.apache.kafka", "connect-json", KAFKA),
                // The generation of slf4j that Kafka itself asks for.
                jar("org.slf4j", "slf4j-simple", "1.7.36"),
            ],
            Part::Registry => {
                vec![archive("io.apicurio", "apicurio-registry-app", REGISTRY, "all")]
            }
            Part::Debezium => {
                vec![archive("io.debezium", "debezium-connector-postgres", DEBEZIUM, "plugin")]
            }
            // Connect has Kafka's own jars; older copies beside the converter would be found first, and do not work.
            Part::Converter => vec![Artifact {
                without: Some("org.apache.kafka"),
                ..jar("io.apicurio", "apicurio-registry-utils-converter", REGISTRY)
            }],
        }
    }

    /// The generated module; it changes whenever what has to be fetched changes.
    fn pom(self) -> String {
        let dependencies: String = self.artifacts().iter().map(dependency).collect();
        pom(self.name(), &format!("<dependencies>{dependencies}</dependencies>"))
    }

    /// Where the part's files are. The name tells the content, so that a stack that runs never has its files replaced.
    fn directory(self) -> Result<PathBuf> {
        let name = format!("{}-{:08x}", self.name(), checksum(&self.pom()));
        Ok(cache::directory()?.join("jars").join(name))
    }

    /// The one folder of jars, or what the archive held.
    fn content(self) -> Result<PathBuf> {
        Ok(self.directory()?.join("content"))
    }

    fn is_complete(self) -> bool {
        self.directory().is_ok_and(|dir| cache::is_complete(&dir))
    }
}

/// Whether all `parts` are here already.
pub(crate) fn has(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.is_complete())
}

/// Fetches what is missing of `parts`; whether anything had to be fetched.
pub(crate) fn fetch(parts: &[Part]) -> Result<bool> {
    let project = cache::directory()?.join("maven");
    let _lock = cache::lock(&project)?;
    let missing: Vec<Part> = parts.iter().copied().filter(|part| !part.is_complete()).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let out = project.join("out");
    if project.exists() {
        fs::remove_dir_all(&project).doing(project.display())?;
    }
    write_project(&project, &missing)?;
    program::output(
        program::bound("mvn")
            .current_dir(&project)
            .args(["-B", "-q", "-T", "4", "-Dmaven.artifact.threads=16", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}/${{project.artifactId}}", out.display()))
            .arg(format!("{DEPENDENCY_PLUGIN}:copy-dependencies")),
    )?;
    std::thread::scope(|scope| {
        let all: Vec<_> = missing
            .iter()
            .map(|part| scope.spawn(|| keep(*part, &out.join(part.name()))))
            .collect();
        all.into_iter().try_for_each(|one| one.join().expect("keeping jars does not panic"))
    })?;
    fs::remove_dir_all(&project).doing(project.display())?;
    Ok(true)
}

/// Moves a part's files to their place, unpacking archives.
fn keep(part: Part, fetched: &Path) -> Result<()> {
    let (directory, content) = (part.directory()?, part.content()?);
    cache::entry(&directory, || {
        fs::create_dir_all(&content).doing(content.display())?;
        for entry in fs::read_dir(fetched).doing(fetched.display())?.flatten() {
            let (from, to) = (entry.path(), content.join(entry.file_name()));
            if from.extension().is_some_and(|extension| extension == "gz") {
                let mut tar = Command::new("tar");
                tar.arg("-xzf").arg(&from).arg("-C").arg(&content).arg("--no-same-owner");
                program::output(&mut tar)?;
            } else {
                fs::rename(&from, &to).doing(from.display())?;
            }
        }
        Ok(())
    })
}

fn write_project(project: &Path, parts: &[Part]) -> Result<()> {
    let modules: String =
        parts.iter().map(|part| format!("<module>{}</module>", part.name())).collect();
    let write = |dir: &Path, text: String| {
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(dir.join("pom.xml"), text))
            .doing(dir.display())
    };
    write(project, pom("stack", &format!("<modules>{modules}</modules>")))?;
    parts.iter().try_for_each(|part| write(&project.join(part.name()), part.pom()))
}

fn pom(name: &str, content: &str) -> String {
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>afterimage.stack</groupId><artifactId>{name}</artifactId>\
         <version>1</version><packaging>pom</packaging>{content}</project>\n"
    )
}

fn dependency(artifact: &Artifact) -> String {
    let Artifact { group, name, version, archive, without } = artifact;
    let archive = archive
        .map(|classifier| format!("<type>tar.gz</type><classifier>{classifier}</classifier>"))
        .unwrap_or_default();
    let without = without
        .map(|group| format!("<exclusions><exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion></exclusions>"))
        .unwrap_or_default();
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>{archive}{without}</dependency>"
    )
}

/// FNV-1a: tells one generated module from another, nothing more.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// All jars of a part, as Java's class path takes them.
pub(crate) fn class_path(part: Part) -> Result<String> {
    Ok(format!("{}/*", part.content()?.display()))
}

/// Where Connect is to look for a plugin: it takes each folder of that place for one.
pub(crate) fn plugin_path(part: Part) -> Result<String> {
    Ok(part.directory()?.display().to_string())
}

/// The first file of a part whose name ends so.
pub(crate) fn file_ending(part: Part, ending: &str) -> Result<PathBuf> {
    let content = part.content()?;
    fs::read_dir(&content)
        .doing(content.display())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or_else(|| Trouble(format!("no file *{ending} in {}", content.display())))
}
