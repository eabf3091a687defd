//! README.md's commands, run as a reader would run them, against what the page prints.
//!
//! A block of kind `console` is commands (`$ ...`, continued by lines that begin with `> `) with their exact output. They run in
//! order, in one folder with a copy of `models/`, against one server on free ports. Where the output may differ from run to
//! run the page leaves it out, by a command that selects what does not. `UPDATE_DOCS=1 cargo test --test readme` writes what
//! comes out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const PAGE: &str = "README.md";
const TOKEN: &str = "a-token-for-the-readme";
const FENCE: &str = "```console\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A running `gudgeon serve` in a folder with a copy of the sample registry.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    http: String,
    ops: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&repository("models"), &folder.path().join("models"));
        copy(&repository("tests/cases/models/iris_logreg"), &folder.path().join("tests/cases/models/iris_logreg"));
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gudgeon"), folder.path().join("gudgeon")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gudgeon"))
            .args([
                "serve",
                "--http-addr",
                "127.0.0.1:0",
                "--ops-addr",
                "127.0.0.1:0",
                "--grpc-addr",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .args(["--drain-delay", "0s"])
            .env("GUDGEON_ADMIN_TOKEN", TOKEN)
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                // Nobody listens any more once the server is ready; the log is read on so that it never blocks.
                drop(sender.send(serde_json::from_str::<serde_json::Value>(&line).unwrap()));
            }
        });
        let mut addresses = None;
        loop {
            let event = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
            let address = |key: &str| event.get(key)?.as_str().map(ToOwned::to_owned);
            addresses = address("http_addr").zip(address("ops_addr")).or(addresses);
            if event["message"] == "ready" {
                break;
            }
        }
        let (http, ops) = addresses.unwrap();
        Self { child, folder, http, ops }
    }

    /// What a command prints, standard error included.
    fn run(&self, command: &str) -> String {
        let command = command.replace("localhost:8080", &self.http).replace("localhost:8082", &self.ops);
        let path = format!("{}:{}", self.folder.path().display(), "/usr/local/bin:/usr/bin:/bin");
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("GUDGEON_ADMIN_TOKEN", TOKEN)
            .env("GUDGEON_URL", format!("http://{}", self.ops))
            .env("GUDGEON_ACTOR", "you")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A block with the output that its commands give now.
fn rerun(server: &Server, block: &str) -> String {
    let mut text = String::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut command = first.to_owned();
        text += &format!("{line}\n");
        while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
            command += &format!("\n{}", &more[2..]);
            text += &format!("{more}\n");
        }
        text += &server.run(&command);
    }
    text
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch that lets a test write what it would check")]
fn every_command_of_the_readme_prints_what_the_readme_says() {
    let page = std::fs::read_to_string(repository(PAGE)).unwrap();
    let server = Server::start();
    let mut parts = page.split(FENCE);
    let mut actual = parts.next().unwrap().to_owned();
    let mut n_blocks = 0;
    for part in parts {
        let (block, rest) = part.split_once("```").unwrap();
        actual += &format!("{FENCE}{}```{rest}", rerun(&server, block));
        n_blocks += 1;
    }
    assert!(3 < n_blocks, "the blocks of commands were not found");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(repository(PAGE), &actual).unwrap();
    }
    for (index, (shown, now)) in page.lines().zip(actual.lines()).enumerate() {
        assert_eq!(shown, now, "{PAGE}:{}: the page (left) against what is printed (right)", index + 1);
    }
    assert_eq!(page.lines().count(), actual.lines().count(), "{PAGE}: the output has another length:\n{actual}");
}
