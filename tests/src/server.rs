//! A PostgreSQL of a test's own, for what cannot be tried on one that others use: its settings, its end, its place taken by
//! another.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::Config;

use crate::Result;
use crate::database::connect;
use crate::stack::Stack;

#[derive(Debug)]
pub struct Server {
    pub port: u16,
    programs: PathBuf,
    directory: TempDir,
    running: Option<Child>,
}

/// The superuser's name and password, and the ordinary user's, who may replicate.
const ADMIN: &str = "admin";
const USER: &str = "cdc";

impl Server {
    /// A new cluster with `settings` (lines of `postgresql.conf`) on a free port; it ends when dropped.
    pub async fn start(settings: &str) -> Result<Self> {
        let programs = std::env::var("AFTERIMAGE_STACK_POSTGRES_PROGRAMS").map_err(|_| {
            "AFTERIMAGE_STACK_POSTGRES_PROGRAMS is not set: this test starts a server of its own"
        })?;
        // Free now, and the kernel gives it to nobody else soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self {
            port,
            programs: programs.into(),
            directory: tempfile::tempdir()?,
            running: None,
        };
        server.initialise(settings).await?;
        server.resume().await?;
        Ok(server)
    }

    async fn initialise(&self, settings: &str) -> Result<()> {
        let password = self.directory.path().join("password");
        std::fs::write(&password, format!("{ADMIN}\n"))?;
        let mut initdb = self.command("initdb");
        initdb
            .args([
                "-U",
                ADMIN,
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-A",
                "scram-sha-256",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()));
        succeed(initdb).await?;
        let conf = self.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&conf)?
            + &format!(
                "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = 16MB\n\
                 fsync = off\njit = off\nmax_connections = 30\nautovacuum = off\n{settings}\n"
            );
        Ok(std::fs::write(conf, text)?)
    }

    /// Starts the server where it is.
    pub async fn resume(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.directory.path().join("log"))?;
        let mut command = self.command("postgres");
        command.args(["-p", &self.port.to_string()]);
        self.running = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        for _ in 0..600 {
            if connect(&self.admin("postgres")).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let said = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        Err(format!("the server does not start\n{said}").into())
    }

    /// Ends the server at once; its data stays.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let pid = running.id().ok_or("the server has ended")?;
        // Fast shutdown: sessions are ended, the log is complete.
        let told = Command::new("kill").arg("-INT").arg(pid.to_string()).status().await?;
        if !told.success() {
            return Err("the server cannot be signalled".into());
        }
        running.wait().await?;
        Ok(())
    }

    /// Takes another server's port while that is down.
    pub async fn stand_in_for(&mut self, other: &Server) -> Result<()> {
        self.stop().await?;
        self.port = other.port;
        self.resume().await
    }

    /// The stack with this server as its PostgreSQL; the user is made.
    pub async fn stack(&self, stack: &Stack) -> Result<Stack> {
        let admin = connect(&self.admin("postgres")).await?;
        let made = format!("CREATE ROLE {USER} LOGIN REPLICATION PASSWORD '{USER}'");
        admin.batch_execute(&made).await?;
        let url = |user: &str| format!("postgres://{user}:{user}@127.0.0.1:{}/postgres", self.port);
        Ok(Stack { postgres: url(USER), postgres_admin: url(ADMIN), ..stack.clone() })
    }

    fn admin(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(ADMIN).password(ADMIN).dbname(database);
        config.connect_timeout(Duration::from_secs(5));
        config
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A program of the server's, which refuses to be run by root: then in a namespace in which we are nobody special.
    /// Ends with us, however we end.
    fn command(&self, program: &str) -> Command {
        let mut words: Vec<String> = Vec::new();
        if is_root() {
            let (user, group) = (ordinary_user(), ordinary_user());
            words.extend(["unshare", "--user"].map(str::to_owned));
            words.extend([format!("--map-user={user}"), format!("--map-group={group}")]);
        }
        if ["/usr/bin/setpriv", "/bin/setpriv"].iter().any(|path| Path::new(path).exists()) {
            words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        }
        words.push(self.programs.join(program).display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        user.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
    })
}

/// The first that is not root; the server looks its user up.
fn ordinary_user() -> u32 {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut ids = users.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    ids.find(|id| *id != 0).unwrap_or(65534)
}

async fn succeed(mut command: Command) -> Result<()> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}
