//! What an answer, or none, means.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use avro::RegistryError;
use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// More than any schema a registry takes (Confluent's default bound is 1 MiB), and little to hold.
const BODY_MAX: usize = 16 << 20;
/// Of the registry's own words.
const WORDS_MAX: usize = 600;

/// A body that came with success.
pub(crate) type Body = Vec<u8>;

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: RegistryError,
    /// The registry's own number for what is wrong; 0 where it gave none.
    pub(crate) number: u64,
    /// When the registry wants to be asked again.
    pub(crate) after: Option<Duration>,
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self { error, number: 0, after: None }
    }
}

/// `{"error_code": 40401, "message": ".."}`
#[derive(Debug, Deserialize)]
struct Words {
    #[serde(default)]
    error_code: u64,
    #[serde(default)]
    message: String,
}

pub(crate) async fn read(response: Response) -> Result<Body, Refusal> {
    let status = response.status();
    let header = |name| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let location = header(LOCATION);
    let after = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    let body = match body(response).await {
        Ok(body) => body,
        Err(refusal) if status.is_success() => return Err(refusal),
        Err(_) => Vec::new(),
    };
    if status.is_success() {
        return Ok(body);
    }
    let words: Option<Words> = serde_json::from_slice(&body).ok();
    let number = words.as_ref().map_or(0, |words| words.error_code);
    let said = words.map_or_else(String::new, |words| plain(&words.message));
    let error = refused(status, &said, location.as_deref());
    Err(Refusal { error, number, after: after.map(Duration::from_secs) })
}

fn refused(status: StatusCode, said: &str, location: Option<&str>) -> RegistryError {
    let number = status.as_u16();
    let says = if said.is_empty() { String::new() } else { format!(": {said}") };
    let definite = |code, what: &str| {
        RegistryError::definite(code, format!("the registry {what} (status {number}){says}"))
    };
    match number {
        409 | 422 => definite("schema-incompatible", "does not take the schema"),
        401 | 403 => definite("registry-unauthorized", "refuses our credentials"),
        300..=399 => {
            let to = plain(location.unwrap_or("elsewhere"));
            definite("registry-redirect", &format!("sends us to {to}"))
        }
        404 => definite("registry-not-found", "knows no such path; its url may need one"),
        408 | 429 | 500.. => RegistryError::transient(
            "registry-unavailable",
            format!("the registry cannot answer now (status {number}){says}"),
        ),
        _ => definite("registry-refused", "refuses the request"),
    }
}

async fn body(mut response: Response) -> Result<Body, Refusal> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(malformed("is longer than any schema").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn malformed(what: &str) -> RegistryError {
    RegistryError::definite(
        "registry-answer",
        format!("the registry's answer {what}; something else may stand at its url"),
    )
}

/// No answer came.
pub(crate) fn unanswered(error: &reqwest::Error) -> Refusal {
    let mut chain = Vec::new();
    let mut untrusted = false;
    let mut next = error.source();
    while let Some(error) = next {
        untrusted |= distrusts(error);
        let text = error.to_string();
        if !chain.iter().any(|known: &String| known.contains(&text)) {
            chain.push(text);
        }
        next = error.source();
    }
    let problem = plain(&chain.join(": "));
    if untrusted {
        let problem = format!("the registry's certificate is not trusted: {problem}");
        return RegistryError::definite("registry-tls", problem).into();
    }
    let what = if error.is_timeout() {
        "the registry did not answer in time"
    } else {
        "the registry cannot be reached"
    };
    let problem = match problem.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {problem}"),
    };
    RegistryError::transient("registry-unavailable", problem).into()
}

fn distrusts(error: &(dyn StdError + 'static)) -> bool {
    // What an I/O error wraps is not its source but itself, and it may be wrapped twice.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => distrusts(inner),
        None => matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))),
    }
}

/// One line of bounded length: answers go into logs.
fn plain(text: &str) -> String {
    let clean = |char: char| if char.is_control() { ' ' } else { char };
    let mut plain: String = text.chars().take(WORDS_MAX).map(clean).collect();
    if plain.len() < text.len() {
        plain.push('…');
    }
    plain
}
