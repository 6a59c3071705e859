//! The services that are up, from their first connection to the last.
//!
//! At the end each stops accepting, finishes what is under way, and is waited for, but only for as long as the operator
//! allows; a second signal ends the wait at once.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{error::ServerError, sockets::Service};

/// Services and the word that stops them.
pub(crate) struct Services {
    tasks: JoinSet<(Service, io::Result<()>)>,
    running: Vec<Service>,
    stop: watch::Sender<bool>,
}

/// How often the log says who is being waited for.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

// === impl Services ===

impl Services {
    pub(crate) fn new() -> Self {
        Self { tasks: JoinSet::new(), running: Vec::new(), stop: watch::Sender::new(false) }
    }

    /// Resolves when the services are to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // The sender lives in `self`; when it is gone, so is the reason to go on.
            drop(stop.wait_for(|stop| *stop).await);
        }
    }

    /// Runs `serving`, which is to end soon after [`Services::stopped`] resolves.
    pub(crate) fn start(
        &mut self,
        service: Service,
        address: SocketAddr,
        serving: impl Future<Output = io::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (service, serving.await) });
        self.running.push(service);
        tracing::info!("Started {} at {address}", service.title());
    }

    /// The first service that ends without having been told to. Never resolves while all are well.
    pub(crate) async fn ended(&mut self) -> ServerError {
        match self.tasks.join_next().await {
            Some(Ok((service, Ok(())))) => self.end_of(service, "it stopped serving".to_owned()),
            Some(Ok((service, Err(error)))) => self.end_of(service, error.to_string()),
            Some(Err(error)) => ServerError::ServiceFailed { problem: error.to_string() },
            None => std::future::pending().await,
        }
    }

    /// Tells every service to stop and waits until the last request is answered.
    ///
    /// # Errors
    /// Time ran out, or `next_signal` came first.
    pub(crate) async fn drain(
        &mut self,
        timeout: Duration,
        next_signal: impl Future<Output = &'static str>,
    ) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        let started = Instant::now();
        tokio::pin!(next_signal);
        while !self.tasks.is_empty() {
            let left = timeout.saturating_sub(started.elapsed());
            // Rounded up: the first report names the whole time that is left.
            let seconds_left = left.as_millis().div_ceil(1_000);
            tracing::info!("Timeout {seconds_left}: Waiting for the open requests of {}", self.running_names());
            if left.is_zero() {
                return Err(ServerError::ExitTimeout);
            }
            let report_at = tokio::time::sleep(REPORT_INTERVAL.min(left));
            tokio::pin!(report_at);
            while !self.tasks.is_empty() {
                tokio::select! {
                    ended = self.tasks.join_next() => self.note_end(ended),
                    signal = &mut next_signal => return Err(ServerError::StoppedTwice { signal }),
                    () = &mut report_at => break,
                }
            }
        }
        Ok(())
    }

    fn end_of(&mut self, service: Service, problem: String) -> ServerError {
        self.running.retain(|running| *running != service);
        ServerError::ServiceEnded { service, problem }
    }

    fn note_end(&mut self, ended: Option<Result<(Service, io::Result<()>), tokio::task::JoinError>>) {
        match ended {
            Some(Ok((service, outcome))) => {
                self.running.retain(|running| *running != service);
                if let Err(error) = outcome {
                    tracing::error!("failed to stop {} service: {error}", service.name());
                }
            }
            Some(Err(error)) => tracing::error!("a service failed while it stopped: {error}"),
            None => {}
        }
    }

    fn running_names(&self) -> String {
        self.running.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8000))
    }

    #[tokio::test]
    async fn services_are_told_to_stop_and_waited_for() {
        let mut services = Services::new();
        let stopped = services.stopped();
        let (finished, mut is_finished) = oneshot::channel();
        services.start(Service::Http, address(), async move {
            stopped.await;
            finished.send(()).unwrap();
            Ok(())
        });
        services.drain(MINUTE, std::future::pending()).await.unwrap();
        is_finished.try_recv().unwrap();
    }

    #[tokio::test]
    async fn a_service_that_does_not_end_in_time_is_left_behind() {
        let mut services = Services::new();
        services.start(Service::Grpc, address(), std::future::pending());
        let error = services.drain(Duration::ZERO, std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "Exit timeout expired. Exiting immediately.");
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_wait() {
        let mut services = Services::new();
        services.start(Service::Grpc, address(), std::future::pending());
        let error = services.drain(MINUTE, std::future::ready("SIGTERM")).await.unwrap_err();
        assert_eq!(error.to_string(), "stopped by a second SIGTERM with requests under way");
    }

    #[tokio::test]
    async fn a_service_that_fails_by_itself_is_named() {
        let mut services = Services::new();
        services.start(Service::Grpc, address(), std::future::pending());
        services.start(Service::Http, address(), async { Err(io::Error::other("out of files")) });
        assert_eq!(services.ended().await.to_string(), "HTTP service ended by itself: out of files");
    }
}
