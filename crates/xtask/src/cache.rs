//! What is downloaded or running for one user: one directory, `afterimage` in the user's cache.
//!
//! ```text
//! apt/SUITE/         private package index of one distribution release
//! postgres-1/18/     unpacked packages
//! maven/, jars/      a generated project while it runs, and what it fetched
//! stacks/NAME/       one running stack: data, logs, state.json; gone after `down`
//! ```
//! An entry is made under a file lock in a directory of its own and marked `complete` last, so that two runs never see half of
//! it and an interrupted download is simply made anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::trouble::{Doing, Result};

/// Stands in an entry that was made to its end.
const COMPLETE: &str = "complete";

/// The cache directory, made when missing.
pub(crate) fn directory() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| Path::new(value).is_absolute())
        .map(PathBuf::from);
    let base = match base {
        Some(base) => base,
        None => PathBuf::from(
            std::env::var_os("HOME")
                .ok_or("HOME is not set, so there is no place for downloads")?,
        )
        .join(".cache"),
    };
    let dir = base.join("afterimage");
    fs::create_dir_all(&dir).doing(dir.display())?;
    Ok(dir)
}

/// Where Unix sockets are: a path of theirs has at most 107 characters, which a home directory may exceed.
pub(crate) fn sockets() -> Result<PathBuf> {
    let name = format!("afterimage-{}", rustix::process::getuid().as_raw());
    let dir = [std::env::temp_dir(), PathBuf::from("/tmp")]
        .into_iter()
        .map(|base| base.join(&name))
        .find(|dir| dir.as_os_str().len() <= 60)
        .expect("/tmp is short");
    fs::create_dir_all(&dir).doing(dir.display())?;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).doing(dir.display())?;
    if fs::metadata(&dir).doing(dir.display())?.uid() != rustix::process::getuid().as_raw() {
        return Err(format!("{} belongs to somebody else", dir.display()).into());
    }
    Ok(dir)
}

/// Whether the entry `dir` is there as a whole.
pub(crate) fn is_complete(dir: &Path) -> bool {
    dir.join(COMPLETE).exists()
}

/// Makes the entry `dir` with `make` unless it is there as a whole.
pub(crate) fn entry(dir: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let _lock = lock(dir)?;
    if is_complete(dir) {
        return Ok(());
    }
    if dir.exists() {
        fs::remove_dir_all(dir).doing(dir.display())?;
    }
    fs::create_dir_all(dir).doing(dir.display())?;
    make()?;
    let mark = dir.join(COMPLETE);
    fs::write(&mark, "").doing(mark.display())
}

/// Waits for the lock beside `dir`; dropped, it is free again.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let name = format!("{}.lock", dir.file_name().unwrap_or_default().to_string_lossy());
    let path = dir.with_file_name(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).doing(parent.display())?;
    }
    let file = File::create(&path).doing(path.display())?;
    file.lock().doing(path.display())?;
    Ok(file)
}
