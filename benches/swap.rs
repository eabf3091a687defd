//! What a swap costs the requests around it: one server, constant load, the champion changing hands, stretches with and
//! without swaps taking turns in one run.
//!
//! Every answer is held against the answer that its version gives when it is alone; a request that fails, an answer that
//! mixes versions and one by a version that was not active between its sending and its receipt are counted, and any of
//! them makes this fail. Latency counts from the time that the request was due, so a server that stalls cannot hide it.
//! `scripts/swap-under-load` prepares the models and runs this.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// A swap stretch and a quiet one: this often, so that a machine that gets slower slows both.
const ROUNDS: u64 = 10;
/// Memory after these swaps is what the rest is held against.
const FIRST_SWAPS: u64 = 10;

#[derive(Debug, Clone, Parser)]
struct Args {
    /// The binary.
    #[arg(long)]
    gudgeon: PathBuf,
    /// A registry with the model; it is written to.
    #[arg(long)]
    models: PathBuf,
    /// The model.
    #[arg(long)]
    model: String,
    /// The versions that take turns. Two stay in memory; a third one makes every swap open its version anew.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    versions: Vec<u64>,
    /// A file with the body of a `:predict` request.
    #[arg(long)]
    body: PathBuf,
    #[arg(long, default_value_t = 1_000)]
    swaps: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Milliseconds from one swap to the next, where a swap takes less.
    #[arg(long, default_value_t = 100)]
    pace_ms: u64,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A request and its answer over a connection that stays.
struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

struct Answer {
    status: u16,
    version: Option<u64>,
    body: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.get_mut().write_all(request)?;
        let (mut status, mut version, mut length) = (0, None, 0);
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status == 0 {
                status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(1);
            } else if let Some((name, value)) = text.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    "x-model-version" => version = value.trim().parse().ok(),
                    _ => {}
                }
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, version, body })
    }
}

