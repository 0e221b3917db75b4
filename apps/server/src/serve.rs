//! Listening, and stopping without losing an acknowledged write.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use kokeshi_collection::Collection;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::state::App;
use crate::{Backend, Error, Models, Opened, Result, ServerConfig, router};

/// Bytes of a request's head at most.
const LARGEST_HEAD: usize = 64 << 10;
/// Header lines at most.
const MOST_HEADERS: usize = 100;

/// Serves `collections`, each under its directory's name, and `models` beside the collections' own until SIGINT or SIGTERM, then
/// finishes what is in flight, commits what was accepted and returns. `ready` is told the address once requests are taken.
///
/// # Errors
/// [`Error`] if the settings are bad, the address is taken or the deadline for stopping passes.
pub fn serve(
    config: ServerConfig,
    collections: Vec<Collection>,
    models: Models,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Io)?;
    let named = collections.into_iter().map(|collection| {
        let (name, backend) = (collection.name(), Opened::new(collection));
        (name, backend as Arc<dyn Backend>)
    });
    let app = App::new(config, named.collect(), models)?;
    let result = runtime.block_on(async {
        let stop = signal()?;
        let server = Server::bind(app).await?;
        ready(server.address());
        server.run(stop).await
    });
    // Jobs whose clients gave up must not hold the exit back.
    runtime.shutdown_background();
    result
}

/// Resolves at the first SIGINT or SIGTERM; a second one ends the process at once.
fn signal() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut signals = {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt()).map_err(Error::Io)?;
        let terminate = signal(SignalKind::terminate()).map_err(Error::Io)?;
        (interrupt, terminate)
    };
    Ok(async move {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
            }
            tokio::spawn(async move {
                tokio::select! {
                    _ = signals.0.recv() => {}
                    _ = signals.1.recv() => {}
                }
                std::process::exit(130);
            });
        }
        #[cfg(not(unix))]
        {
            // Without the handler the process ends as the system decides.
            let _ = tokio::signal::ctrl_c().await;
        }
    })
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    router: Router,
}

impl Server {
    /// Listens at the address of the settings.
    ///
    /// # Errors
    /// [`Error::Listen`] if the address is taken or not this machine's.
    pub async fn bind(app: Arc<App>) -> Result<Self> {
        let address = app.config.address;
        let wrong = |source| Error::Listen { address, source };
        let router = router(app.clone())?;
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self {
            listener,
            address,
            app,
            router,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop`; then takes no more, finishes those in flight and commits what was accepted.
    ///
    /// # Errors
    /// [`Error::Deadline`] if that takes longer than the settings allow.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self {
            listener,
            app,
            router,
            ..
        } = self;
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(app.config.max_connections));
        let refresher = tokio::spawn(refresh(app.clone()));
        let mut stop = pin!(stop);
        loop {
            let accepted = async {
                // Never closed, so there is always a place at some time.
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: wait until some connections are closed.
                    tracing::warn!("can't accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(app.config.read_timeouts[0])
                .max_headers(MOST_HEADERS)
                .max_buf_size(LARGEST_HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!("connection: {error}");
                }
            });
        }
        app.stop();
        drop(listener);
        refresher.abort();
        let deadline = Instant::now() + app.config.shutdown_deadline;
        if tokio::time::timeout_at(deadline, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests were not finished before the deadline");
        }
        let closing = app.clone();
        let closed = tokio::task::spawn_blocking(move || closing.close());
        match tokio::time::timeout_at(deadline, closed).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let waiting = app.collections.values().map(|served| served.writes.waiting());
                Err(Error::Deadline(waiting.sum()))
            }
        }
    }
}

/// Turns the collections to commits that other programs made.
async fn refresh(app: Arc<App>) {
    let mut ticks = tokio::time::interval(app.config.refresh.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let app = app.clone();
        let done = tokio::task::spawn_blocking(move || {
            for (name, served) in &app.collections {
                if let Err(problem) = served.backend.refresh() {
                    tracing::warn!("{name}: {problem}");
                }
            }
        });
        if done.await.is_err() {
            tracing::error!("looking for new commits panicked");
        }
    }
}
