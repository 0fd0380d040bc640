use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task;

/// How soon a reader that has gone is noticed.
const READER_POLL: Duration = Duration::from_millis(500);

/// Where lines go. Every call runs on a thread that may block, one after the other: what was handed over is written
/// whole, also when the caller no longer waits for it.
#[derive(Debug, Clone)]
pub struct Output {
    target: Target,
    open: Arc<Mutex<Option<Stream>>>,
}

#[derive(Debug, Clone)]
enum Target {
    Stdout,
    File(PathBuf),
}

#[derive(Debug)]
enum Stream {
    Stdout(io::Stdout),
    /// `regular`: it can be cut and synced, unlike a pipe or a terminal.
    File {
        file: File,
        regular: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("{path} cannot be opened")]
    Open { path: PathBuf, source: io::Error },
    #[error("the unfinished last line of {path} cannot be cut off")]
    Cut { path: PathBuf, source: io::Error },
    #[error("writing to {to} failed")]
    Write { to: String, source: io::Error },
    #[error("the reader of {to} has gone")]
    Closed { to: String },
}

impl OutputError {
    /// A full disk may be emptied; a missing directory or right stays missing until somebody acts.
    fn is_definite(&self) -> bool {
        match self {
            OutputError::Closed { .. } => true,
            OutputError::Open { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::Interrupted
            ),
            OutputError::Cut { .. } | OutputError::Write { .. } => false,
        }
    }

    pub(crate) fn into_failure(self, doing: &'static str) -> Failure {
        let code = match self {
            OutputError::Closed { .. } => "output-closed",
            _ => "output-unwritable",
        };
        if self.is_definite() {
            Failure::definite(code, doing, self)
        } else {
            Failure::transient(code, doing, self)
        }
    }
}

impl Output {
    pub fn stdout() -> Self {
        Self { target: Target::Stdout, open: Arc::default() }
    }

    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::File(path.into()), open: Arc::default() }
    }

    /// Waits until nobody reads standard output any more; for ever, where that cannot be told, as of a file.
    pub async fn reader_gone() -> Failure {
        let mut tick = tokio::time::interval(READER_POLL);
        loop {
            tick.tick().await;
            let stdout = io::stdout();
            let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
            let answered = poll(&mut asked, Some(&Timespec::default()));
            if answered.is_ok() && asked[0].revents().contains(PollFlags::ERR) {
                let error = OutputError::Closed { to: "standard output".to_owned() };
                return error.into_failure("waiting for changes");
            }
        }
    }

    /// Opens anew, and cuts off what is left of a line that was not finished.
    pub(crate) async fn recover(&self) -> Result<(), OutputError> {
        self.call(|target, stream| {
            // Closed first: after a fault of the disk the old handle may hold an error that is told only once.
            drop(stream.take());
            *stream = Some(match target {
                Target::Stdout => Stream::Stdout(io::stdout()),
                Target::File(path) => open(path)?,
            });
            Ok(())
        })
        .await
    }

    /// Returns the buffer, emptied, for the next lines.
    pub(crate) async fn write(&self, mut lines: Vec<u8>) -> Result<Vec<u8>, OutputError> {
        self.call(move |target, stream| {
            let result = match stream {
                Some(Stream::Stdout(stdout)) => {
                    let mut stdout = stdout.lock();
                    stdout.write_all(&lines).and_then(|()| stdout.flush())
                }
                Some(Stream::File { file, .. }) => file.write_all(&lines),
                None => Err(io::Error::other("not opened yet")),
            };
            result.map_err(|source| target.write_error(source))?;
            lines.clear();
            Ok(lines)
        })
        .await
    }

    /// All that was written is on the disk; for a pipe or a terminal: it was taken by it.
    pub(crate) async fn sync(&self) -> Result<(), OutputError> {
        self.call(|target, stream| match stream {
            Some(Stream::File { file, regular: true }) => {
                file.sync_data().map_err(|source| target.write_error(source))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Target, &mut Option<Stream>) -> Result<T, OutputError> + Send + 'static,
    ) -> Result<T, OutputError> {
        let Self { target, open } = self.clone();
        let done = task::spawn_blocking(move || {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            work(&target, &mut open)
        });
        match done.await {
            Ok(result) => result,
            // The runtime is ending; nobody looks at the answer.
            Err(join) => Err(self.target.write_error(io::Error::other(join))),
        }
    }

    /// Whether `path` could be appended to, without making it.
    pub(crate) fn probe(path: &Path) -> io::Result<()> {
        match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let metadata = directory(path).metadata()?;
                if !metadata.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                if metadata.permissions().readonly() {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

impl Target {
    fn write_error(&self, source: io::Error) -> OutputError {
        let to = match self {
            Target::Stdout => "standard output".to_owned(),
            Target::File(path) => path.display().to_string(),
        };
        if source.kind() == io::ErrorKind::BrokenPipe {
            OutputError::Closed { to }
        } else {
            OutputError::Write { to, source }
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn open(path: &Path) -> Result<Stream, OutputError> {
    let failed = |source| OutputError::Open { path: path.to_owned(), source };
    let existed = path.exists();
    // A pipe opened for reading too would never tell that its reader has gone.
    let regular = !existed || path.is_file();
    let mut file =
        OpenOptions::new().append(true).read(regular).create(true).open(path).map_err(failed)?;
    if !existed {
        File::open(directory(path)).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    if regular {
        cut_torn_line(&mut file)
            .map_err(|source| OutputError::Cut { path: path.to_owned(), source })?;
    }
    Ok(Stream::File { file, regular })
}

/// Shortens the file to its last end of line. Reads backwards, so the cost is that of the torn line.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    const BLOCK: u64 = 64 * 1024;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        (&*file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        tracing::info!(bytes = length - end, "cutting off an unfinished last line");
        file.set_len(end)?;
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn scratch() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("output-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    async fn check(left_behind: &[u8], expected: &[u8]) {
        let directory = scratch();
        let path = directory.join("out.jsonl");
        fs::write(&path, left_behind).unwrap();
        let output = Output::file(&path);
        output.recover().await.unwrap();
        output.write(b"{}\n".to_vec()).await.unwrap();
        output.sync().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), [expected, b"{}\n"].concat());
        fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn a_torn_last_line_is_cut_and_whole_lines_stay() {
        check(b"", b"").await;
        check(b"a\n", b"a\n").await;
        check(b"a\nb", b"a\n").await;
        check(b"torn", b"").await;
        check(b"\n", b"\n").await;
        let long = vec![b'x'; 200_000];
        check(&long, b"").await;
        check(&[b"a\n", &*long].concat(), b"a\n").await;
        check(&[&*long, b"\n"].concat(), &[&*long, b"\n"].concat()).await;
    }

    #[tokio::test]
    async fn a_write_before_the_output_was_opened_fails() {
        let failure = Output::stdout().write(b"{}\n".to_vec()).await.unwrap_err();
        assert_eq!(failure.into_failure("writing").code, "output-unwritable");
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_stops_and_a_full_disk_waits() {
        let missing = Output::file("/dev/null/none").recover().await.unwrap_err();
        assert!(missing.into_failure("opening").is_definite());
        let full = Output::file("/dev/full");
        full.recover().await.unwrap();
        let failure = full.write(b"{}\n".to_vec()).await.unwrap_err().into_failure("writing");
        assert_eq!((failure.code, failure.is_definite()), ("output-unwritable", false));
    }
}
