//! What can be configured, and the domain types it is parsed into at once.

use std::fmt;
use std::num::NonZeroU8;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::client::{Identity, Target, TlsMode};
use crate::pattern::{ColumnPattern, Excluded, TablePattern};

/// A PostgreSQL database as the source.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host:port/database`, the server that has the log: the primary, not a pooler.
    pub url: Secret,
    /// The user's password, when it does not stand in the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How the connection is guarded. Default: `verify-full`, and `disable` for this machine.
    #[serde(default)]
    pub tls: Option<TlsChoice>,
    /// Certificate authorities to trust, a PEM file. Default: those this machine trusts.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The client's own certificate, a PEM file; with `key`.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The key of `cert`, a PEM file.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Tables to capture: `schema.table`, `*` for any characters.
    pub tables: Vec<String>,
    /// What to leave out though it matches `tables`: tables as `schema.table`, single columns as
    /// `schema.table.column`; `*` for any characters.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The slot's name is this, an underscore and eight digits. Default: `afterimage_<name>`.
    #[serde(default)]
    pub slot: Option<String>,
    /// The publication to read. Default: `afterimage_<name>`.
    #[serde(default)]
    pub publication: Option<String>,
    /// Whether a missing publication is made, and missing tables are added to it, which takes the rights of the
    /// tables' owner. If not, `check` prints the statements.
    #[serde(default = "yes")]
    pub manage_publication: bool,
    /// Sessions that copy side by side, 1 to 16. Default: 2.
    #[serde(default)]
    pub readers: Option<NonZeroU8>,
    /// What becomes of columns whose type has no form of its own in messages.
    #[serde(default)]
    pub unknown_types: UnknownTypes,
    /// Keep the slot in step on standbys, so that it survives a failover; PostgreSQL 17 and later.
    #[serde(default)]
    pub failover: bool,
    /// Emit what `pg_logical_emit_message` writes.
    #[serde(default)]
    pub messages: bool,
}

impl Config {
    /// Tables of the database behind `url`, all else by default.
    pub fn new(url: &str, tables: &[&str]) -> Config {
        Config {
            url: url.into(),
            password: None,
            tls: None,
            ca: None,
            cert: None,
            key: None,
            tables: tables.iter().map(|table| (*table).to_owned()).collect(),
            exclude: Vec::new(),
            slot: None,
            publication: None,
            manage_publication: true,
            readers: None,
            unknown_types: UnknownTypes::Text,
            failover: false,
            messages: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// How the connection is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsChoice {
    /// Not at all.
    Disable,
    /// Encrypted, to whoever answers.
    Require,
    /// The certificate's issuer is verified.
    VerifyCa,
    /// The certificate's issuer and name are verified.
    VerifyFull,
}

/// What becomes of columns of types that have no form of their own in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownTypes {
    /// Their text, as the database writes it.
    #[default]
    Text,
    /// The column is left out.
    Omit,
}

/// Text that is never printed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub struct Secret(SecretString);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.0)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// The option, from the source's section on: `tables[0]`.
    pub path: String,
    pub problem: String,
}

/// The configuration, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) tables: Vec<TablePattern>,
    pub(crate) exclude_tables: Vec<TablePattern>,
    pub(crate) exclude_columns: Vec<ColumnPattern>,
    pub(crate) slot_prefix: String,
    pub(crate) publication: String,
    pub(crate) manage_publication: bool,
    pub(crate) readers: usize,
    pub(crate) unknown_types: UnknownTypes,
    pub(crate) failover: bool,
    pub(crate) messages: bool,
    /// A temporary slot in place of one that stays: for a look at changes from now on.
    pub(crate) temporary: bool,
}

const READERS: usize = 2;
const READERS_MAX: usize = 16;
/// The database's limit on names.
const NAME_BYTES_MAX: usize = 63;
/// An underscore and eight hexadecimal digits follow.
const PREFIX_BYTES_MAX: usize = NAME_BYTES_MAX - 9;

