//! The promise that no server outlives its purpose, on real processes: `sleep` stands for the servers.

#![expect(clippy::unwrap_used, reason = "all of this file is a test")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// A supervisor over a directory of its own; the lifeline is its standard input.
struct Supervised {
    child: Child,
    directory: PathBuf,
    socket: PathBuf,
    ports: Vec<u16>,
}

fn supervised(name: &str) -> Supervised {
    let base = std::env::temp_dir().join(format!("afterimage-xtask-{}-{name}", std::process::id()));
    let (directory, socket) = (base.join("stack"), base.join("socket"));
    std::fs::create_dir_all(&directory).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("supervise")
        .args([&directory, &socket])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ports = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
    Supervised { child, directory, socket, ports }
}

impl Supervised {
    fn ask(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Starts a server that would run for an hour; its pid.
    fn start(&self, name: &str, words: &[&str]) -> u32 {
        let log = self.directory.join("log");
        let answer = self.ask(
            &json!({"do": "start", "service": name, "words": words, "log": log, "end": "TERM"}),
        );
        answer["pid"].as_u64().expect("a pid") as u32
    }

    fn close_lifeline(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.directory.parent().unwrap());
    }
}

const HOUR: [&str; 5] = ["setpriv", "--pdeathsig", "KILL", "sleep", "3600"];

/// Whether the process is there; one that is dead and not yet reaped is not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// Waits for what has to come, long enough for any machine; what does not come fails instead of hanging.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "real processes end in real time")]
fn until(holds: impl Fn() -> bool) {
    let came = (0..12_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        holds()
    });
    assert!(came);
}

#[test]
fn the_runner_is_gone_and_so_are_the_servers() {
    let mut stack = supervised("gone");
    let pids = [stack.start("one", &HOUR), stack.start("two", &HOUR)];
    assert!(pids.iter().all(|pid| lives(*pid)));
    stack.close_lifeline();
    stack.child.wait().unwrap();
    assert!(!pids.iter().any(|pid| lives(*pid)));
    assert!(!stack.directory.exists());
}

#[test]
fn a_server_that_does_not_want_to_end_is_killed() {
    let mut stack = supervised("stubborn");
    let deaf = stack.directory.join("deaf");
    let script = format!("trap '' TERM; touch '{}'; while :; do sleep 0.05; done", deaf.display());
    let pid = stack.start("stubborn", &["sh", "-c", &script]);
    until(|| deaf.exists());
    stack.close_lifeline();
    stack.child.wait().unwrap();
    assert!(!lives(pid));
}

#[test]
fn a_detached_stack_outlives_the_runner_until_its_end_is_asked_for() {
    let mut stack = supervised("detached");
    let pid = stack.start("one", &HOUR);
    stack.ask(&json!({"do": "detach"}));
    stack.close_lifeline();
    // The supervisor has seen the lifeline close once it answers a question that was asked after.
    for _ in 0..20 {
        stack.ask(&json!({"do": "status"}));
    }
    assert!(lives(pid));
    assert_eq!(stack.ask(&json!({"do": "end"})), json!({}));
    assert!(!lives(pid));
    assert!(!stack.directory.exists());
}

#[test]
fn the_supervisor_is_killed_and_so_are_the_servers() {
    let mut stack = supervised("killed");
    let pid = stack.start("one", &HOUR);
    // `setpriv` becomes the server only after it has asked for the signal.
    until(|| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() == "sleep");
    stack.child.kill().unwrap();
    stack.child.wait().unwrap();
    until(|| !lives(pid));
}

#[test]
fn a_killed_server_is_told_and_can_be_started_again() {
    let stack = supervised("again");
    let pid = stack.start("one", &HOUR);
    let status = || stack.ask(&json!({"do": "status"}))["services"]["one"].clone();
    assert_eq!(status()["ended"], Value::Null);
    assert!(stack.ask(&json!({"do": "restart", "service": "one"}))["error"].is_string(), "it runs");
    stack.ask(&json!({"do": "signal", "service": "one", "signal": "KILL"}));
    assert!(status()["ended"].is_string(), "gone when the answer comes");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "reaped, no zombie");
    stack.ask(&json!({"do": "restart", "service": "one"}));
    assert_eq!(status()["ended"], Value::Null);
    assert_ne!(status()["pid"], json!(pid));
}

#[test]
fn the_last_words_are_said_at_the_end() {
    let mut stack = supervised("words");
    let said = stack.directory.parent().unwrap().join("said");
    stack.ask(&json!({"do": "at_end", "words": ["touch", &said]}));
    stack.close_lifeline();
    stack.child.wait().unwrap();
    assert!(said.exists());
}

#[test]
fn two_stacks_share_no_port() {
    let (one, two) = (supervised("ports1"), supervised("ports2"));
    assert!(!one.ports.is_empty());
    assert!(!one.ports.iter().any(|port| two.ports.contains(port)));
}

#[test]
fn what_cannot_be_done_is_answered_in_words() {
    let stack = supervised("wrong");
    for request in [
        json!({"do": "dance"}),
        json!({"do": "restart", "service": "nobody"}),
        json!({"do": "signal", "service": "nobody", "signal": "KILL"}),
        json!({"do": "start", "service": "one", "words": ["/nowhere/at/all"]}),
    ] {
        assert!(stack.ask(&request)["error"].is_string(), "{request}");
    }
}
