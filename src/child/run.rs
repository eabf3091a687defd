//! The parent's side: start, feed, wait no longer than allowed, tell what became of it.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{ChildLimits, Farewell};

/// Bytes of standard output that are taken.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// Bytes of standard error that are kept: the last ones.
const ERROR_BYTES_MAX: usize = 16 << 10;
/// Characters of standard error in a message.
const ERROR_CHARS_MAX: usize = 500;
/// What Rust's allocator says before it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// A command of the binary.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The command and its arguments, as one would type them after `gudgeon`.
    pub args: &'a [OsString],
    /// What it finds on its standard input, one part after the other.
    pub input: &'a [&'a [u8]],
    /// Files and folders that it may read.
    pub readable: &'a [PathBuf],
    /// A shared library that it opens before it may open nothing any more.
    pub library: Option<&'a Path>,
}

/// What a child that ended by itself left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildOutput {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: String,
    /// What it took, where it came to say so.
    pub farewell: Option<Farewell>,
    /// Time from start to end.
    pub wall: Duration,
}

/// A child that did not end by itself, or said too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildFailure {
    /// It could not be started.
    #[error("a child process could not be started: {0}")]
    Start(String),
    /// It asked for more memory than it may have.
    #[error("it used more than {0} bytes of memory")]
    Memory(u64),
    /// It computed for longer than it may.
    #[error("it computed for more than {} s", .0.as_secs_f64())]
    Cpu(Duration),
    /// It did not end in time.
    #[error("it did not end within {} s", .0.as_secs_f64())]
    Time(Duration),
    /// Somebody ended it: mostly the system, which had no memory left.
    #[error("it was killed by the system, which mostly means that the machine or container ran out of memory")]
    Killed,
    /// It crashed.
    #[error("it crashed (signal {signal}, {}){}", signal_name(*.signal), said(.stderr))]
    Crashed {
        /// The signal that ended it.
        signal: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// It wrote more than is taken.
    #[error("it wrote more than {OUTPUT_BYTES_MAX} bytes")]
    Output,
}

fn signal_name(signal: i32) -> &'static str {
    let known = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::SYS, "SIGSYS"),
        (Signal::XFSZ, "SIGXFSZ"),
    ];
    known.iter().find(|(known, _)| known.as_raw() == signal).map_or("another", |(_, name)| name)
}

fn said(stderr: &str) -> String {
    let line: String = stderr.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(ERROR_CHARS_MAX).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

impl ChildOutput {
    /// The end of its standard error in one line, for a message.
    pub fn complaint(&self) -> String {
        said(&self.stderr).trim_start_matches(": ").to_owned()
    }
}

/// Runs `job` as a child of `binary` and waits for its end: this blocks for up to `limits.wall_max`. The child has an empty
/// environment and a process group of its own, and ends when the calling thread ends.
///
/// # Errors
/// [`ChildFailure`] where it could not be started or did not end by itself. An exit code other than 0 is no failure here.
pub fn run(binary: &Path, job: Job<'_>, limits: ChildLimits) -> Result<ChildOutput, ChildFailure> {
    watch(command(binary, job, limits), job.input, limits)
}

fn watch(mut command: Command, input: &[&[u8]], limits: ChildLimits) -> Result<ChildOutput, ChildFailure> {
    let started = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| ChildFailure::Start(error.to_string()))?;
    let no_thread = |error: io::Error| ChildFailure::Start(format!("no thread to wait on: {error}"));
    thread::scope(|scope| {
        // It is ended before the scope waits for its threads, also where one of them cannot be started.
        let mut running = Running { child, is_reaped: false };
        let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
        let stderr = running.child.stderr.take();
        let named = |name: &str| thread::Builder::new().name(format!("gudgeon-{name}"));
        let (ended, end) = mpsc::channel();
        let pid = running.pid();
        let waited = move || {
            wait(pid);
            ended.send(()).ok();
        };
        // It is not reaped there, so its number stays its own until the last signal has been sent.
        named("child-wait").spawn_scoped(scope, waited).map_err(no_thread)?;
        let output = move || stdout.map_or_else(Vec::new, |pipe| first_of(pipe, OUTPUT_BYTES_MAX));
        let output = named("child-out").spawn_scoped(scope, output).map_err(no_thread)?;
        let errors = move || stderr.map_or_else(Vec::new, |pipe| last_of(pipe, ERROR_BYTES_MAX));
        let errors = named("child-err").spawn_scoped(scope, errors).map_err(no_thread)?;
        let feed = move || {
            // A child that does not read to the end has its reasons, and tells them.
            stdin.map(|mut pipe| input.iter().try_for_each(|part| pipe.write_all(part)).ok());
        };
        named("child-in").spawn_scoped(scope, feed).map_err(no_thread)?;
        let in_time = end.recv_timeout(limits.wall_max).is_ok();
        let status = running.end().map_err(|error| ChildFailure::Start(error.to_string()))?;
        let stdout = output.join().unwrap_or_default();
        let stderr = errors.join().unwrap_or_default();
        if !in_time {
            return Err(ChildFailure::Time(limits.wall_max));
        }
        let (farewell, stderr) = Farewell::split(&String::from_utf8_lossy(&stderr));
        if OUTPUT_BYTES_MAX < stdout.len() {
            return Err(ChildFailure::Output);
        }
        let code = exit_code(status, &stderr, limits)?;
        Ok(ChildOutput { code, stdout, stderr, farewell, wall: started.elapsed() })
    })
}

