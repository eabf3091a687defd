//! A command of the binary in a child process: what it may take and read is limited, and it ends with its parent.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gudgeon::child::{ChildLimits, Isolation, Job, Sandbox, run};
use gudgeon::config::{ByteSize, Period};
use serde_json::json;

use super::harness::{TOKEN, TestRegistry, TestServer, gudgeon, repository};
use super::hostile::graphs;
use super::process::Process;

const LIMITS: ChildLimits =
    ChildLimits { memory_bytes_max: 256 << 20, cpu_max: Duration::from_secs(10), wall_max: Duration::from_secs(60) };

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gudgeon"))
}

#[test]
fn a_child_reads_what_it_may_and_nothing_else() {
    let registry = TestRegistry::empty();
    let file = repository("tests/cases/models/iris_logreg/model.onnx");
    let models = registry.path().to_owned();
    let args: Vec<OsString> =
        ["register".into(), file.clone().into(), "--model".into(), "m".into(), "--models".into(), models.into()].into();
    let told = |readable| {
        let output = run(binary(), Job { args: &args, input: &[], readable, library: None }, LIMITS).unwrap();
        assert_eq!(output.code, 2, "{}", output.stderr);
        let farewell = output.farewell.unwrap();
        assert!(farewell.peak_memory_bytes.unwrap() > 1 << 20);
        (output.stderr, farewell.sandbox)
    };
    let (nothing_readable, sandbox) = told(&[]);
    if sandbox == Sandbox::None {
        // The kernel does not have what this is about.
        return;
    }
    assert!(nothing_readable.contains("cannot read"), "{nothing_readable}");
    let (readable, _) = told(std::slice::from_ref(&file));
    assert!(!readable.contains("cannot read"), "{readable}");
    assert!(!registry.file("m").exists());
}

#[test]
fn a_child_has_no_socket_and_starts_no_process() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let (token, models) = (registry.file("token"), registry.path().to_str().unwrap());
    std::fs::write(&token, TOKEN).unwrap();
    let complaint = |args: &[&str]| {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let readable = [registry.path().to_owned(), binary().to_owned()];
        let output =
            run(binary(), Job { args: &args, input: &[], readable: &readable, library: None }, LIMITS).unwrap();
        assert_ne!(output.code, 0);
        (output.complaint(), output.farewell.unwrap().sandbox)
    };
    let (asked, sandbox) =
        complaint(&["list", "--url", "http://127.0.0.1:9", "--admin-token-file", token.to_str().unwrap()]);
    if sandbox != Sandbox::Full {
        // The kernel does not have what this is about.
        return;
    }
    assert!(asked.contains("Operation not permitted"), "{asked}");
    let (verified, _) = complaint(&["verify", "iris", "1", "--models", models]);
    assert!(verified.contains("Operation not permitted"), "{verified}");
}

#[test]
fn a_child_that_wants_what_no_command_has_says_so() {
    let args = [OsString::from("fly")];
    let output = run(binary(), Job { args: &args, input: &[], readable: &[], library: None }, LIMITS).unwrap();
    assert_eq!(output.code, 2);
    assert!(output.complaint().contains("unrecognized subcommand"), "{}", output.complaint());
}

#[tokio::test]
async fn a_child_ends_with_the_server_that_started_it() {
    let registry = TestRegistry::flights();
    graphs::write(&registry.file("flights/3"), &graphs::heavy());
    let mut server = Process::start(&registry, &[]);
    let ops = server.wait_for(|event| event["ops_addr"].is_string())["ops_addr"].as_str().unwrap().to_owned();
    server.wait_for(|event| event["message"] == "ready");
    let url = format!("http://{ops}/admin/models/flights:activate");
    let request = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&json!({ "version": 3 }));
    let asked = tokio::spawn(request.send());
    let child = until("the server has a child", || child_of(server.child.id())).await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    until("the child is gone", || (!is_running(child)).then_some(())).await;
    assert!(asked.await.unwrap().is_err());
}

async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some(found) = probe() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so in time: {what}");
}

/// Name, state and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|&pid: &u32| stat(pid).is_some_and(|(_, of)| of == parent))
}

