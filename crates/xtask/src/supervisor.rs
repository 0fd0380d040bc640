//! The process that owns a stack's servers, so that none of them outlives its purpose.
//!
//! ```text
//!   runner --- lifeline (pipe) ---> supervisor --- parent of ---> postgres, kafka, registry, connect
//!      \------ control socket ------/   (own session)                (each dies with its parent)
//! ```
//! - The runner is killed, however: its end of the lifeline closes, the supervisor reads end-of-file and ends all servers,
//!   unless it was told to `detach` (a stack that `stack up` leaves running).
//! - The supervisor is killed: the kernel kills the servers. They are started through `setpriv --pdeathsig`; the signal comes
//!   when the *thread* that made them ends, so all of them are made by the main thread.
//! - A server is killed: the supervisor is its parent and reaps it at once. Where the first process reaps orphans late, a
//!   zombie would keep its pid alive, and PostgreSQL would refuse to start over its lock file.
//! - Ctrl-C reaches the runner only: the supervisor leads a session of its own.
//!
//! Ports: the supervisor claims a block of sixteen as long as it lives, below the range from which the kernel takes ports for
//! outgoing connections. So two stacks never meet, not even while a server is down for a restart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::cache;
use crate::trouble::{Doing, Result, Trouble};

/// Ports held by one stack.
pub(crate) const PORTS: u16 = 16;
const PORTS_FIRST: u16 = 20_000;
const BLOCKS: u16 = 700;
/// How long a server may take to end by itself before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// A server to be run: what, how, where its output goes and how it ends.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    /// The signal for a quick but orderly end.
    pub(crate) end: &'static str,
}

/// The runner's side: speaks to the supervisor of one stack.
#[derive(Clone)]
pub(crate) struct Control {
    socket: PathBuf,
}

/// The runner's end of the lifeline. Dropping it ends the stack, unless it is detached.
pub(crate) struct Lifeline {
    _child: Child,
}

impl Control {
    pub(crate) fn of(name: &str) -> Result<Control> {
        Ok(Control { socket: cache::sockets()?.join(format!("{name}.sock")) })
    }

    /// Whether a supervisor answers.
    pub(crate) fn answers(&self) -> bool {
        self.ask(&json!({"do": "status"})).is_ok()
    }

    pub(crate) fn start(&self, service: &Service) -> Result<u32> {
        let answer = self.ask(&json!({
            "do": "start",
            "service": service.name,
            "words": service.words,
            "environment": service.environment,
            "log": service.log,
            "end": service.end,
        }))?;
        Ok(answer["pid"].as_u64().unwrap_or_default() as u32)
    }

    /// Starts a server again as it was started before.
    pub(crate) fn restart(&self, service: &str) -> Result<()> {
        self.ask(&json!({"do": "restart", "service": service})).map(drop)
    }

    /// Sends `signal` (its name without SIG) to one server.
    pub(crate) fn signal(&self, service: &str, signal: &str) -> Result<()> {
        self.ask(&json!({"do": "signal", "service": service, "signal": signal})).map(drop)
    }

    /// Every server's pid and, when it has ended, how.
    pub(crate) fn status(&self) -> Result<BTreeMap<String, (u32, Option<String>)>> {
        let answer = self.ask(&json!({"do": "status"}))?;
        let services = answer["services"].as_object().cloned().unwrap_or_default();
        Ok(services
            .into_iter()
            .map(|(name, value)| {
                let pid = value["pid"].as_u64().unwrap_or_default() as u32;
                (name, (pid, value["ended"].as_str().map(str::to_owned)))
            })
            .collect())
    }

    /// A command for the very end, after the servers: what they don't undo by ending.
    pub(crate) fn at_end(&self, words: &[String]) -> Result<()> {
        self.ask(&json!({"do": "at_end", "words": words})).map(drop)
    }

    /// From now on the stack outlives the runner.
    pub(crate) fn detach(&self) -> Result<()> {
        self.ask(&json!({"do": "detach"})).map(drop)
    }

    /// Ends every server and removes the stack's directory; returns when that is done.
    pub(crate) fn end(&self) -> Result<()> {
        self.ask(&json!({"do": "end"})).map(drop)
    }

    fn ask(&self, request: &Value) -> Result<Value> {
        let mut stream =
            UnixStream::connect(&self.socket).doing("the stack's supervisor does not answer")?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).doing("control socket")?;
        writeln!(stream, "{request}").doing("control socket")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).doing("control socket")?;
        let answer: Value =
            serde_json::from_str(&line).doing("the supervisor ended while it was asked")?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }
}

