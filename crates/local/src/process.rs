//! A child process, with all the processes it starts, that cannot outlive its owner.
//!
//! Each child runs in a process group of its own, so that Ctrl-C in a terminal reaches only us, and
//! we decide when the child ends. The group is led by a *watchdog*, which is there before the
//! child. It is a shell that reads from a pipe whose other end we hold, and that kills its whole
//! group when the pipe closes. The pipe closes when the [`ProcessGroup`] is dropped, and also when
//! this process ends in any other way, a panic or SIGKILL included. So there is one way to stop a
//! child and it needs neither a signal handler nor a process id.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// `kill 0` is the watchdog's own group; SIGKILL, because nothing that runs here has
/// anything to save.
const WATCHDOG: &str = "read -r _; kill -KILL 0";

/// The bytes of a log that an error message repeats.
const LOG_TAIL_BYTES: usize = 2_000;

/// A running child and everything it started. Dropping it kills them all and waits for
/// their end.
#[derive(Debug)]
pub struct ProcessGroup {
    watchdog: Child,
    child: Child,
    log: PathBuf,
}

impl ProcessGroup {
    /// Starts `command` in a new process group, without input, its standard error in the new
    /// file `log`. Standard output goes to the same file, unless `output` names another.
    ///
    /// # Errors
    /// When a log file cannot be made, or the command or `/bin/sh` cannot be started.
    pub fn spawn(command: &mut Command, log: &Path, output: Option<&Path>) -> io::Result<Self> {
        let log_file = File::create(log)?;
        let output_file = match output {
            Some(path) => File::create(path)?,
            None => log_file.try_clone()?,
        };
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let child = command
            .process_group(watchdog.id().cast_signed())
            .stdin(Stdio::null())
            .stdout(output_file)
            .stderr(log_file)
            .spawn()
            .inspect_err(|_| end(&mut watchdog))?;
        Ok(Self { watchdog, child, log: log.to_owned() })
    }

    /// How the child ended, if it has.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Where the child's log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of the child's log, for an error message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // The watchdog ends by its own signal: once it is gone, its group has been killed.
        if self.watchdog.wait().is_err() {
            end(&mut self.watchdog);
        }
        // Not redundant: somebody may have killed the watchdog before us.
        end(&mut self.child);
    }
}

/// Kills one child and takes its exit status, so that it does not stay behind as a zombie.
fn end(child: &mut Child) {
    // Both fail only for a child that has already ended, which is what they are for.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Starts a shell that starts a sleeping child of its own and writes that child's id.
    fn parent_of_a_sleeper(dir: &Path) -> (ProcessGroup, u32) {
        let pid_file = dir.join("sleeper");
        let group = ProcessGroup::spawn(
            Command::new("/bin/sh").args([
                "-c",
                "sleep 600 & echo $! > \"$1.new\"; mv \"$1.new\" \"$1\"; wait",
                "sh",
                &pid_file.display().to_string(),
            ]),
            &dir.join("log"),
            None,
        )
        .unwrap();
        assert!(within_5_s(|| pid_file.exists()), "the shell did not start its child");
        let sleeper = std::fs::read_to_string(&pid_file).unwrap();
        (group, sleeper.trim().parse().unwrap())
    }

    fn runs(pid: u32) -> bool {
        // An orphan that was killed may stay a zombie until pid 1 takes it.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn within_5_s(condition: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if condition() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn dropping_a_group_kills_the_child_and_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let (group, sleeper) = parent_of_a_sleeper(dir.path());
        let child = group.child.id();
        assert!(runs(child) && runs(sleeper));
        drop(group);
        assert!(!runs(child));
        assert!(within_5_s(|| !runs(sleeper)), "the child's child still runs");
    }

    #[test]
    fn a_panic_kills_the_group_too() {
        let dir = tempfile::tempdir().unwrap();
        let (group, sleeper) = parent_of_a_sleeper(dir.path());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _group = group;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(within_5_s(|| !runs(sleeper)), "the child's child still runs");
    }

    #[test]
    fn the_group_dies_when_only_the_pipe_closes() {
        // What happens when this process is killed with SIGKILL: no destructor runs, but the
        // system closes our end of the pipe.
        let dir = tempfile::tempdir().unwrap();
        let (mut group, sleeper) = parent_of_a_sleeper(dir.path());
        drop(group.watchdog.stdin.take());
        assert!(within_5_s(|| !runs(sleeper)), "the child's child still runs");
        assert!(group.child.wait().is_ok_and(|status| !status.success()));
    }

    #[test]
    fn an_exit_and_its_last_words_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = ProcessGroup::spawn(
            Command::new("/bin/sh").args(["-c", "echo the port is taken >&2; exit 3"]),
            &dir.path().join("log"),
            Some(&dir.path().join("out")),
        )
        .unwrap();
        let status = loop {
            if let Some(status) = group.exited().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(3));
        assert_eq!(group.log_tail(), "the port is taken");
    }
}
