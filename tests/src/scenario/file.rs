//! The text of a scenario.

use toml::Table;

use crate::Result;

#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub about: String,
    pub postgres_min: u32,
    pub config: Table,
    pub before: String,
    pub steps: Vec<Step>,
    pub expected: Vec<String>,
    /// All before the expected lines, as it stands in the file.
    head: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    After(String),
    Down(String),
    Stop(String, String),
    /// A level for the value's subject of a topic, in the registry.
    Compatibility(String, String),
    /// A topic in which something has to arrive.
    Arrived(String),
}

impl Scenario {
    pub fn parse(text: &str) -> Result<Self> {
        let mut sections = text.split("\n=== ");
        let about = sections.next().unwrap_or_default();
        let mut scenario = Self {
            about: String::new(),
            postgres_min: 0,
            config: Table::new(),
            before: String::new(),
            steps: Vec::new(),
            expected: Vec::new(),
            head: text.find("\n=== expect").map_or(text, |at| &text[..at]).to_owned(),
        };
        for line in about.lines() {
            if let Some(wanted) = line.strip_prefix("requires: ") {
                let version = wanted.strip_prefix("postgres >= ");
                let version =
                    version.ok_or_else(|| format!("`{line}`: requires: postgres >= N"))?;
                scenario.postgres_min = version.trim().parse()?;
            } else {
                scenario.about.push_str(line);
            }
        }
        for section in sections {
            let (title, body) = section.split_once('\n').unwrap_or((section, ""));
            let body = body.to_owned();
            match title.trim().split_once(' ').unwrap_or((title.trim(), "")) {
                ("config", "") => scenario.config = toml::from_str(&body)?,
                ("before", "") => scenario.before = body,
                ("after", "") => scenario.steps.push(Step::After(body)),
                ("down", "") => scenario.steps.push(Step::Down(body)),
                ("stop", code) if !code.is_empty() => {
                    scenario.steps.push(Step::Stop(code.to_owned(), body));
                }
                ("arrived", topic) if !topic.is_empty() => {
                    scenario.steps.push(Step::Arrived(topic.to_owned()));
                }
                ("compatibility", rule) => {
                    let (topic, level) =
                        rule.split_once(' ').ok_or("compatibility: TOPIC LEVEL")?;
                    scenario.steps.push(Step::Compatibility(topic.to_owned(), level.to_owned()));
                }
                ("expect", "") => {
                    let lines = body.lines().filter(|line| !line.trim().is_empty());
                    scenario.expected = lines.map(str::to_owned).collect();
                }
                _ => return Err(format!("`=== {title}` is no section").into()),
            }
        }
        Ok(scenario)
    }

    /// The file with other expected lines.
    pub fn with_expected(&self, lines: &[String]) -> String {
        let mut text = format!("{}\n=== expect\n", self.head.trim_end());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "About\nthis.\nrequires: postgres >= 15\n=== config\nformat.shape = \"row\"\n=== before\ncreate\n\
                        === after\na\n=== after\nb\n=== stop gap\nc\n=== expect\n{}\n\n{1}\n";

    #[test]
    fn sections_become_steps() {
        let scenario = Scenario::parse(TEXT).unwrap();
        assert_eq!(scenario.about, "Aboutthis.");
        assert_eq!(scenario.postgres_min, 15);
        assert_eq!(scenario.config["format"]["shape"].as_str(), Some("row"));
        assert_eq!(scenario.before, "create");
        assert_eq!(
            scenario.steps,
            [
                Step::After("a".to_owned()),
                Step::After("b".to_owned()),
                Step::Stop("gap".to_owned(), "c".to_owned())
            ]
        );
        assert_eq!(scenario.expected, ["{}", "{1}"]);
    }

    #[test]
    fn blessing_changes_the_expected_lines_only() {
        let blessed = Scenario::parse(TEXT).unwrap().with_expected(&["x".to_owned()]);
        assert_eq!(blessed, TEXT.replace("{}\n\n{1}\n", "x\n"));
        let fresh = Scenario::parse("A\n=== before\nb;\n").unwrap();
        assert_eq!(fresh.with_expected(&["x".to_owned()]), "A\n=== before\nb;\n=== expect\nx\n");
    }

    #[test]
    fn an_unknown_section_is_told() {
        let error = Scenario::parse("a\n=== befor\n").unwrap_err();
        assert_eq!(error.to_string(), "`=== befor` is no section");
    }
}