fn command(binary: &Path, job: Job<'_>, limits: ChildLimits) -> Command {
    let mut command = Command::new(binary);
    command.arg0("gudgeon").arg("confined");
    command.arg("--parent").arg(std::process::id().to_string());
    command.arg("--memory-bytes-max").arg(limits.memory_bytes_max.to_string());
    command.arg("--cpu-ms-max").arg(limits.cpu_max.as_millis().to_string());
    for path in job.readable {
        command.arg("--readable").arg(path);
    }
    if let Some(library) = job.library {
        command.arg("--library").arg(library);
    }
    command.arg("--").args(job.args).env_clear().process_group(0);
    command
}

fn exit_code(status: ExitStatus, stderr: &str, limits: ChildLimits) -> Result<i32, ChildFailure> {
    let Some(signal) = status.signal() else { return Ok(status.code().unwrap_or(-1)) };
    Err(match Signal::from_named_raw(signal) {
        Some(Signal::XCPU) => ChildFailure::Cpu(limits.cpu_max),
        Some(Signal::ABORT) if stderr.contains(OUT_OF_MEMORY) => ChildFailure::Memory(limits.memory_bytes_max),
        Some(Signal::KILL) => ChildFailure::Killed,
        _ => ChildFailure::Crashed { signal, stderr: stderr.to_owned() },
    })
}

/// A child that is ended and reaped whatever happens here.
struct Running {
    child: Child,
    is_reaped: bool,
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends what is left of it and of what it started, and reaps it.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // Of a child that has ended by itself, the exit code stays what it was.
        kill_process_group(self.pid(), Signal::KILL).ok();
        self.child.kill().ok();
        let status = self.child.wait();
        self.is_reaped = true;
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.end().ok();
        }
    }
}

fn wait(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
}

/// The first bytes, one more than `bytes_max` where there are more.
fn first_of(pipe: impl Read, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.take(bytes_max as u64 + 1).read_to_end(&mut bytes).ok();
    bytes
}

/// The last bytes; all are read, so that the writer never waits.
fn last_of(mut pipe: impl Read, bytes_max: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        if 2 * bytes_max < kept.len() {
            kept.drain(..kept.len() - bytes_max);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ChildLimits =
        ChildLimits { memory_bytes_max: 1 << 30, cpu_max: Duration::from_secs(1), wall_max: Duration::from_secs(30) };

    fn shell(script: &str, input: &[&[u8]], limits: ChildLimits) -> Result<ChildOutput, ChildFailure> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        watch(command, input, limits)
    }

    #[test]
    fn a_child_that_ends_by_itself_gives_its_output_and_its_code() {
        let output = shell("cat; echo oh >&2; exit 10", &[b"two ", b"parts"], LIMITS).unwrap();
        assert_eq!((output.code, output.stdout.as_slice(), output.complaint().as_str()), (10, &b"two parts"[..], "oh"));
        assert_eq!(shell("exit 0", &[&[0; 1 << 20]], LIMITS).unwrap().code, 0, "it need not read its input");
    }

    #[test]
    fn a_child_that_does_not_end_is_ended_with_all_that_it_started() {
        let limits = ChildLimits { wall_max: Duration::from_millis(200), ..LIMITS };
        let started = Instant::now();
        // The one in the background holds the pipes open.
        assert_eq!(shell("sleep 100 & exec sleep 100", &[], limits), Err(ChildFailure::Time(limits.wall_max)));
        assert_eq!(shell("sleep 100 & exit 3", &[], LIMITS).unwrap().code, 3);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn how_a_child_failed_is_told_apart() {
        let crash = |signal, stderr: &str| Err(ChildFailure::Crashed { signal, stderr: stderr.to_owned() });
        assert_eq!(shell("echo ouch >&2; kill -ABRT $$", &[], LIMITS), crash(6, "ouch"));
        assert_eq!(shell("kill -SEGV $$", &[], LIMITS), crash(11, ""));
        assert_eq!(shell("kill -KILL $$", &[], LIMITS), Err(ChildFailure::Killed));
        assert_eq!(shell("kill -XCPU $$", &[], LIMITS), Err(ChildFailure::Cpu(LIMITS.cpu_max)));
        let memory = shell("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$", &[], LIMITS);
        assert_eq!(memory, Err(ChildFailure::Memory(1 << 30)));
        assert_eq!(shell("yes", &[], LIMITS), Err(ChildFailure::Output));
        let gone = watch(Command::new("/nowhere/at/all"), &[], LIMITS);
        assert!(matches!(gone, Err(ChildFailure::Start(_))), "{gone:?}");
        let text = ChildFailure::Crashed { signal: 6, stderr: "oh\n no".to_owned() }.to_string();
        assert_eq!(text, "it crashed (signal 6, SIGABRT): oh no");
    }
}
