use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Url};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Where schemas are registered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the registry's Confluent-compatible interface, with its path where it has one:
    /// `http://127.0.0.1:8081`, `https://registry.example/apis/ccompat/v7`.
    pub url: String,
    /// For basic authentication, with `password`.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// For bearer authentication, instead of `user` and `password`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// Certificates for `https` addresses; the table is needed only where the system's do not suffice.
    #[serde(default)]
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificates that the registry's must descend from, PEM (default: the system's).
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, PEM, for a registry that asks for one.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// What is wrong with a [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the registry's address is no URL")]
    Url,
    #[error("the registry's address begins with {scheme}, not with http or https")]
    Scheme { scheme: String },
    #[error("the registry's address holds a user or password; use the options user and password")]
    CredentialsInUrl,
    #[error("the registry's address has a query or a fragment")]
    Query,
    #[error("user and password go together")]
    HalfBasic,
    #[error("token does not go with user and password")]
    TwoWays,
    #[error("cert and key go together")]
    HalfIdentity,
    #[error("{path} cannot be read")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no usable PEM")]
    Pem { path: PathBuf },
    #[error("no client for HTTP can be made: {problem}")]
    Client { problem: String },
}

/// Nothing of the user's name, password or token is printed: `Debug` of secrets is redacted.
#[derive(Debug)]
pub(crate) enum Credentials {
    None,
    Basic { user: String, password: SecretString },
    Bearer(SecretString),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

impl Config {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), user: None, password: None, token: None, tls: None }
    }

    pub(crate) fn address(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(&self.url).map_err(|_| ConfigError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConfigError::Scheme { scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::CredentialsInUrl);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConfigError::Query);
        }
        Ok(url)
    }

    pub(crate) fn credentials(&self) -> Result<Credentials, ConfigError> {
        match (&self.user, &self.password, &self.token) {
            (None, None, None) => Ok(Credentials::None),
            (None, None, Some(token)) => Ok(Credentials::Bearer(token.clone())),
            (Some(user), Some(password), None) => {
                Ok(Credentials::Basic { user: user.clone(), password: password.clone() })
            }
            (_, _, Some(_)) => Err(ConfigError::TwoWays),
            _ => Err(ConfigError::HalfBasic),
        }
    }

    /// Follows no redirect: an answer from elsewhere would be taken for the registry's, and the credentials would go
    /// along. Uses the environment's proxies, but not to this machine itself.
    pub(crate) fn http(&self, url: &Url) -> Result<Client, ConfigError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("afterimage/", env!("CARGO_PKG_VERSION")));
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        if let Some(tls) = &self.tls {
            if let Some(path) = &tls.ca {
                let pem = || ConfigError::Pem { path: path.clone() };
                let certificates = Certificate::from_pem_bundle(&read(path)?).map_err(|_| pem())?;
                if certificates.is_empty() {
                    return Err(pem());
                }
                builder = builder.tls_certs_only(certificates);
            }
            match (&tls.cert, &tls.key) {
                (None, None) => {}
                (Some(cert), Some(key)) => {
                    let mut pem = read(key)?;
                    pem.push(b'\n');
                    pem.extend_from_slice(&read(cert)?);
                    let identity = Identity::from_pem(&pem)
                        .map_err(|_| ConfigError::Pem { path: cert.clone() })?;
                    builder = builder.identity(identity);
                }
                _ => return Err(ConfigError::HalfIdentity),
            }
        }
        builder.build().map_err(|error| ConfigError::Client { problem: error.to_string() })
    }
}

impl Credentials {
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Credentials::None => request,
            Credentials::Basic { user, password } => {
                request.basic_auth(user, Some(password.expose_secret()))
            }
            Credentials::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_configuration_says_what_is_wrong() {
        let check = |config: Config, expected: &str| {
            let url = config.address();
            let problem = url
                .and_then(|url| config.credentials().map(|_| url))
                .and_then(|url| config.http(&url).map(|_| ()))
                .expect_err("the configuration is wrong");
            assert_eq!(problem.to_string(), expected);
        };
        let good = Config::new("https://registry.example/apis/ccompat/v7");
        let secret = |text: &str| Some(SecretString::from(text));
        let tls = |tls| Config { tls: Some(tls), ..good.clone() };
        check(
            Config::new("registry:8081x"),
            "the registry's address begins with registry, not with http or https",
        );
        check(Config::new("8081"), "the registry's address is no URL");
        check(
            Config::new("ftp://r"),
            "the registry's address begins with ftp, not with http or https",
        );
        check(
            Config::new("http://u:p@r"),
            "the registry's address holds a user or password; use the options user and password",
        );
        check(Config::new("http://r/?a=b"), "the registry's address has a query or a fragment");
        check(Config { user: Some("u".into()), ..good.clone() }, "user and password go together");
        check(Config { password: secret("p"), ..good.clone() }, "user and password go together");
        check(
            Config { user: Some("u".into()), token: secret("t"), ..good.clone() },
            "token does not go with user and password",
        );
        check(tls(Tls { cert: Some("c".into()), ..Tls::default() }), "cert and key go together");
        check(tls(Tls { ca: Some("/none".into()), ..Tls::default() }), "/none cannot be read");
        check(
            tls(Tls { ca: Some("Cargo.toml".into()), ..Tls::default() }),
            "Cargo.toml holds no usable PEM",
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let read = |value| serde_json::from_value::<Config>(value).map_err(|e| e.to_string());
        assert!(read(serde_json::json!({ "url": "http://r", "tls": { "ca": "ca.pem" } })).is_ok());
        for wrong in [
            serde_json::json!({ "url": "http://r", "usr": "u" }),
            serde_json::json!({ "url": "http://r", "tls": { "kay": "k" } }),
            serde_json::json!({}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = Config {
            user: Some("u".into()),
            password: Some("hush".into()),
            token: Some("hush".into()),
            ..Config::new("http://r")
        };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
