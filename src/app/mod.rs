//! The composition root: start, serve, drain, stop.
//!
//! A server takes bound listeners and a shutdown future, so tests need no special mode.

mod accept;
mod http2;
mod idle;
mod stall;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::accept::{AcceptOptions, Phase, Protocol, Service};
use crate::batch::{Pool, PoolOptions};
use crate::child::{ChildLimits, Isolation};
use crate::config::Config;
use crate::grpc::{Grpc, GrpcError};
use crate::http::{AdminToken, AppState, BodyBudget, Documents, EventStreams, Front, HttpOptions, Readiness};
use crate::lifecycle::{GateOptions, Lifecycle, LifecycleError, LifecycleParts, LoadOptions};
use crate::metrics::{Metrics, MetricsError};
use crate::registry::{Registry, RegistryError};
use crate::slot::Slots;
use crate::verify::Examiner;

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
#[derive(Debug)]
pub struct Server {
    config: Config,
    http: TcpListener,
    grpc: TcpListener,
    ops: TcpListener,
    state: Arc<AppState>,
    pool: Arc<Pool>,
}

impl Server {
    /// Binds the listeners and opens the registry. `isolation` says where work on what nobody vouches for is done.
    ///
    /// # Errors
    /// [`AppError`] says what is in the way and what to do about it.
    pub async fn bind(config: Config, isolation: Isolation) -> Result<Self, AppError> {
        let registry =
            Registry::open(&config.models)?.with_artifact_bytes_max(config.upload_bytes_max.bytes().max(1 << 32));
        let http = listen(config.http_addr, "predictions", "--http-addr").await?;
        let grpc = listen(config.grpc_addr, "predictions over gRPC", "--grpc-addr").await?;
        let ops = listen(config.ops_addr, "operations", "--ops-addr").await?;
        let admin_token = token::resolve(&config.admin_token)?;
        let metrics = Metrics::counting(config.monitoring)?;
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
        let state = Arc::new(AppState {
            slots,
            lifecycle,
            readiness: Readiness::new(Arc::clone(&metrics)),
            metrics,
            admin_token: AdminToken::new(admin_token),
            body_budget: BodyBudget::new(config.body_bytes_in_flight_max.as_usize()),
            heavy_turns: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            event_streams: EventStreams::default(),
            documents: Documents::default(),
            options: http_options(&config),
        });
        Ok(Self { config, http, grpc, ops, state, pool })
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
        let Self { config, http, grpc, ops, state, pool } = self;
        let calls = Grpc::new(Arc::clone(&state))?;
        let (phase, watching) = watch::channel(Phase::Serve);
        let (ops_phase, ops_watching) = watch::channel(Phase::Serve);
        let accept = AcceptOptions {
            connections_max: config.connections_max,
            header_timeout: config.header_timeout.duration(),
            write_timeout: config.body_timeout.duration(),
            drain_timeout: config.drain_timeout.duration(),
        };
        let service = |protocol| Service { protocol, pool: Arc::clone(&pool), metrics: Arc::clone(&state.metrics) };
        let public = service(Protocol::Http(Front::public(Arc::clone(&state))));
        let mut public = tokio::spawn(accept::serve(http, public, watching.clone(), accept));
        let mut remote = tokio::spawn(accept::serve(grpc, service(Protocol::Grpc(calls.clone())), watching, accept));
        let operations = service(Protocol::Http(Front::ops(Arc::clone(&state))));
        let ops_accept = AcceptOptions { drain_timeout: Duration::from_secs(1), ..accept };
        let mut operations = tokio::spawn(accept::serve(ops, operations, ops_watching, ops_accept));
        tracing::info!(
            %http_addr, %grpc_addr, %ops_addr,
            "listening on http://{http_addr}, on {grpc_addr} for gRPC and on http://{ops_addr}"
        );

        let loaded = state.lifecycle.run(Lifecycle::load_all).await;
        if let Err(error) = loaded {
            state.lifecycle.stop();
            return Err(error.into());
        }
        if let Err(error) = state.lifecycle.follow(config.registry_poll_interval.duration()) {
            state.lifecycle.stop();
            return Err(AppError::Thread(error));
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

fn http_options(config: &Config) -> HttpOptions {
    HttpOptions {
        request_timeout: config.request_timeout.duration(),
        body_timeout: config.body_timeout.duration(),
        body_bytes_max: config.body_bytes_max.as_usize(),
        upload_bytes_max: config.upload_bytes_max.as_usize(),
        rows_max: config.rows_max,
        nesting_max: config.nesting_max,
    }
}