#[tokio::test]
async fn what_a_child_survived_is_not_tried_out_again() {
    let server = TestRegistry::flights().serve().await;
    assert_eq!(server.activate("flights", 1).await.0, 200);
    assert_eq!(server.activate("flights", 2).await.0, 200);
    let (_, status) = server.admin_get("/models/flights/versions/2").await;
    let verified = &status["verified"];
    assert!(verified["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{status}");
    assert!(verified["open_ms"].as_f64().unwrap() > 0.0 && verified["golden_rows"] == 20, "{status}");
    assert_eq!(verified["latency"].as_array().unwrap().len(), 3, "{status}");
    let registry = Arc::clone(&server.registry);
    server.stop().await;
    std::fs::copy(
        repository("tests/cases/models/iris_logreg/model.onnx"),
        made(registry.file("iris/1")).join("model.onnx"),
    )
    .unwrap();
    // Without a binary no child can be started: what serves was known to be good, what is new stays out.
    let nowhere = Isolation::Child { binary: "/nowhere/at/all".into() };
    let server = TestServer::start_in(registry, |_| {}, nowhere).await;
    let (_, status) = server.admin_get("/models/flights").await;
    assert_eq!((&status["champion"], &status["is_serving"]), (&json!(2), &json!(true)), "{status}");
    let (status, answer) = server.activate("iris", 1).await;
    assert_eq!((status.as_u16(), &answer["code"]), (500, &json!("verify_failed")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("could not be started"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_registry_that_cannot_keep_a_verification_serves_all_the_same() {
    let registry = TestRegistry::flights();
    std::fs::write(registry.file("flights/.verified"), "no folder").unwrap();
    let server = registry.serve().await;
    assert_eq!(server.activate("flights", 1).await.0, 200);
    let (_, status) = server.admin_get("/models/flights/versions/1").await;
    assert!(status["verified"]["open_ms"].is_number(), "{status}");
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_trusts_its_models_opens_them_itself() {
    let registry = Arc::new(TestRegistry::flights());
    let server = TestServer::start_in(registry, |_| {}, Isolation::None).await;
    assert_eq!(server.activate("flights", 1).await.0, 200);
    assert!(!server.registry.file("flights/.verified").exists(), "nothing was tried out in a child");
    server.stop().await;
}

#[tokio::test]
async fn each_limit_of_a_child_refuses_by_its_name() {
    let registry = TestRegistry::flights();
    graphs::write(&registry.file("flights/3"), &graphs::heavy());
    graphs::write(&registry.file("flights/4"), &graphs::expand());
    let registry = Arc::new(registry);
    let check = async |change: fn(&mut gudgeon::config::Config), version, code: &str, part: &str| {
        let server = TestServer::start(Arc::clone(&registry), change).await;
        let (status, answer) = server.activate("flights", version).await;
        assert_eq!((status.as_u16(), &answer["code"]), (422, &json!(code)), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
        server.stop().await;
    };
    let timeout = |config: &mut gudgeon::config::Config| config.verify_timeout = Period::from_millis(300);
    check(timeout, 3, "verify_timeout", "verify_timeout (0.3 s)").await;
    let cpu = |config: &mut gudgeon::config::Config| config.verify_cpu_max = Period::from_secs(1);
    check(cpu, 3, "verify_cpu_exceeded", "verify_cpu_max (1 s)").await;
    let memory = |config: &mut gudgeon::config::Config| config.verify_memory_max = ByteSize::mib(200);
    check(memory, 4, "verify_memory_exceeded", "verify_memory_max (200 MiB)").await;
}

#[test]
fn the_command_line_tries_out_in_a_child_too() {
    let registry = TestRegistry::empty();
    graphs::write(&registry.file("bomb/1"), &graphs::expand());
    let models = registry.path().to_str().unwrap();
    let (code, _, error) = gudgeon(&["verify", "bomb", "1", "--models", models]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("verify_memory_max (1024 MiB)"), "{error}");
    let file = registry.file("bomb/1/model.onnx");
    let file = file.to_str().unwrap();
    let (code, _, error) = gudgeon(&["register", file, "--model", "other", "--models", models]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("not registered: the model used more than"), "{error}");
    assert!(!registry.file("other").exists());
}

fn made(folder: std::path::PathBuf) -> std::path::PathBuf {
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_reader_that_goes_away_ends_no_command() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_gudgeon"))
        .args(["verify", "iris", "1", "--models", registry.path().to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
