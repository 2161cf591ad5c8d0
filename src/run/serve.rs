//! Serving, migrating and asking for health, in production and for the development server.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use indicatif::ProgressBar;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{owner, runtime};
use crate::accounts::revocation;
use crate::app::App;
use crate::audit::{refusals, sealer};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Address, migrate};
use crate::http::server;
use crate::{jobs, reference};

/// Serves until told to stop. The configuration has been checked.
pub fn run(config: Config) -> Result<(), String> {
    for warning in config.production_warnings() {
        log::warn!("{warning}");
    }
    let background = runtime()?;
    let url = config.database_url.clone().ok_or("DATABASE_URL is needed")?;
    let app = background.block_on(App::connect(config, Clock::system(), &url, false, false))?;
    serve(&app, &background, |_| Box::pin(std::future::ready(())), || {})
}

/// Serves with workers and listeners in the background; `beside` is more of them. Calls `listening` once the addresses are ours.
/// Ends on SIGINT and SIGTERM.
pub fn serve(
    app: &App,
    background: &tokio::runtime::Runtime,
    beside: impl FnOnce(watch::Receiver<bool>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    listening: impl FnOnce(),
) -> Result<(), String> {
    let (stop, stopping) = watch::channel(false);
    let tasks = [
        // Two, so that a long job, such as an export, holds up neither the timetable nor the others.
        background.spawn(jobs::work(app.clone(), stopping.clone())),
        background.spawn(jobs::work(app.clone(), stopping.clone())),
        background.spawn(revocation::listen(app.clone(), stopping.clone())),
        background.spawn(sealer::run(app.clone(), stopping.clone())),
        background.spawn(beside(stopping.clone())),
        background.spawn(forget_idle_callers(app.clone(), stopping)),
    ];
    let served = actix_web::rt::System::new().block_on(async {
        // Signals are waited for before the first request can be answered.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|fault| fault.to_string())?;
        let mut terminate = signal(SignalKind::terminate()).map_err(|fault| fault.to_string())?;
        let server = server::start(app).map_err(|fault| format!("HALF_SKY_HTTP: {}: {fault}", app.config.http))?;
        let metrics = server::start_metrics(app).map_err(|fault| format!("HALF_SKY_METRICS: {fault}"))?;
        listening();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            log::info!("stopping: running requests may finish");
            handle.stop(true).await;
        });
        if let Some(metrics) = metrics {
            actix_web::rt::spawn(metrics);
        }
        log::info!(address = app.config.http.to_string().as_str(); "serving");
        server.await.map_err(|fault| fault.to_string())
    });
    stop.send_replace(true);
    background.block_on(async {
        for task in tasks {
            if tokio::time::timeout(Duration::from_secs(30), task).await.is_err() {
                log::warn!("a background task did not end in time");
            }
        }
    });
    served
}

async fn forget_idle_callers(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60)) => {
                app.limits.forget_idle();
                refusals::settle(&app, false).await;
            }
            _ = stop.changed() => {}
        }
    }
    refusals::settle(&app, true).await;
}

/// `half-sky migrate`
pub fn migrate(config: &Config, service_role: Option<&str>) -> Result<(), String> {
    let owner = owner(config)?;
    let progress = super::develop::progress_bar();
    runtime()?.block_on(async {
        for name in migrate::run(&owner).await? {
            println!("migrated {name}");
        }
        if let Some(role) = service_role {
            grant_service(&owner, role).await?;
        }
        load_reference(&owner, &progress).await
    })?;
    progress.finish_and_clear();
    Ok(())
}

/// Lets a login role work: as a member of half_sky_service, which has no DDL.
pub async fn grant_service(owner: &Address, role: &str) -> Result<(), String> {
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    let grant = format!("GRANT half_sky_service TO {quoted}");
    owner.connect().await?.batch_execute(&grant).await.map_err(|fault| format!("role {role}: {fault}"))
}

/// Loads the reference data as the owner.
pub async fn load_reference(owner: &Address, progress: &ProgressBar) -> Result<(), String> {
    for slice in reference::load::load(&mut owner.connect().await?, progress).await? {
        log::info!(slice = slice; "reference data loaded");
    }
    Ok(())
}

/// `half-sky health`: exit status 0 when the service on this machine is ready.
pub fn health(config: &Config) -> Result<(), String> {
    let port = config.http.port();
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|fault| fault.to_string())?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err("the service is not ready".to_owned()) }
}
