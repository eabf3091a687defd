//! `gudgeon serve`.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::examine::isolation;
use crate::app::{Server, keep_freed_memory, take_short_turns};
use crate::config::RawConfig;
use crate::telemetry;

/// Stacks of the runtime's workers: decoding nests no deeper than its limit.
const WORKER_STACK_BYTES: usize = 4 << 20;

pub(super) fn run(raw: RawConfig) -> anyhow::Result<ExitCode> {
    let config = raw.check()?;
    telemetry::start(config.log_format, &config.log)?;
    keep_freed_memory();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_name("gudgeon-io").thread_stack_size(WORKER_STACK_BYTES).on_thread_start(take_short_turns);
    let runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let server = Server::bind(config, isolation()?).await?;
        // The first signal drains, the second ends at once.
        let (first, second) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let relay = async {
            signals.next().await;
            first.notify_one();
            signals.next().await;
            second.notify_one();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = server.run(first.notified(), second.notified()) => ended?,
            () = relay => {}
        }
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
