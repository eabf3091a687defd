//! Offers requests at a fixed rate, whether they are answered or not (an open loop), for `scripts/bench`.
//!
//! usage: `offer ADDRESS PATH BODY-FILE RATE SECONDS CONNECTIONS`. One thread looks at all connections in turn and never
//! sleeps, so that a request goes out within microseconds of its time: give it a core of its own. Every connection has had an
//! answer before the first request is due, so that no latency has a connection's set-up in it. Prints one JSON object:
//! how many requests were due, answered with 200, refused (429 or 503) and failed; and quantiles in microseconds, of answers
//! from the time that their request was due, of refusals from the time that it was sent. Where the generator itself was interrupted,
//! it could neither send nor look; `looked_us` is of the answers without those that met that.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

/// Longer than this nobody waits for the first answer on a connection.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Who looks all the time and did not for longer than this was interrupted.
const INTERRUPTION: Duration = Duration::from_micros(30);

/// When the generator looked, and until when last it could not.
struct Looks {
    last: Instant,
    /// And for how long.
    interrupted: Option<(Instant, Duration)>,
}

impl Looks {
    fn now(&mut self) -> Instant {
        let now = Instant::now();
        let since_last = now - self.last;
        if INTERRUPTION < since_last {
            self.interrupted = Some((now, since_last));
        }
        self.last = now;
        now
    }

    /// Whether it looked from `since` to now, but for a tenth of the time at most.
    fn saw_since(&self, since: Instant) -> bool {
        self.interrupted.is_none_or(|(until, time)| until < since || 10 * time < self.last - since)
    }
}

/// A connection, and the request under way on it.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    /// When the request was due, and when it was sent.
    under_way: Option<(Instant, Instant)>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, answer: Vec::new(), under_way: None })
    }

    /// Sends `request`, which is small enough for the socket's buffer, or waits until the peer has read of it.
    fn send(&mut self, mut request: &[u8], due: Instant) -> io::Result<()> {
        self.under_way = Some((due, Instant::now()));
        while !request.is_empty() {
            match self.stream.write(request) {
                Ok(n_bytes) => request = &request[n_bytes..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The status of the answer, once all of it has come.
    fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<Option<u16>> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(n_bytes) => self.answer.extend_from_slice(&buffer[..n_bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(head_len) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&self.answer[..head_len])?;
        let field =
            |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
        let length = head.lines().find_map(field).context("an answer without a length")?;
        if self.answer.len() < head_len + 4 + length {
            return Ok(None);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        self.answer.clear();
        Ok(Some(status))
    }
}

/// Latencies in microseconds by what came of the request, and how many failed by status.
#[derive(Default)]
struct Seen {
    n_due: u64,
    answered: Vec<f64>,
    /// Those of them during which the generator looked.
    looked: Vec<f64>,
    refused: Vec<f64>,
    failed: BTreeMap<u16, u64>,
}

fn offer(address: SocketAddr, request: &[u8], (rate, time): (f64, Duration), n: usize) -> anyhow::Result<Seen> {
    let mut connections = Vec::with_capacity(n);
    let mut seen = Seen::default();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..n {
        let mut connection = Connection::open(address)?;
        let sent = Instant::now();
        connection.send(request, sent)?;
        let status = loop {
            if let Some(status) = connection.receive(&mut buffer)? {
                break status;
            }
            ensure!(sent.elapsed() < FIRST_ANSWER_MAX, "no answer in {FIRST_ANSWER_MAX:?}");
        };
        ensure!([200, 429, 503].contains(&status), "the server answers with {status}");
        connection.under_way = None;
        connections.push(connection);
    }
    let start = Instant::now();
    let mut looks = Looks { last: start, interrupted: None };
    let due_at = |request: u64| start + Duration::from_secs_f64(request as f64 / rate);
    while start.elapsed() < time {
        for connection in &mut connections {
            if let Some((due, sent)) = connection.under_way {
                let received = connection.receive(&mut buffer)?;
                let now = looks.now();
                let Some(status) = received else { continue };
                connection.under_way = None;
                match status {
                    200 => {
                        let micros = (now - due).as_secs_f64() * 1e6;
                        seen.answered.push(micros);
                        seen.looked.extend(looks.saw_since(due).then_some(micros));
                    }
                    429 | 503 => seen.refused.push((now - sent).as_secs_f64() * 1e6),
                    other => *seen.failed.entry(other).or_default() += 1,
                }
            }
            let due = due_at(seen.n_due);
            if due <= looks.now() {
                connection.send(request, due)?;
                seen.n_due += 1;
            }
        }
    }
    Ok(seen)
}

fn quantiles(micros: &mut [f64]) -> Value {
    micros.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    let at = |share: f64| micros.get((micros.len().saturating_sub(1) as f64 * share) as usize).copied();
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999) })
}

#[expect(clippy::print_stdout, reason = "a load generator reports")]
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, body, rate, seconds, connections] = args.as_slice() else {
        bail!("usage: offer ADDRESS PATH BODY-FILE RATE SECONDS CONNECTIONS");
    };
    let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
    ensure!(0.0 < rate && 0.0 < seconds, "a rate and a time over 0");
    let body = std::fs::read(body).with_context(|| format!("reading {body}"))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut seen = offer(address.parse()?, &request, (rate, Duration::from_secs_f64(seconds)), connections.parse()?)?;
    let report = json!({
        "sent_per_s": seen.n_due as f64 / seconds,
        "answered_per_s": seen.answered.len() as f64 / seconds,
        "refused_per_s": seen.refused.len() as f64 / seconds,
        "failed": seen.failed,
        "answered_us": quantiles(&mut seen.answered),
        "looked_us": quantiles(&mut seen.looked),
        "refused_us": quantiles(&mut seen.refused),
    });
    println!("{report}");
    Ok(())
}
