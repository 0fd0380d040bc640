//! `afterimage run` as a process of its own, with a configuration of the test's.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use toml::Table;

use crate::Result;
use crate::stack::{self, Stack};

/// A configuration that can be started any number of times.
#[derive(Debug)]
pub struct Connector {
    pub name: String,
    pub configuration: Table,
    directory: TempDir,
    program: PathBuf,
    /// Kept out of the file, as in any configuration.
    password: String,
}

/// The variable of the environment with the database's password.
const PASSWORD: &str = "E2E_POSTGRES_PASSWORD";

/// One process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub started: Instant,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Connector {
    /// A connector `name` that follows the database at `url` into Kafka as Avro; `changes` is merged over that.
    pub fn new(stack: &Stack, name: &str, url: &str, changes: &Table) -> Result<Self> {
        let (url, password) = without_password(url);
        let mut configuration: Table = toml::from_str(&format!(
            r#"
            name = "{name}"
            [source]
            kind = "postgres"
            url = "{url}"
            password = "${{env:{PASSWORD}}}"
            tls = "disable"
            tables = ["public.*", "{sentinel}"]
            [sink]
            kind = "kafka"
            brokers = ["{kafka}"]
            [format]
            kind = "avro"
            registry = "{registry}"
            "#,
            sentinel = crate::sentinel::TABLE,
            kafka = stack.kafka,
            registry = stack.registry,
        ))?;
        merge(&mut configuration, changes);
        // JSON needs no registry, and refuses one.
        if let Some(format) = configuration.get_mut("format").and_then(toml::Value::as_table_mut)
            && format.get("kind").and_then(toml::Value::as_str) == Some("json")
        {
            format.remove("registry");
        }
        Ok(Self {
            name: name.to_owned(),
            configuration,
            directory: tempfile::tempdir()?,
            program: stack::program()?,
            password,
        })
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("connector.toml")
    }

    /// A command of the program with the configuration as its file.
    pub fn command(&self, verb: &str) -> Result<Command> {
        std::fs::write(self.file(), toml::to_string(&self.configuration)?)?;
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .arg(self.file())
            .env(PASSWORD, &self.password)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    pub fn start(&self) -> Result<Running> {
        self.start_with(&[])
    }

    /// With further variables of the environment, for further secrets.
    pub fn start_with(&self, variables: &[(&str, String)]) -> Result<Running> {
        let mut child = self
            .command("run")?
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("it is piped");
        let kept = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                kept.lock().expect("nobody panics with the lock").push(line);
            }
        });
        Ok(Running { child, started: Instant::now(), lines, reader })
    }

    /// Runs another command of the program to its end: exit status, standard output and error.
    pub async fn call(&self, verb: &str, arguments: &[&str]) -> Result<(i32, String, String)> {
        let output = self.command(verb)?.args(arguments).output().await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr)))
    }
}

impl Running {
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// All lines of the log so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics with the lock").clone()
    }

    /// The last lines of the log, for a failed test.
    pub fn tail(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(25);
        log[from..].iter().map(|line| format!("  log: {line}\n")).collect()
    }

    /// Whether it still runs; its status when not.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and the process is gone when this returns.
    pub async fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill().await?;
        let _ = self.reader.await;
        Ok(self.lines.lock().expect("nobody panics with the lock").clone())
    }

    /// SIGTERM: must end by itself with success.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate().await?;
        let status = self.wait(Duration::from_secs(30)).await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("after SIGTERM the connector ended with {status}\n{}", self.tail()).into())
        }
    }

    pub async fn terminate(&self) -> Result<()> {
        let pid = self.child.id().ok_or("the connector has ended already")?;
        let status = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        if status.success() { Ok(()) } else { Err("the connector cannot be signalled".into()) }
    }

    pub async fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let status = timeout(at_most, self.child.wait()).await;
        let status =
            status.map_err(|_| format!("the connector does not end\n{}", self.tail()))??;
        // What it wrote last may still be on its way here.
        let _ = timeout(Duration::from_secs(2), &mut self.reader).await;
        Ok(status)
    }

    /// Waits for the end, which must be a stop with this code.
    pub async fn stopped_with(mut self, code: &str, at_most: Duration) -> Result<()> {
        let status = self.wait(at_most).await?;
        let told = self.log().iter().any(|line| line.contains(code));
        if status.code() == Some(1) && told {
            Ok(())
        } else {
            Err(format!(
                "the connector should stop with the code `{code}` and exit status 1, but ended with {status}\n{}",
                self.tail()
            )
            .into())
        }
    }

    /// Waits until a line of the log satisfies `wanted`.
    pub async fn logged(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut seen = 0;
        for _ in 0..600 {
            let log = self.log();
            for line in &log[seen..] {
                if let Ok(line) = serde_json::from_str(line)
                    && wanted(&line)
                {
                    return Ok(line);
                }
            }
            seen = log.len();
            if let Some(status) = self.ended()? {
                return Err(format!("the connector ended with {status}\n{}", self.tail()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the connector's log has no {what}\n{}", self.tail()).into())
    }
}

/// `scheme://user:password@rest` in two.
fn without_password(url: &str) -> (String, String) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (user, server) = rest.split_once('@')?;
        let (user, password) = user.split_once(':')?;
        Some((format!("{scheme}://{user}@{server}"), password.to_owned()))
    });
    parts.unwrap_or_else(|| (url.to_owned(), String::new()))
}

/// Sets every value of `changes`, table by table.
pub fn merge(into: &mut Table, changes: &Table) {
    for (key, value) in changes {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(changes)) => merge(into, changes),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
