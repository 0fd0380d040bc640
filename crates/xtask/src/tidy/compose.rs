//! The Compose file: checked by the client where there is one, else by its shape.

use std::fs;
use std::path::Path;

use crate::program;

pub(crate) fn check(root: &Path) -> Vec<String> {
    let file = root.join("docker-compose.yml");
    if program::succeeds(&mut program::command(["docker", "compose", "version"])) {
        let asked = program::output(
            program::command(["docker", "compose", "--profile", "*", "-f"])
                .arg(&file)
                .args(["config", "--quiet"]),
        );
        return asked
            .err()
            .map(|trouble| format!("docker-compose.yml: {trouble}"))
            .into_iter()
            .collect();
    }
    match fs::read_to_string(&file) {
        Ok(text) => check_shape(&text),
        Err(error) => vec![format!("docker-compose.yml: {error}")],
    }
}

/// What holds for every service: an image of a fixed version or a build, a health check, and ports on loopback only.
fn check_shape(text: &str) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(at) = text.lines().position(|line| line.contains('\t')) {
        troubles.push(format!("docker-compose.yml:{}: a tab, which YAML does not allow", at + 1));
    }
    let services = services(text);
    if services.is_empty() {
        troubles.push("docker-compose.yml: no services".to_owned());
    }
    for (name, lines) in services {
        let mut trouble = |what: &str| troubles.push(format!("docker-compose.yml: {name}: {what}"));
        let value =
            |key: &str| lines.iter().find_map(|line| line.trim().strip_prefix(key).map(str::trim));
        match (value("image:"), value("build:")) {
            (Some(image), _) if !image.contains(':') || image.ends_with(":latest") => {
                trouble("the image's version is not fixed")
            }
            (None, None) => trouble("neither image nor build"),
            _ => {}
        }
        if value("healthcheck:").is_none() {
            trouble("no health check");
        }
        for line in &lines {
            // A published port, in the short form: "ADDRESS:HOST:CONTAINER".
            let entry = line.trim().trim_start_matches("- ").trim_matches('"');
            let is_port = line.trim().starts_with("- \"")
                && entry.ends_with(|c: char| c.is_ascii_digit())
                && entry.contains(':');
            if is_port && !entry.starts_with("127.0.0.1:") {
                trouble(&format!("port {entry} is open to the network"));
            }
        }
    }
    troubles
}

/// The lines of each service: two spaces of indentation below `services:`.
fn services(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in
        text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    {
        let indent = line.len() - line.trim_start().len();
        match indent {
            0 => inside = line.starts_with("services:"),
            2 if inside => found.push((line.trim().trim_end_matches(':').to_owned(), Vec::new())),
            _ if inside => found.last_mut().into_iter().for_each(|(_, lines)| lines.push(line)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check_shape;

    const GOOD: &str = "services:\n  one:\n    image: a:1\n    healthcheck:\n      test: x\n    ports:\n      - \"127.0.0.1:1:2\"\n";

    #[track_caller]
    fn check(from: &str, to: &str, troubles: usize) {
        let found = check_shape(&GOOD.replace(from, to));
        assert_eq!(found.len(), troubles, "{found:?}");
    }

    #[test]
    fn each_rule_of_shape_is_told() {
        check("", "", 0);
        check("a:1", "a", 1);
        check("a:1", "a:latest", 1);
        check("healthcheck:", "other:", 1);
        check("127.0.0.1:1:2", "1:2", 1);
        check("image: a:1", "build: .", 0);
        check("image: a:1", "user: b", 1);
        check("services:", "things:", 1);
        check("      test", "\ttest", 1);
    }
}
