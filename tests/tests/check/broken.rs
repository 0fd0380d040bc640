//! The judge of one broken setup.

use e2e::Result;

use crate::rig::{Rig, statements};

/// A sound connector, and one thing that is wrong.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    /// Statements of a superuser; `{name}` is the connector's, its role's and its database's.
    pub(crate) sql: &'static str,
    /// Options in TOML.
    pub(crate) options: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) code: &'static str,
    /// What the finding has to name.
    pub(crate) names: &'static [&'static str],
    pub(crate) mend: Mend,
}

/// How the setup becomes sound again.
#[derive(Clone, Copy)]
pub(crate) enum Mend {
    /// By the statements in the finding, run as they are.
    Sql,
    /// By doing what these words say, which the finding holds: options that are set.
    Options(&'static str, &'static str),
    /// What is wrong is outside of this setup; these words say where.
    Says(&'static str),
}

impl Default for Case {
    fn default() -> Self {
        Self {
            what: "",
            sql: "",
            options: "",
            severity: "error",
            code: "",
            names: &[],
            mend: Mend::Sql,
        }
    }
}

/// Breaks a setup in each way; every failure is told, not only the first.
pub(crate) async fn check_all(cases: Vec<Case>) {
    let mut failures = Vec::new();
    for case in cases {
        let what = case.what;
        let begun = tokio::time::Instant::now();
        match check_new(&case).await {
            Ok(()) => println!("{what}: ok after {:.1} s", begun.elapsed().as_secs_f64()),
            Err(error) => failures.push(format!("{what}: {}", e2e::chain(&error))),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn check_new(case: &Case) -> Result<()> {
    let mut rig = Rig::new("check").await?;
    check(&mut rig, case).await?;
    rig.clean().await
}

pub(crate) async fn check(rig: &mut Rig, case: &Case) -> Result<()> {
    rig.admin(case.sql).await?;
    rig.configure(case.options)?;
    let names: Vec<String> = case.names.iter().map(|name| rig.fill(name)).collect();
    let told = rig.check().await?;
    let finding = told.find(case.severity, case.code, &names)?;
    let status = i32::from(case.severity == "error");
    let mut errors = told.errors();
    errors.dedup();
    if told.status != status || errors != vec![case.code; status as usize] {
        return Err(format!("no other {} was expected:\n{}", case.severity, told.out).into());
    }
    explained(case.code).await?;
    match case.mend {
        Mend::Sql => rig.admin(&statements(&finding.mend)).await?,
        Mend::Options(words, options) => {
            says(&finding.mend, words)?;
            rig.configure(options)?;
        }
        Mend::Says(words) => return says(&finding.mend, words),
    }
    let told = rig.check().await?;
    let left = told
        .findings
        .iter()
        .any(|left| left.code == finding.code && left.problem == finding.problem);
    if left || told.status != 0 {
        return Err(format!("not mended by {:?}:\n{}", finding.mend, told.out).into());
    }
    Ok(())
}

fn says(mend: &str, words: &str) -> Result<()> {
    match mend.contains(words) {
        true => Ok(()),
        false => Err(format!("{mend:?} does not say {words:?}").into()),
    }
}

/// `afterimage explain` knows the code.
pub(crate) async fn explained(code: &str) -> Result<String> {
    let mut command = tokio::process::Command::new(e2e::stack::program()?);
    let output = command.args(["explain", code]).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && text.contains("To mend it: ") {
        Ok(text)
    } else {
        Err(format!("`explain {code}` says {text:?}").into())
    }
}