impl Settings {
    /// `name` is the connector's. Returns all problems at once.
    pub(crate) fn new(name: &str, config: &Config) -> Result<Settings, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut problem = |path: &str, problem: String| {
            errors.push(ConfigError { path: path.to_owned(), problem });
        };
        let target = target(name, config, &mut problem);
        let mut tables = Vec::new();
        if config.tables.is_empty() {
            problem("tables", "names no table".into());
        }
        for (index, text) in config.tables.iter().enumerate() {
            match TablePattern::parse(text) {
                Ok(pattern) => tables.push(pattern),
                Err(error) => problem(&format!("tables[{index}]"), error.to_string()),
            }
        }
        let (mut exclude_tables, mut exclude_columns) = (Vec::new(), Vec::new());
        for (index, text) in config.exclude.iter().enumerate() {
            match Excluded::parse(text) {
                Ok(Excluded::Tables(pattern)) => exclude_tables.push(pattern),
                Ok(Excluded::Columns(pattern)) => exclude_columns.push(pattern),
                Err(error) => problem(&format!("exclude[{index}]"), error.to_string()),
            }
        }
        let own = own_name(name);
        let slot_prefix = config.slot.clone().unwrap_or_else(|| own.clone());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if slot_prefix.is_empty()
            || slot_prefix.len() > PREFIX_BYTES_MAX
            || !slot_prefix.chars().all(allowed)
        {
            problem(
                "slot",
                format!(
                    "a slot's name has at most {PREFIX_BYTES_MAX} lower-case letters, digits and underscores"
                ),
            );
        }
        let publication = config.publication.clone().unwrap_or(own);
        if publication.is_empty()
            || publication.len() > NAME_BYTES_MAX
            || publication.contains('\0')
        {
            problem("publication", format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        let readers = config.readers.map_or(READERS, |readers| readers.get().into());
        if readers > READERS_MAX {
            problem("readers", format!("at most {READERS_MAX}"));
        }
        match target {
            Some(target) if errors.is_empty() => Ok(Settings {
                target,
                tables,
                exclude_tables,
                exclude_columns,
                slot_prefix,
                publication,
                manage_publication: config.manage_publication,
                readers,
                unknown_types: config.unknown_types,
                failover: config.failover,
                messages: config.messages,
                temporary: false,
            }),
            _ => Err(errors),
        }
    }

    /// True when the configuration captures the table.
    pub(crate) fn captures(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[TablePattern]| {
            patterns.iter().any(|pattern| pattern.matches(schema, table))
        };
        any(&self.tables) && !any(&self.exclude_tables)
    }

    /// True when the column is left out of messages.
    pub(crate) fn excludes(&self, schema: &str, table: &str, column: &str) -> bool {
        self.exclude_columns.iter().any(|pattern| pattern.matches(schema, table, column))
    }
}

fn target(name: &str, config: &Config, problem: &mut impl FnMut(&str, String)) -> Option<Target> {
    let mut target = match Target::parse(config.url.expose()) {
        Ok(target) => target,
        Err(error) => {
            problem("url", error.to_string());
            return None;
        }
    };
    target.application_name = format!("afterimage/{name}");
    if let Some(password) = &config.password {
        target.password = Some(password.expose().into());
    }
    if let Some(choice) = config.tls {
        target.tls.mode = match choice {
            TlsChoice::Disable => TlsMode::Disable,
            TlsChoice::Require => TlsMode::Require,
            TlsChoice::VerifyCa => TlsMode::VerifyCa,
            TlsChoice::VerifyFull => TlsMode::VerifyFull,
        };
    }
    if let Some(ca) = &config.ca {
        target.tls.ca = Some(ca.clone());
    }
    match (&config.cert, &config.key) {
        (Some(certificate), Some(key)) => {
            target.tls.identity =
                Some(Identity { certificate: certificate.clone(), key: key.clone() });
        }
        (None, None) => {}
        _ => problem("cert", "cert and key are needed together".into()),
    }
    Some(target)
}

/// `afterimage_<name>` in the letters that a slot's name may have.
fn own_name(name: &str) -> String {
    let mut own = String::from("afterimage_");
    for c in name.chars() {
        own.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    own.truncate(PREFIX_BYTES_MAX);
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let config = config(
            r#"{"url": "mysql://x", "tables": ["orders", "a.b", "a.b.c"], "exclude": [".x", "a"],
                "slot": "Big-Slot", "publication": "", "readers": 17}"#,
        );
        let errors = Settings::new("shop", &config).unwrap_err();
        let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        let expected = [
            "url",
            "tables[0]",
            "tables[2]",
            "exclude[0]",
            "exclude[1]",
            "slot",
            "publication",
            "readers",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn names_are_made_of_the_connectors_name() {
        let config =
            config(r#"{"url": "postgres://u:secret@localhost/db", "tables": ["public.*"]}"#);
        let settings = Settings::new("Shop-EU 1", &config).unwrap();
        assert_eq!(settings.slot_prefix, "afterimage_shop_eu_1");
        assert_eq!(settings.publication, "afterimage_shop_eu_1");
        assert_eq!(settings.target.application_name, "afterimage/Shop-EU 1");
        assert_eq!(settings.readers, 2);
        assert!(!format!("{config:?}{settings:?}").contains("secret@"));
    }

    #[test]
    fn what_is_captured_is_what_matches_and_is_not_excluded() {
        let config = config(
            r#"{"url": "postgres://u@localhost/db", "tables": ["public.*", "audit.log"],
                "exclude": ["public.tmp_*", "public.*.secret"]}"#,
        );
        let settings = Settings::new("shop", &config).unwrap();
        let cases = [
            ("public", "orders", true),
            ("public", "tmp_1", false),
            ("audit", "log", true),
            ("audit", "logs", false),
            ("other", "orders", false),
        ];
        for (schema, table, expected) in cases {
            assert_eq!(settings.captures(schema, table), expected, "{schema}.{table}");
        }
        assert!(settings.excludes("public", "orders", "secret"));
        assert!(!settings.excludes("public", "orders", "secrets"));
    }

    #[test]
    fn unknown_options_are_refused() {
        let text = r#"{"url": "postgres://u@h/d", "tables": [], "tabels": []}"#;
        assert!(serde_json::from_str::<Config>(text).is_err());
    }
}
