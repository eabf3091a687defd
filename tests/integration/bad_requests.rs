//! Requests that cannot be answered, each a file of `tests/bad-requests` with the answer that it has to get.
//!
//! A file says `why` the request is bad, its `port` where that is the one of operations, the `request` line, `headers`, and the
//! `body`, or the `parts` that it is made of: `text` or `hex`, so many `times`. `compressed` sends the body as gzip.
//! `{token}` stands for the admin token, `{long}` for 10,000 letters. Its `answer` is the status, and the `code` and the `path`
//! of the error body; where there is none, none may come.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use gudgeon::config::ByteSize;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{PREDICT, TOKEN, TestRegistry, TestServer, flight, repository};

/// A value in every body, which no answer may repeat.
const MARKER: &str = "do-not-echo";
/// A body that is shorter has no room for it.
const SHORT_BYTES: usize = 32;
/// What the cases count on.
const BODY_BYTES_MAX: u64 = 1 << 20;
const ROWS_MAX: usize = 1_000;
const NESTING_MAX: usize = 16;
const CASES_MIN: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What is wrong with it, for the reader.
    #[serde(rename = "why")]
    _why: String,
    #[serde(default)]
    port: Port,
    request: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    compressed: bool,
    answer: Answer,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Port {
    #[default]
    Predictions,
    Operations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    text: Option<String>,
    hex: Option<String>,
    times: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    code: Option<String>,
    path: Option<String>,
    /// A field that has to come, with its value.
    header: Option<(String, String)>,
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        let once = match (&self.text, &self.hex) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(hex)) => {
                let digits: Vec<u8> =
                    hex.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
                digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect()
            }
            _ => panic!("a part is either text or hex"),
        };
        once.repeat(self.times.unwrap_or(1))
    }
}

impl Case {
    fn content(&self) -> Vec<u8> {
        match &self.body {
            Some(body) => body.as_bytes().to_vec(),
            None => self.parts.iter().flat_map(Part::bytes).collect(),
        }
    }

    /// The request as it goes over the wire.
    fn bytes(&self) -> Vec<u8> {
        let mut body = self.content();
        assert!(!self.request.starts_with("GET") || body.is_empty(), "a GET has no body");
        if self.compressed {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        let (method, path) = self.request.split_once(' ').unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.headers.iter().any(|(name, _)| name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let head = format!("{head}\r\n").replace("{token}", TOKEN).replace("{long}", &"n".repeat(10_000));
        [head.into_bytes(), body].concat()
    }

    /// What is wrong with the answer, if anything is.
    fn problem(&self, answered: &str) -> Option<String> {
        let content = self.content();
        let has_marker = content.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
        // What is compressed here has it inside.
        let is_opaque = content.starts_with(&[0x1f, 0x8b]) || content.contains(&0);
        if SHORT_BYTES < content.len() && !has_marker && !is_opaque {
            return Some("its body has no marker".to_owned());
        }
        if answered.contains(MARKER) {
            return Some(format!("the payload was echoed: {answered}"));
        }
        let Answer { status, code, path, header } = &self.answer;
        let (head, body) = answered.split_once("\r\n\r\n")?;
        let came = head.get(9..12).and_then(|status| status.parse::<u16>().ok());
        let error: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        if (came, text("code"), text("path")) != (Some(*status), code.clone(), path.clone()) {
            return Some(format!("expected {status}, {code:?}, {path:?}, got {answered}"));
        }
        let names_what_was_expected = text("expected").is_some() && text("got").is_some();
        if code.is_some() && (text("error").is_none() || path.is_some() != names_what_was_expected) {
            return Some(format!("the error body is not whole: {body}"));
        }
        let field = |name: &str| {
            head.lines().filter_map(|line| line.split_once(": ")).find(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        match header {
            Some((name, value)) if field(name).is_none_or(|(_, came)| came != value) => {
                Some(format!("expected the field {name}: {value}, got {head}"))
            }
            _ => None,
        }
    }
}

fn cases() -> BTreeMap<String, Case> {
    let files = std::fs::read_dir(repository("tests/bad-requests")).unwrap();
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path)))
        .collect()
}

async fn ask(server: &TestServer, case: &Case) -> String {
    let address = match case.port {
        Port::Predictions => &server.http,
        Port::Operations => &server.ops,
    };
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    let mut got = Vec::new();
    // A server that has answered may close before it has taken everything.
    drop(stream.write_all(&case.bytes()).await);
    drop(stream.read_to_end(&mut got).await);
    String::from_utf8_lossy(&got).into_owned()
}

/// The series, without their values.
async fn series(server: &TestServer) -> Vec<String> {
    let text = server.metrics().await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_gets_its_answer_and_leaves_nothing_behind() {
    let models = ["iris_logreg", "sk_onehot_ints", "sk_onehot_strings", "sk_label_encoder"];
    let registry = models.into_iter().fold(TestRegistry::flights(), |registry, name| registry.with_case(name, 1, name));
    let server = registry
        .serve_with(|config| {
            config.body_bytes_max = ByteSize::mib(BODY_BYTES_MAX >> 20);
            config.rows_max = ROWS_MAX;
            config.nesting_max = NESTING_MAX;
        })
        .await;
    let cases = cases();
    assert!(CASES_MIN <= cases.len(), "{} cases were found", cases.len());
    let before = series(&server).await;
    let mut problems = Vec::new();
    for (name, case) in &cases {
        let answered = ask(&server, case).await;
        if answered.is_empty() {
            problems.push(format!("{name}: no answer came"));
        }
        problems.extend(case.problem(&answered).map(|problem| format!("{name}: {problem}")));
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
    assert_eq!(series(&server).await, before, "what callers name makes no series");
    assert!(server.metric("gudgeon_panics_total").await.abs() < f64::EPSILON);
    let fine = server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await;
    assert_eq!(fine.status(), 200);
    server.stop().await;
}
