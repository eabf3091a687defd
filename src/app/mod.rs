//! The composition root: start, serve, drain, stop.
//!
//! A server takes bound listeners and a shutdown future, so tests need no special mode.

mod accept;
mod callers;
mod http2;
mod idle;
mod memory;
mod stall;
mod tls;
mod token;
mod watched;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::accept::{AcceptOptions, Phase, Protocol, Service};
use self::watched::Watched;
use crate::batch::{Pool, PoolOptions};
use crate::child::{ChildLimits, Isolation};
use crate::config::Config;
use crate::grpc::{Grpc, GrpcError};
use crate::http::{
    AdminToken, ApiKeysError, AppState, BodyBudget, Cors, Documents, EventStreams, Feedback, Front, HttpOptions,
    INNER_FOLDER, MultiModel, Readiness, ScoringOptions,
};
use crate::lifecycle::{GateOptions, Lifecycle, LifecycleError, LifecycleParts, LoadOptions};
use crate::metrics::{Metrics, MetricsError};
use crate::registry::{Registry, RegistryError};
use crate::slot::Slots;
use crate::tls::TlsError;
use crate::verify::Examiner;

pub use crate::batch::take_short_turns;
pub use memory::keep_freed_memory;
pub use token::TokenError;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}; {}", listen_hint(.source, .flag))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is served there.
        what: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The registry cannot be opened.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry cannot be read.
    #[error(transparent)]
    Load(#[from] LifecycleError),
    /// The admin token cannot be made or kept.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificate or its key cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The callers' keys cannot be read.
    #[error(transparent)]
    ApiKeys(#[from] ApiKeysError),
    /// A metric is declared wrongly.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The gRPC services cannot be set up.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}; the system allows no more of them to this user")]
    Thread(io::Error),
}

fn listen_hint(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process has it: stop that one, or take another port with {flag} (port 0 takes a free one)")
        }
        io::ErrorKind::PermissionDenied => format!("ports below 1024 need a privilege: take another one with {flag}"),
        _ => format!("take another address with {flag}"),
    }
}

/// A server that is bound to its addresses and serves nothing yet.
pub struct Server {
    config: Config,
    http: TcpListener,
    grpc: TcpListener,
    ops: TcpListener,
    state: Arc<AppState>,
    pool: Arc<Pool>,
    security: Option<tls::Listeners>,
    watched: Vec<Watched>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("http", &self.http).field("grpc", &self.grpc).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the listeners and opens the registry. `isolation` says where work on what nobody vouches for is done.
    ///
    /// # Errors
    /// [`AppError`] says what is in the way and what to do about it.
    pub async fn bind(config: Config, isolation: Isolation) -> Result<Self, AppError> {
        let registry =
            Registry::open(&config.models)?.with_artifact_bytes_max(config.upload_bytes_max.bytes().max(1 << 32));
        let registry = if config.multi_model { registry.with_inner_folder(INNER_FOLDER) } else { registry };
        let http = listen(config.http_addr, "predictions", "--http-addr").await?;
        let grpc = listen(config.grpc_addr, "predictions over gRPC", "--grpc-addr").await?;
        let ops = listen(config.ops_addr, "operations", "--ops-addr").await?;
        let admin_token = token::resolve(&config.admin_token)?;
        let metrics = Metrics::counting(config.monitoring)?;
        let (security, certificates) = tls::load(&config)?.unzip();
        let (api_keys, keys) = callers::load(&config, &metrics)?;
        let watched = certificates.into_iter().chain(keys).collect();
        let pool_options = PoolOptions { threads: config.compute_threads_resolved() };
        let pool = Pool::start(pool_options, &metrics).map_err(AppError::Thread)?;
        let slots = Arc::new(Slots::default());
        let parts = LifecycleParts {
            registry,
            slots: Arc::clone(&slots),
            pool: Arc::clone(&pool),
            metrics: Arc::clone(&metrics),
            examiner: examiner(&config, isolation.clone()),
            options: LoadOptions {
                queue_len_max: config.queue_len_max,
                batch_rows_max: config.batch_rows_max,
                watches_drift: config.monitoring,
            },
            gate: gate_options(&config, isolation),
        };
        let lifecycle = Lifecycle::new(parts).map_err(AppError::Thread)?;
        let feedback = Feedback::keeping(if config.monitoring { config.feedback_rows } else { 0 }, &metrics);
        let state = Arc::new(AppState {
            slots,
            lifecycle,
            readiness: Readiness::new(Arc::clone(&metrics)),
            metrics,
            admin_token: AdminToken::new(admin_token),
            api_keys,
            cors: Cors::new(config.cors_origins.as_slice()),
            body_budget: BodyBudget::new(config.body_bytes_in_flight_max.as_usize()),
            heavy_turns: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            event_streams: EventStreams::default(),
            documents: Documents::default(),
            options: http_options(&config),
            scoring: scoring_options(&config),
            feedback,
        });
        Ok(Self { config, http, grpc, ops, state, pool, security, watched })
    }

    /// The address of predictions and probes.
    pub fn http_addr(&self) -> SocketAddr {
        self.http.local_addr().unwrap_or(self.config.http_addr)
    }