fn post(address: SocketAddr, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The server, killed with this.
struct Server {
    child: Child,
    http: SocketAddr,
    ops: SocketAddr,
}

impl Server {
    fn start(args: &Args) -> anyhow::Result<Self> {
        let mut child = Command::new(&args.gudgeon)
            .args(["serve", "--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-format", "json"])
            .arg("--models")
            .arg(&args.models)
            .env("GUDGEON_ADMIN_TOKEN", TOKEN)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", args.gudgeon.display()))?;
        let mut log = BufReader::new(child.stderr.take().context("no log")?);
        let (mut addresses, mut line) = (None, String::new());
        let (http, ops) = loop {
            line.clear();
            ensure!(log.read_line(&mut line)? > 0, "the server ended at its start");
            let Ok(entry) = serde_json::from_str::<Value>(&line) else { continue };
            let address = |name| entry["fields"][name].as_str().or(entry[name].as_str())?.parse().ok();
            addresses = address("http_addr").zip(address("ops_addr")).or(addresses);
            if line.contains("\"ready\"")
                && let Some(addresses) = addresses
            {
                break addresses;
            }
        };
        std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(Self { child, http, ops })
    }

    /// Resident memory, KiB.
    fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the load and the swaps tell each other.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Requests that are due so far.
    ticket: AtomicU64,
    /// Whether swaps are under way: what a request's latency counts for.
    is_swapping: AtomicBool,
    /// Activations asked for, and answered.
    asked: AtomicU64,
    answered: AtomicU64,
}

#[derive(Default)]
struct Seen {
    quiet_us: Vec<u32>,
    swapping_us: Vec<u32>,
    failed: u64,
    mixed: u64,
    not_active: u64,
    first_failure: Option<String>,
}

impl Seen {
    fn merge(&mut self, other: Self) {
        self.quiet_us.extend(other.quiet_us);
        self.swapping_us.extend(other.swapping_us);
        self.failed += other.failed;
        self.mixed += other.mixed;
        self.not_active += other.not_active;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn failed(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }
}

/// One connection's share of the load.
struct Caller {
    shared: Arc<Shared>,
    start: Instant,
    rate: f64,
    request: Vec<u8>,
    versions: Vec<u64>,
    /// What each version answers when it is alone.
    expected: Vec<Vec<u8>>,
    client: Client,
    seen: Seen,
}

impl Caller {
    fn run(mut self) -> Seen {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let ticket = self.shared.ticket.fetch_add(1, Ordering::Relaxed);
            let due = self.start + Duration::from_secs_f64(ticket as f64 / self.rate);
            pause(due.saturating_duration_since(Instant::now()));
            let is_swapping = self.shared.is_swapping.load(Ordering::Relaxed);
            let from = self.shared.answered.load(Ordering::SeqCst);
            match self.client.send(&self.request) {
                Ok(answer) => {
                    let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
                    let to = self.shared.asked.load(Ordering::SeqCst);
                    self.check(&answer, from, to);
                    let latencies = if is_swapping { &mut self.seen.swapping_us } else { &mut self.seen.quiet_us };
                    latencies.push(micros);
                }
                Err(error) => {
                    self.seen.failed(error.to_string());
                    match Client::new(self.client.address) {
                        Ok(client) => self.client = client,
                        Err(_) => break,
                    }
                }
            }
        }
        self.seen
    }

    /// Swap `n` makes the version at `n` modulo their number the champion.
    fn check(&mut self, answer: &Answer, from: u64, to: u64) {
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return self.seen.failed(format!("status {}: {text}", answer.status));
        }
        let n_versions = self.versions.len() as u64;
        let place = self.versions.iter().position(|&version| Some(version) == answer.version);
        let Some(place) = place else { return self.seen.failed(format!("an answer of version {:?}", answer.version)) };
        self.seen.mixed += u64::from(self.expected[place] != answer.body);
        self.seen.not_active += u64::from(!(from..=to).any(|swap| swap % n_versions == place as u64));
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator waits until the next request is due")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

struct Swaps<'a> {
    args: &'a Args,
    server: &'a Server,
    admin: Client,
    shared: Arc<Shared>,
    n_swaps: u64,
    durations_us: Vec<u32>,
}

impl Swaps<'_> {
    fn swap(&mut self) -> anyhow::Result<()> {
        self.n_swaps += 1;
        let version = self.args.versions[usize::try_from(self.n_swaps)? % self.args.versions.len()];
        let path = format!("/admin/models/{}:activate", self.args.model);
        let body = json!({ "version": version, "reason": "swap under load" }).to_string();
        let started = Instant::now();
        self.shared.asked.store(self.n_swaps, Ordering::SeqCst);
        let answer = self.admin.send(&post(self.server.ops, &path, body.as_bytes()))?;
        self.shared.answered.store(self.n_swaps, Ordering::SeqCst);
        ensure!(answer.status == 200, "swap {}: {}", self.n_swaps, String::from_utf8_lossy(&answer.body));
        let took = started.elapsed();
        self.durations_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        pause(Duration::from_millis(self.args.pace_ms).saturating_sub(took));
        Ok(())
    }

    /// What `version` answers when it is alone.
    fn answer_of(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.swap()?;
        let answer = Client::new(self.server.http)?.send(request)?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        Ok(answer.body)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(args.versions.len() > 1 && args.swaps >= ROUNDS, "at least two versions and {ROUNDS} swaps");
    let server = Server::start(&args)?;
    let body = std::fs::read(&args.body)?;
    let request = post(server.http, &format!("/v1/models/{}:predict", args.model), &body);
    let shared = Arc::new(Shared::default());
    let admin = Client::new(server.ops)?;
    let shared_too = Arc::clone(&shared);
    let mut swaps =
        Swaps { args: &args, server: &server, admin, shared: shared_too, n_swaps: 0, durations_us: Vec::new() };
    let n_versions = args.versions.len();
    let mut expected = vec![Vec::new(); n_versions];
    for _ in 0..n_versions {
        let answer = swaps.answer_of(&request)?;
        expected[usize::try_from(swaps.n_swaps)? % n_versions] = answer;
    }
    ensure!(expected[0] != expected[1], "the versions must differ for a mixed answer to show");
    let callers = start_load(&args, &server, &shared, &request, &expected)?;
    let rss = stretches(&args, &mut swaps)?;
    shared.stop.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    for caller in callers {
        let Ok(caller_seen) = caller.join() else { bail!("a caller panicked") };
        seen.merge(caller_seen);
    }
    report(&args, &mut swaps.durations_us, seen, rss)
}

fn start_load(
    args: &Args,
    server: &Server,
    shared: &Arc<Shared>,
    request: &[u8],
    expected: &[Vec<u8>],
) -> anyhow::Result<Vec<JoinHandle<Seen>>> {
    let start = Instant::now() + Duration::from_millis(100);
    let mut callers = Vec::new();
    for _ in 0..args.connections {
        let caller = Caller {
            shared: Arc::clone(shared),
            start,
            rate: args.rate,
            request: request.to_vec(),
            versions: args.versions.clone(),
            expected: expected.to_vec(),
            client: Client::new(server.http)?,
            seen: Seen::default(),
        };
        callers.push(std::thread::Builder::new().stack_size(256 << 10).spawn(move || caller.run())?);
    }
    Ok(callers)
}

/// Quiet and swapping stretches by turns; gives back resident memory after the first swaps and at the end.
fn stretches(args: &Args, swaps: &mut Swaps<'_>) -> anyhow::Result<(u64, u64)> {
    pause(Duration::from_secs(2));
    for _ in 0..FIRST_SWAPS {
        swaps.swap()?;
    }
    let first = swaps.server.resident_kib()?;
    swaps.durations_us.clear();
    for round in 0..ROUNDS {
        let n_swaps = args.swaps * (round + 1) / ROUNDS - args.swaps * round / ROUNDS;
        let started = Instant::now();
        swaps.shared.is_swapping.store(true, Ordering::Relaxed);
        for _ in 0..n_swaps {
            swaps.swap()?;
        }
        swaps.shared.is_swapping.store(false, Ordering::Relaxed);
        pause(started.elapsed());
    }
    Ok((first, swaps.server.resident_kib()?))
}

/// The value that `share` of the sorted values do not exceed, milliseconds.
fn quantile_ms(micros: &[u32], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    let index = (micros.len().saturating_sub(1) as f64 * share) as usize;
    micros.get(index).map_or(f64::NAN, |&micros| f64::from(micros) / 1e3)
}

#[expect(clippy::print_stdout, reason = "a benchmark reports")]
fn report(args: &Args, swap_us: &mut [u32], mut seen: Seen, (first, last): (u64, u64)) -> anyhow::Result<()> {
    for latencies in [&mut seen.quiet_us, &mut seen.swapping_us] {
        latencies.sort_unstable();
    }
    swap_us.sort_unstable();
    let Args { model, versions, swaps, connections, rate, .. } = args;
    println!("{model} versions {versions:?}: {swaps} swaps, {connections} connections, {rate} requests/s offered");
    println!("              answers      p50      p90      p99    p99.9 ms");
    for (name, latencies) in [("no swaps", &seen.quiet_us), ("swaps", &seen.swapping_us)] {
        let at = |share| quantile_ms(latencies, share);
        let n = latencies.len();
        println!("  {name:10} {n:8} {:8.3} {:8.3} {:8.3} {:8.3}", at(0.5), at(0.9), at(0.99), at(0.999));
    }
    let ratio = quantile_ms(&seen.swapping_us, 0.99) / quantile_ms(&seen.quiet_us, 0.99);
    println!("  p99 ratio {ratio:.3}");
    println!("  a swap takes {:.1} ms (median), {:.1} ms (p99)", quantile_ms(swap_us, 0.5), quantile_ms(swap_us, 0.99));
    let growth = 100.0 * (last as f64 / first as f64 - 1.0);
    println!(
        "  resident memory {:.1} MB after {FIRST_SWAPS} swaps, {:.1} MB at the end ({growth:+.1} %)",
        mb(first),
        mb(last)
    );
    println!("  failed {}, mixed {}, by a version not active {}", seen.failed, seen.mixed, seen.not_active);
    if let Some(failure) = &seen.first_failure {
        println!("  first failure: {failure}");
    }
    ensure!(seen.failed + seen.mixed + seen.not_active == 0, "requests failed or answers were wrong");
    Ok(())
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