/// Starts a supervisor over `directory`; the ports it holds come back.
pub(crate) fn launch(name: &str, directory: &Path) -> Result<(Control, Lifeline, Vec<u16>)> {
    let control = Control::of(name)?;
    let log = directory.join("supervisor.log");
    // Not the file's name: compiling the tests may have put another file in its place.
    let mut child = Command::new("/proc/self/exe")
        .arg("supervise")
        .arg(directory)
        .arg(&control.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).doing(log.display())?)
        .spawn()
        .doing("the supervisor")?;
    let mut ready = String::new();
    BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"))
        .read_line(&mut ready)
        .doing("the supervisor")?;
    let ports: Vec<u16> = ready.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if ports.len() < PORTS as usize {
        return Err(Trouble(format!(
            "the supervisor did not start: {}",
            fs::read_to_string(&log).unwrap_or_default()
        )));
    }
    Ok((control, Lifeline { _child: child }, ports))
}

// ------------------------------------------------------------------ the supervisor itself

struct Running {
    request: Value,
    child: Child,
    ended: Option<ExitStatus>,
}

enum Message {
    Ask(Value, Sender<Value>),
    LifelineClosed,
}

/// The whole life of a supervisor: `xtask supervise DIRECTORY SOCKET`.
pub(crate) fn supervise(directory: &Path, socket: &Path) -> Result<()> {
    // Fails only for a process that leads a group already, which needs no session to be out of Ctrl-C's reach.
    let _ = rustix::process::setsid();
    // Orphans of the servers (and of the shells that start them) come to us and are reaped, not to a far-away first process.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .doing("child subreaper")?;
    let (_block, ports) = hold_ports()?;
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket).doing(socket.display())?;
    let (sender, messages) = mpsc::channel();
    listen(listener, sender.clone());
    watch_lifeline(sender);
    let line: Vec<String> = ports.iter().map(u16::to_string).collect();
    println!("{}", line.join(" "));

    let (last_words, answer) = serve(&messages);
    let _ = fs::remove_file(socket);
    for words in last_words {
        let _ = crate::program::output(&mut crate::program::command(&words));
    }
    let removed = fs::remove_dir_all(directory).doing(directory.display());
    if let Some(answer) = answer {
        let _ = answer.send(match &removed {
            Ok(()) => json!({}),
            Err(trouble) => json!({"error": trouble.to_string()}),
        });
        // The answer leaves on another thread, which must not be cut off by our end.
        thread::sleep(Duration::from_millis(50));
    }
    removed
}

/// Answers until the end is asked for or the lifeline closes; then all servers are gone. Returns the commands for the very end,
/// and who waits for the answer.
fn serve(messages: &Receiver<Message>) -> (Vec<Vec<String>>, Option<Sender<Value>>) {
    let mut services: BTreeMap<String, Running> = BTreeMap::new();
    let mut last_words = Vec::new();
    let mut detached = false;
    loop {
        for running in services.values_mut() {
            running.reap();
        }
        match messages.recv_timeout(Duration::from_millis(50)) {
            Err(RecvTimeoutError::Timeout) => reap_orphans(&services),
            Err(RecvTimeoutError::Disconnected) => break,
            Ok(Message::LifelineClosed) if detached => {}
            Ok(Message::LifelineClosed) => break,
            Ok(Message::Ask(request, answer)) => {
                let reply = match request["do"].as_str().unwrap_or_default() {
                    "start" => start(&mut services, &request),
                    "restart" => restart(&mut services, &request),
                    "signal" => signal(&mut services, &request),
                    "status" => Ok(status(&services)),
                    "at_end" => {
                        last_words.push(strings(&request["words"]));
                        Ok(json!({}))
                    }
                    "detach" => {
                        detached = true;
                        Ok(json!({}))
                    }
                    "end" => {
                        end_all(&mut services);
                        return (last_words, Some(answer));
                    }
                    other => Err(Trouble(format!("the supervisor does not know '{other}'"))),
                };
                let _ = answer
                    .send(reply.unwrap_or_else(|trouble| json!({"error": trouble.to_string()})));
            }
        }
    }
    end_all(&mut services);
    (last_words, None)
}

