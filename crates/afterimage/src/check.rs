//! `afterimage check`: all that keeps `run` from starting, at once, each with what mends it.

use std::fmt::Write as _;

use connector::{Failure, Finding, Severity, Source as _};
use kafka_sink::Target as Topic;
use message::{JsonEncoder, Pipeline};
use postgres_source::PostgresPosition;

use crate::cli::{File, Logs};
use crate::codes;
use crate::config::{self, Config, Encoding, Sink, Source};
use crate::exit::Exit;
use crate::report::{Trouble, chain, print};
use crate::run::block_on;
use crate::wire;

pub(crate) fn check(file: &File, logs: &Logs) -> Result<(), Trouble> {
    let config = config::load(&file.config)?;
    logs.start(true)?;
    block_on(async {
        let findings = findings(&config).await;
        print(&text(&findings));
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(Trouble::Told(Exit::Failed));
        }
        Ok(())
    })
}

async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config
        .warnings
        .iter()
        .map(|warning| {
            Finding::warning("inline-secret", warning, "use `${env:NAME}` or `${file:PATH}`")
        })
        .collect();
    // Side by side: each waits for a server of its own.
    let beside = async {
        let topics = topics(config).await.unwrap_or_default();
        of_sink(config, &topics).await
    };
    let (source, sink, format) = tokio::join!(of_source(config), beside, of_format(config));
    let is_readable = sink.iter().all(|finding| finding.severity != Severity::Error);
    findings.extend(source);
    findings.extend(sink);
    findings.extend(format);
    if is_readable
        && let Some(stop) = of_position(config).await
        && !is_told(&findings, stop.code)
    {
        findings.push(stop);
    }
    findings
}

/// Codes of a position that the database cannot be followed from.
const POSITIONS: [&str; 5] = ["orphan", "gap", "diverged", "slot-renamed", "slot-unusable"];

/// What is wrong with a slot itself says more than what follows from it for the position.
fn is_told(findings: &[Finding], code: &str) -> bool {
    let slots = ["gap", "slot-unusable"];
    findings.iter().any(|found| {
        found.severity == Severity::Error && (found.code == code || slots.contains(&found.code))
    })
}

/// Compares what is stored with the database as a run's start does, which changes nothing. That the database cannot be
/// asked is a finding of its own check.
async fn of_position(config: &Config) -> Option<Finding> {
    let stopped = match (&config.source, &config.sink) {
        (Source::Postgres(postgres), Sink::Kafka(kafka)) => {
            let name = config.name.as_str();
            let stored = kafka_sink::peek::<PostgresPosition>(kafka.clone(), name).await.ok()?;
            let mut source = wire::source(config, postgres).ok()?;
            source.open(stored.as_ref()).await.err()?
        }
        (Source::Postgres(_), Sink::File(_) | Sink::Stdout(_)) => return None,
    };
    let code = codes::find(stopped.code).filter(|code| POSITIONS.contains(&code.code))?;
    Some(Finding::error(code.code, chain(&stopped), code.mend))
}

/// What a run would write to now. Why it cannot be known is a finding of the source's.
async fn topics(config: &Config) -> Result<Vec<Topic>, Failure> {
    let (tables, origin) = match &config.source {
        Source::Postgres(postgres) => {
            let mut source = wire::source(config, postgres)?;
            (source.captured().await?, postgres_source::origin(source.database()))
        }
    };
    let messages = config.format.messages.settings();
    let encoder = Box::new(JsonEncoder::default());
    let pipeline = Pipeline::new(config.name.as_str(), origin, messages, encoder);
    let topics = tables
        .into_iter()
        .map(|(table, keyed)| Topic { topic: pipeline.topic_name(&table), keyed });
    let mut topics: Vec<Topic> = topics.collect();
    if messages.transactions {
        topics.push(Topic { topic: format!("{}.transaction", config.name.as_str()), keyed: true });
    }
    Ok(topics)
}

async fn of_source(config: &Config) -> Vec<Finding> {
    match &config.source {
        Source::Postgres(postgres) => postgres_source::check(postgres, config.name.as_str()).await,
    }
}

async fn of_sink(config: &Config, topics: &[Topic]) -> Vec<Finding> {
    match &config.sink {
        Sink::Kafka(kafka) => kafka_sink::check(kafka, config.name.as_str(), topics).await,
        Sink::File(file) => file_sink::check(Some(&file.path), &file.position()),
        Sink::Stdout(stdout) => file_sink::check(None, &stdout.position(config.name.as_str())),
    }
}

async fn of_format(config: &Config) -> Vec<Finding> {
    match &config.format.encoding {
        Encoding::Avro(registry) => schema_registry::check(registry).await,
        Encoding::Json => Vec::new(),
    }
}

/// Errors first; what is only worth knowing last.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut counts = Vec::new();
    for (severity, plural) in
        [(Severity::Error, "errors"), (Severity::Warning, "warnings"), (Severity::Note, "notes")]
    {
        let of_severity: Vec<_> =
            findings.iter().filter(|finding| finding.severity == severity).collect();
        for Finding { code, problem, mend, .. } in &of_severity {
            let _ = writeln!(text, "{severity}[{code}]: {}", indented(problem));
            if !mend.is_empty() {
                let _ = writeln!(text, "  to mend it: {}", indented(mend));
            }
        }
        match of_severity.len() {
            0 => {}
            1 => counts.push(format!("1 {severity}")),
            many => counts.push(format!("{many} {plural}")),
        }
    }
    let verdict = if findings.iter().any(|finding| finding.severity == Severity::Error) {
        "run would not start"
    } else {
        "run would start"
    };
    let counts = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
    let _ = writeln!(text, "{verdict}: {counts}");
    text
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(findings: &[Finding], expected: &str) {
        assert_eq!(text(findings), expected);
    }

    #[test]
    fn a_position_is_not_blamed_for_its_slot() {
        let check = |found: &[Finding], code, expected| assert_eq!(is_told(found, code), expected);
        let error = |code| Finding::error(code, "", "");
        check(&[], "orphan", false);
        check(&[error("rights"), Finding::warning("gap", "", "")], "orphan", false);
        check(&[error("slot-unusable")], "orphan", true);
        check(&[error("gap")], "gap", true);
        check(&[error("orphan")], "orphan", true);
        for code in POSITIONS {
            assert!(codes::find(code).is_some(), "{code}");
        }
    }

    #[test]
    fn findings_are_told_by_severity_with_what_mends_them() {
        check(&[], "run would start: nothing found\n");
        check(
            &[
                Finding::note("topics", "3 topics will be made"),
                Finding::warning("replication", "one replica", "raise it"),
                Finding::error("wal-level", "wal_level is replica", "ALTER SYSTEM ..;\nrestart"),
                Finding::warning("replication", "no standby", "add one"),
            ],
            "error[wal-level]: wal_level is replica\n  to mend it: ALTER SYSTEM ..;\n    restart\n\
             warning[replication]: one replica\n  to mend it: raise it\n\
             warning[replication]: no standby\n  to mend it: add one\n\
             note[topics]: 3 topics will be made\n\
             run would not start: 1 error, 2 warnings, 1 note\n",
        );
        check(&[Finding::note("a", "b")], "note[a]: b\nrun would start: 1 note\n");
    }
}
