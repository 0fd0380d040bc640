//! The listeners that encrypt, and those that ask who we are.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::Result;

/// Addresses and credentials as `cargo xtask stack up --secure` gives them.
#[derive(Debug, Clone)]
pub struct Secure {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who shows a certificate, or none.
    pub kafka_tls: String,
    pub kafka_sasl: String,
    pub kafka_sasl_tls: String,
    /// May do everything.
    pub user: String,
    pub password: String,
    /// May do what the test allows.
    pub limited: Option<Limited>,
}

#[derive(Debug, Clone)]
pub struct Limited {
    pub user: String,
    pub password: String,
    class_path: String,
}

impl Secure {
    pub fn from_environment() -> Result<Self> {
        let text = |name: &str| {
            let name = format!("AFTERIMAGE_STACK_{name}");
            std::env::var(&name).map_err(|_| {
                format!(
                    "{name} is not set: this test needs secure listeners, run `cargo xtask test`"
                )
            })
        };
        let limited = || {
            Some(Limited {
                user: text("KAFKA_LIMITED_USER").ok()?,
                password: text("KAFKA_LIMITED_PASSWORD").ok()?,
                class_path: text("KAFKA_CLASSPATH").ok()?,
            })
        };
        Ok(Self {
            ca: text("TLS_CA")?.into(),
            certificate: text("TLS_CLIENT_CERTIFICATE")?.into(),
            key: text("TLS_CLIENT_KEY")?.into(),
            kafka_tls: text("KAFKA_TLS")?,
            kafka_sasl: text("KAFKA_SASL")?,
            kafka_sasl_tls: text("KAFKA_SASL_TLS")?,
            user: text("KAFKA_SASL_USER")?,
            password: text("KAFKA_SASL_PASSWORD")?,
            limited: limited(),
        })
    }
}

impl Limited {
    /// Allows operations on a resource, in the words of Kafka's own tool: `--topic`, `orders`.
    pub async fn allow(&self, kafka: &str, resource: &[&str], operations: &[&str]) -> Result<()> {
        let mut command = Command::new("java");
        command
            .args(["-Xmx64m", "-cp", &self.class_path, "org.apache.kafka.tools.AclCommand"])
            .args(["--bootstrap-server", kafka, "--add", "--force"])
            .args(["--allow-principal", &format!("User:{}", self.user)])
            .args(resource)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for operation in operations {
            command.args(["--operation", operation]);
        }
        let output = command.output().await?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
        }
    }
}