fn start(services: &mut BTreeMap<String, Running>, request: &Value) -> Result<Value> {
    let name = request["service"].as_str().ok_or("a service needs a name")?.to_owned();
    if services.get_mut(&name).is_some_and(|running| running.reap().is_none()) {
        return Err(Trouble(format!("{name} is running already")));
    }
    let log_path = request["log"].as_str().unwrap_or("/dev/null");
    let log = File::options().create(true).append(true).open(log_path).doing(log_path)?;
    let mut command = crate::program::command(strings(&request["words"]));
    for pair in request["environment"].as_array().into_iter().flatten() {
        command.env(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    let child = command
        .stdin(Stdio::null())
        .stderr(log.try_clone().doing(log_path)?)
        .stdout(log)
        .spawn()
        .doing(&name)?;
    let pid = child.id();
    services.insert(name, Running { request: request.clone(), child, ended: None });
    Ok(json!({"pid": pid}))
}

fn restart(services: &mut BTreeMap<String, Running>, request: &Value) -> Result<Value> {
    let name = request["service"].as_str().unwrap_or_default();
    let before = services
        .get(name)
        .ok_or_else(|| Trouble(format!("there is no service '{name}'")))?
        .request
        .clone();
    start(services, &before)
}

fn signal(services: &mut BTreeMap<String, Running>, request: &Value) -> Result<Value> {
    let name = request["service"].as_str().unwrap_or_default();
    let running =
        services.get_mut(name).ok_or_else(|| Trouble(format!("there is no service '{name}'")))?;
    let signal = request["signal"].as_str().unwrap_or_default();
    running.send(signal)?;
    if signal == "KILL" {
        // Nothing can put this end off; waited for, the next request finds the server gone.
        running.ended = running.child.wait().ok();
    }
    Ok(json!({}))
}

fn status(services: &BTreeMap<String, Running>) -> Value {
    let services: serde_json::Map<String, Value> = services
        .iter()
        .map(|(name, running)| {
            let ended = running.ended.map(|status| status.to_string());
            (name.clone(), json!({"pid": running.child.id(), "ended": ended}))
        })
        .collect();
    json!({ "services": services })
}

fn end_all(services: &mut BTreeMap<String, Running>) {
    for running in services.values_mut() {
        let end = running.request["end"].as_str().unwrap_or("TERM").to_owned();
        let _ = running.send("CONT").and_then(|()| running.send(&end));
    }
    let deadline = Instant::now() + END_PATIENCE;
    while services.values_mut().any(|running| running.reap().is_none()) {
        if Instant::now() >= deadline {
            for running in services.values_mut() {
                let _ = running.child.kill();
                let _ = running.child.wait();
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Running {
    fn reap(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal while the process is ours to signal: not yet reaped, so its pid cannot be another's.
    fn send(&mut self, signal: &str) -> Result<()> {
        if self.reap().is_some() {
            return Err("it has ended already".into());
        }
        let signal = match signal {
            "TERM" => Signal::TERM,
            "KILL" => Signal::KILL,
            "INT" => Signal::INT,
            "QUIT" => Signal::QUIT,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            "HUP" => Signal::HUP,
            other => {
                return Err(Trouble(format!(
                    "'{other}' is none of TERM KILL INT QUIT STOP CONT HUP"
                )));
            }
        };
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).doing("signal")
    }
}

/// Reaps what the servers left to us, without touching the servers themselves: their exit status is waited for by name.
fn reap_orphans(services: &BTreeMap<String, Running>) {
    let own = std::process::id();
    let Ok(text) = fs::read_to_string(format!("/proc/{own}/task/{own}/children")) else { return };
    for pid in text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()) {
        let known = services.values().any(|running| running.child.id() as i32 == pid);
        if let (false, Some(pid)) = (known, Pid::from_raw(pid)) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

fn listen(listener: UnixListener, messages: Sender<Message>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let messages = messages.clone();
            thread::spawn(move || {
                let _ = converse(stream, &messages);
            });
        }
    });
}

fn converse(mut stream: UnixStream, messages: &Sender<Message>) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream.try_clone().doing("control socket")?)
        .read_line(&mut line)
        .doing("control socket")?;
    let request = serde_json::from_str(&line).doing("control request")?;
    let (sender, answer) = mpsc::channel();
    messages.send(Message::Ask(request, sender)).doing("supervisor")?;
    let answer = answer.recv().doing("supervisor")?;
    writeln!(stream, "{answer}").doing("control socket")
}

fn watch_lifeline(messages: Sender<Message>) {
    thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = messages.send(Message::LifelineClosed);
    });
}

/// Claims the first block that nobody claims and whose ports are free.
fn hold_ports() -> Result<(Claim, Vec<u16>)> {
    for block in 0..BLOCKS {
        let first = PORTS_FIRST + block * PORTS;
        let Some(claim) = claim(first)? else { continue };
        let ports: Vec<u16> = (first..first + PORTS).collect();
        if ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return Ok((claim, ports));
        }
    }
    Err("no block of free ports".into())
}

/// Held as long as the supervisor lives; the system frees it however that ends.
#[cfg(target_os = "linux")]
type Claim = UnixListener;
#[cfg(not(target_os = "linux"))]
type Claim = File;

/// A socket's name that is no file is taken once in a network namespace, as ports are: by all users and containers that share
/// the ports.
#[cfg(target_os = "linux")]
fn claim(first: u16) -> Result<Option<Claim>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("afterimage-ports-{first}");
    let address = SocketAddr::from_abstract_name(&name).doing(&name)?;
    Ok(UnixListener::bind_addr(&address).ok())
}

/// Where sockets have file names only, a lock keeps one user's stacks apart.
#[cfg(not(target_os = "linux"))]
fn claim(first: u16) -> Result<Option<Claim>> {
    let path = crate::cache::sockets()?.join(format!("ports-{first}"));
    let file = File::create(&path).doing(path.display())?;
    Ok(file.try_lock().is_ok().then_some(file))
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}
