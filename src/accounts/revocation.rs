//! Changes of access reach every node: the change notifies in its transaction, each node listens.

use std::time::Duration;

use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;
use uuid::Uuid;

use crate::app::App;

/// Channel of the notifications; the payload is an account id, or `keys`.
const CHANNEL: &str = "access_changed";

#[diesel::declare_sql_function]
extern "SQL" {
    /// Sends a notification when the transaction commits.
    fn pg_notify(channel: Text, payload: Text) -> diesel::sql_types::Integer;
}

/// Payload that tells of keys.
const KEYS: &str = "keys";

/// Tells the other nodes, when the transaction commits, that an account or its sessions or grants changed.
pub async fn announce(conn: &mut AsyncPgConnection, account: Uuid) -> diesel::QueryResult<()> {
    notify(conn, &account.to_string()).await
}

/// The same of many accounts.
pub async fn announce_all(conn: &mut AsyncPgConnection, accounts: &[Uuid]) -> diesel::QueryResult<()> {
    let tell = diesel::sql_query("SELECT pg_notify($1, id::text) FROM unnest($2) AS id");
    tell.bind::<Text, _>(CHANNEL).bind::<Array<diesel::sql_types::Uuid>, _>(accounts).execute(conn).await.map(drop)
}

/// Tells the other nodes that keys were rotated.
pub async fn announce_keys(conn: &mut AsyncPgConnection) -> diesel::QueryResult<()> {
    notify(conn, KEYS).await
}

async fn notify(conn: &mut AsyncPgConnection, payload: &str) -> diesel::QueryResult<()> {
    // The function returns void, which has no value to read.
    diesel::select(pg_notify(CHANNEL, payload)).execute(conn).await?;
    Ok(())
}

/// Listens until told to stop. While the connection is lost, nothing is cached.
pub async fn listen(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            outcome = listen_once(&app) => {
                app.tokens.trust(false);
                if let Err(fault) = outcome {
                    log::warn!(cause = fault.as_str(); "changes of access cannot be heard; tokens are not cached");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            _ = stop.changed() => {}
        }
    }
}

async fn listen_once(app: &App) -> Result<(), String> {
    let (client, mut messages) = app.db.listener().await?;
    let command = format!("LISTEN {CHANNEL}");
    let listen = client.batch_execute(&command);
    let mut listen = std::pin::pin!(listen);
    let mut listening = false;
    loop {
        tokio::select! {
            done = &mut listen, if !listening => {
                done.map_err(|fault| fault.to_string())?;
                listening = true;
                // What was rotated while nobody listened is read now.
                hear(app, KEYS).await?;
                app.tokens.trust(true);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notification))) => hear(app, notification.payload()).await?,
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Err(fault.to_string()),
                None => return Err("the connection was closed".to_owned()),
            },
        }
    }
}

async fn hear(app: &App, payload: &str) -> Result<(), String> {
    if let Ok(account) = payload.parse::<Uuid>() {
        app.tokens.forget_account(account);
        return Ok(());
    }
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    app.vault.reload(&mut conn).await.map_err(|fault| fault.to_string())?;
    app.signing_keys.reload(&mut conn, &app.vault).await.map_err(|fault| fault.to_string())?;
    app.tokens.forget_all();
    Ok(())
}
