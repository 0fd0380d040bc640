//! The program as its users meet it: exit status, what stands on which stream, signals, pages. No server is needed:
//! every address here refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// In every field that holds a secret.
const CANARY: &str = "canary-x7Kq";

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("process-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("connector.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn afterimage(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .env_remove("PGPASSWORD")
        .env("CANARY", CANARY)
        .stdin(Stdio::null());
    command
}

/// Port 1 of this machine refuses.
const LINES: &str = r#"
name = "shop"
[source]
kind = "postgres"
url = "postgres://cdc@127.0.0.1:1/shop"
password = "${env:CANARY}"
tables = ["public.*"]
[sink]
kind = "file"
path = "out.jsonl"
[format]
kind = "json"
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check(arguments: &[&str], status: i32, stdout: &str, stderr: &str) {
    let scratch = Scratch::new();
    scratch.file(LINES);
    let output = afterimage(&scratch.0, arguments).output().unwrap();
    let found = (output.status.code(), text(&output.stdout), text(&output.stderr));
    assert!(
        found.0 == Some(status) && found.1.contains(stdout) && found.2.contains(stderr),
        "{arguments:?}: {found:#?}"
    );
}

#[test]
fn the_exit_status_tells_how_it_ended() {
    check(&[], 2, "", "Usage: afterimage");
    check(&["frobnicate"], 2, "", "unrecognized subcommand");
    check(&["--version"], 0, "afterimage ", "");
    check(&["schema"], 0, "\"title\": \"Afterimage connector\"", "");
    check(&["explain"], 0, "slot-in-use ", "");
    check(&["explain", "gap"], 0, "To mend it: `afterimage reset FILE`", "");
    check(&["explain", "gapp"], 2, "", "`gapp` is no code; did you mean `gap`?");
    check(&["check", "none.toml"], 2, "", "none.toml: cannot be read");
    check(&["check", "connector.toml"], 1, "error[connection]: ", "");
    check(&["check", "connector.toml"], 1, "run would not start: 1 error", "");
    check(&["check", "connector.toml", "--log-level", "x=y"], 2, "", "is no log level");
    check(&["reset", "connector.toml", "--yes"], 1, "", "\"code\":\"connection\"");
    check(&["drop", "connector.toml"], 1, "", "\"code\":\"connection\"");
    check(&["tail", "postgres://cdc@127.0.0.1:1/shop"], 1, "", "\"code\":\"connection\"");
    check(&["tail", "mysql://cdc@127.0.0.1:1/shop"], 2, "", "url: the URL does not begin with");
}

#[test]
fn a_wrong_file_is_told_line_by_line() {
    let scratch = Scratch::new();
    let wrong = LINES
        .replace("tables =", "tabels =")
        .replace("\"file\"", "\"fil\"")
        .replace("CANARY", "NOBODY");
    scratch.file(&wrong);
    let output = afterimage(&scratch.0, &["run", "connector.toml", "--log-format", "text"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "error[configuration]: connector.toml:6:12: source.password: the environment variable NOBODY is not set\n\
         error[configuration]: connector.toml:7:1: source.tabels: unknown option; did you mean `tables`?\n\
         error[configuration]: connector.toml:9:1: sink.kind: unknown kind `fil`; did you mean `file`?\n"
    );
}

/// A running program, and the lines of its log.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Running {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = afterimage(directory, arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, seen: String::new() }
    }

    /// The first line from here on that holds `wanted`.
    fn line(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).unwrap();
            assert!(read > 0, "the log ends without {wanted}:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(wanted) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: exit status and the whole log.
    fn end(&mut self) -> (Option<i32>, String) {
        self.log.read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_ends_a_run_with_success_also_while_it_waits_for_a_server() {
    for signal in ["-TERM", "-INT"] {
        let scratch = Scratch::new();
        scratch.file(LINES);
        let mut running = Running::start(&scratch.0, &["run", "connector.toml"]);
        running.line("trying again");
        running.signal(signal);
        let (status, log) = running.end();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("\"message\":\"stopped\""), "{log}");
    }
}

#[test]
fn two_processes_of_one_position_are_refused() {
    let scratch = Scratch::new();
    scratch.file(LINES);
    let mut first = Running::start(&scratch.0, &["run", "connector.toml"]);
    first.line("trying again");
    let (status, log) = Running::start(&scratch.0, &["run", "connector.toml"]).end();
    assert_eq!(status, Some(1));
    assert!(log.contains("\"code\":\"position-in-use\""), "{log}");
    assert!(log.contains("\"mend\":"), "{log}");
}

/// Status and body of one request.
fn get(address: &str, path: &str, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

#[test]
fn the_pages_tell_what_the_process_does() {
    let scratch = Scratch::new();
    scratch
        .file(&format!("{LINES}\n[http]\nlisten = \"127.0.0.1:0\"\ntoken = \"${{env:CANARY}}\"\n"));
    let mut running = Running::start(&scratch.0, &["run", "connector.toml"]);
    let line = running.line("\"address\":\"");
    let address =
        line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    running.line("trying again");

    let (status, body) = get(&address, "/healthz", "");
    assert_eq!(status, 200, "waiting for a server is in order: {body}");
    // Between two pauses it tries again, which is not ready either.
    let waiting = (0..10_000).find_map(|_| {
        let (status, body) = get(&address, "/readyz", "");
        assert_eq!(status, 503, "but no rows move: {body}");
        body.contains("\"state\":\"waiting\"").then_some(body)
    });
    let body = waiting.expect("a pause is seen");
    assert!(body.contains("\"code\":\"connection\""), "{body}");

    assert_eq!(get(&address, "/metrics", "").0, 401);
    assert_eq!(get(&address, "/metrics", "Authorization: Bearer canary-x7Kp\r\n").0, 401);
    let token = format!("Authorization: Bearer {CANARY}\r\n");
    let (status, body) = get(&address, "/metrics", &token);
    assert_eq!(status, 200);
    assert!(body.contains("afterimage_up 0") && body.contains("# HELP afterimage_up "), "{body}");
    assert!(body.contains("afterimage_retries_total{code=\"connection\"}"), "{body}");
    assert!(!body.contains(CANARY));
    assert_eq!(get(&address, "/", &token).0, 404);
}

#[test]
fn no_secret_is_ever_shown() {
    let kafka = r#"
name = "shop"
[source]
kind = "postgres"
url = "postgres://cdc:canary-x7Kq@127.0.0.1:1/shop"
password = "${env:CANARY}"
tables = ["public.*"]
[sink]
kind = "kafka"
brokers = ["127.0.0.1:1"]
deadline_ms = 1000
[sink.tls]
key_password = "${env:CANARY}"
[sink.sasl]
mechanism = "PLAIN"
username = "ann"
password = "canary-x7Kq"
[format]
kind = "avro"
[format.registry]
url = "http://127.0.0.1:1"
user = "ann"
password = "${env:CANARY}"
[http]
listen = "127.0.0.1:0"
token = "canary-x7Kq"
"#;
    let bearer =
        kafka.replace("user = \"ann\"\npassword = \"${env:CANARY}\"", "token = \"${env:CANARY}\"");
    let torn = kafka.replace("token = \"canary-x7Kq\"", "token = \"canary-x7Kq");
    let misplaced = kafka.replace("listen = \"127.0.0.1:0\"", "listen = \"${env:CANARY}\"");
    let kind = kafka.replace("kind = \"avro\"", "kind = \"${env:CANARY}\"");
    let files = [LINES, kafka, &bearer, &torn, &misplaced, &kind];
    for (index, file) in files.into_iter().enumerate() {
        for mode in ["check", "reset", "drop"] {
            let scratch = Scratch::new();
            scratch.file(file);
            let mut arguments = vec![mode, "connector.toml", "--log-level", "trace"];
            if mode != "check" {
                arguments.push("--yes");
            }
            hides(
                &format!("file {index}: {mode}"),
                &afterimage(&scratch.0, &arguments).output().unwrap(),
            );
        }
    }
    for file in [LINES, kafka] {
        let scratch = Scratch::new();
        scratch.file(file);
        let mut running =
            Running::start(&scratch.0, &["run", "connector.toml", "--log-level", "trace"]);
        running.line("trying again");
        running.signal("-TERM");
        let (_, log) = running.end();
        assert!(!log.contains(CANARY), "run:\n{log}");
    }
    let scratch = Scratch::new();
    for url in [
        "postgres://ann:canary-x7Kq@127.0.0.1:1/shop",
        "canary-x7Kq",
        "postgres://ann:canary-x7Kq@:x/%",
    ] {
        let output =
            afterimage(&scratch.0, &["tail", url, "--log-level", "trace"]).output().unwrap();
        hides("tail", &output);
    }
}

#[track_caller]
fn hides(what: &str, output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        assert!(!text(stream).contains(CANARY), "{what}:\n{}", text(stream));
    }
    assert_ne!(output.status.code(), Some(0), "{what}");
}
