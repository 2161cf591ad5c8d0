//! The HTTP server: workers, limits of the connection, the gate around every route, a graceful end.

use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App as ActixApp, HttpServer};
use utoipa_actix_web::AppExt;

use super::{gate, metrics, swagger};
use crate::app::App;
use crate::routes;

/// A client that sends its headers slower than this is dropped.
const HEADERS_DEADLINE: Duration = Duration::from_secs(5);
/// An idle connection is closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Starts listening. Ends gracefully when the process is told to stop: running requests get `drain` to finish.
pub fn start(app: &App) -> std::io::Result<Server> {
    let workers = match app.config.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let shared = app.clone();
    let server = HttpServer::new(move || {
        finish_turns();
        let app = shared.clone();
        let docs = app.config.docs;
        ActixApp::new()
            .into_utoipa_app()
            .configure(routes::mount)
            .into_app()
            .configure(move |services| {
                if docs {
                    swagger::mount(services)
                }
            })
            .app_data(Data::new(Rc::new(app.db.reader())))
            .app_data(Data::new(app))
            .wrap(from_fn(gate::pass))
            .wrap(Compress::default())
    });
    Ok(server
        .workers(workers)
        .client_request_timeout(HEADERS_DEADLINE)
        .client_disconnect_timeout(Duration::from_secs(5))
        .keep_alive(KEEP_ALIVE)
        .max_connections(10_000)
        .shutdown_timeout(app.config.drain.as_secs())
        .disable_signals()
        .bind(app.config.http)?
        .run())
}

/// Lets a worker's thread come to its turn instead of interrupting whoever runs (SCHED_BATCH, Linux). A worker is woken by every
/// answer that PostgreSQL sends; one that interrupts the sender answers its requests one by one, and the processors are busy changing
/// between the two. Where the system refuses, all works as before.
fn finish_turns() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sched_param is plain data, for which zero is valid; the call reads it and keeps no pointer. 0 is the calling thread.
        let refused = unsafe {
            let parameters: libc::sched_param = std::mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) != 0
        };
        if refused {
            log::debug!("the system keeps its own order of threads: {}", std::io::Error::last_os_error());
        }
    }
}

/// Serves /metrics where they are wanted.
pub fn start_metrics(app: &App) -> std::io::Result<Option<Server>> {
    let Some(address) = app.config.metrics else { return Ok(None) };
    let shared = app.clone();
    let server = HttpServer::new(move || {
        ActixApp::new().app_data(Data::new(shared.clone())).route("/metrics", web::get().to(metrics::show))
    });
    Ok(Some(server.workers(1).disable_signals().bind(address)?.run()))
}