    /// The address of predictions over gRPC.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc.local_addr().unwrap_or(self.config.grpc_addr)
    }

    /// The address of metrics, probes and the admin route.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops.local_addr().unwrap_or(self.config.ops_addr)
    }

    /// Serves until `shutdown` is done, then drains: readiness goes off first, requests in flight finish. `hurry` ends the
    /// drain at once.
    ///
    /// # Errors
    /// Where the registry cannot be read at all; a model that cannot serve is reported and keeps no other from serving.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), AppError> {
        let (http_addr, grpc_addr, ops_addr) = (self.http_addr(), self.grpc_addr(), self.ops_addr());
        let Self { config, http, grpc, ops, state, pool, security, watched } = self;
        let _watch = watched::watch(watched).map_err(AppError::Thread)?;
        let calls = Grpc::new(Arc::clone(&state))?;
        let (phase, watching) = watch::channel(Phase::Serve);
        let (ops_phase, ops_watching) = watch::channel(Phase::Serve);
        let accept = AcceptOptions {
            connections_max: config.connections_max,
            header_timeout: config.header_timeout.duration(),
            write_timeout: config.body_timeout.duration(),
            drain_timeout: config.drain_timeout.duration(),
        };
        let scheme = if security.is_some() { "https" } else { "http" };
        let [http_security, grpc_security, ops_security] = tls::Listeners::each(security);
        let service = |protocol, security| Service {
            protocol,
            pool: Arc::clone(&pool),
            metrics: Arc::clone(&state.metrics),
            security,
        };
        let public = service(Protocol::Http(Front::public(Arc::clone(&state))), http_security);
        let mut public = tokio::spawn(accept::serve(http, public, watching.clone(), accept));
        let remote = service(Protocol::Grpc(calls.clone()), grpc_security);
        let mut remote = tokio::spawn(accept::serve(grpc, remote, watching, accept));
        let operations = service(Protocol::Http(Front::ops(Arc::clone(&state))), ops_security);
        let ops_accept = AcceptOptions { drain_timeout: Duration::from_secs(1), ..accept };
        let mut operations = tokio::spawn(accept::serve(ops, operations, ops_watching, ops_accept));
        tracing::info!(
            %http_addr, %grpc_addr, %ops_addr,
            "listening on {scheme}://{http_addr}, on {grpc_addr} for gRPC and on {scheme}://{ops_addr}"
        );

        if let Err(error) = take_up(&state, &config).await {
            state.lifecycle.stop();
            return Err(error);
        }
        state.readiness.set_loaded();
        tracing::info!(models = state.slots.all().len(), "ready");

        shutdown.await;
        tracing::info!("draining: readiness is off");
        state.readiness.set_draining();
        let drained = async {
            accept::drain(&phase, config.drain_delay.duration()).await;
            calls.close_streams();
            joined(&mut public).await;
            joined(&mut remote).await;
            // Metrics and probes answer to the end of the drain.
            state.event_streams.close();
            ops_phase.send_replace(Phase::Finish);
            joined(&mut operations).await;
        };
        tokio::select! {
            () = drained => tracing::info!("drained"),
            () = hurry => tracing::warn!("stopped before the drain was over"),
        }
        pool.stop();
        state.lifecycle.stop();
        Ok(())
    }
}

/// Takes up what the registry has, and follows it. On a multi-model endpoint the platform says what is taken up, and when.
async fn take_up(state: &AppState, config: &Config) -> Result<(), AppError> {
    if config.multi_model {
        return Ok(());
    }
    state.lifecycle.run(Lifecycle::load_all).await?;
    state.lifecycle.follow(config.registry_poll_interval.duration()).map_err(AppError::Thread)
}

async fn joined(task: &mut tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a listener ended by a panic");
    }
}

async fn listen(address: SocketAddr, what: &'static str, flag: &'static str) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, what, flag, source })
}

fn examiner(config: &Config, isolation: Isolation) -> Examiner {
    Examiner {
        isolation,
        child_limits: ChildLimits {
            memory_bytes_max: config.verify_memory_max.bytes(),
            cpu_max: config.verify_cpu_max.duration(),
            wall_max: config.verify_timeout.duration(),
        },
        engines: config.engines(),
    }
}

fn gate_options(config: &Config, isolation: Isolation) -> GateOptions {
    let child_limits = ChildLimits {
        memory_bytes_max: config.gate_memory_max.bytes(),
        cpu_max: config.gate_cpu_max.duration(),
        wall_max: config.gate_timeout.duration(),
    };
    GateOptions { isolation, child_limits }
}

fn scoring_options(config: &Config) -> ScoringOptions {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    ScoringOptions {
        default_model: given(&config.default_model),
        predict_route: given(&config.predict_route),
        health_route: given(&config.health_route),
        multi_model: config
            .multi_model
            .then(|| MultiModel { folder: config.models.clone(), models_max: config.models_max }),
    }
}

fn http_options(config: &Config) -> HttpOptions {
    HttpOptions {
        request_timeout: config.request_timeout.duration(),
        body_timeout: config.body_timeout.duration(),
        body_bytes_max: config.body_bytes_max.as_usize(),
        upload_bytes_max: config.upload_bytes_max.as_usize(),
        rows_max: config.rows_max,
        nesting_max: config.nesting_max,
        is_secured: tls::is_on(config),
    }
}
