//! Ending many posts at once.

use actix_web::post;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::write::{EndPost, end};
use crate::http::batch::{self, BatchMode, BatchView};
use crate::http::{ApiResult, Command, KeyHeader, Reply, Tx};
use crate::ids::PostId;

/// What is done with every item.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostBatchAction {
    /// As `POST /posts/{id}/end`.
    End,
}

/// Many posts at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "action": "end",
    "mode": "atomic",
    "items": [{ "id": "0168028c-2f00-7000-8002-000000000002", "version": 1, "to_on": "2019-04-10", "reason": "换届" }]
})))]
pub struct PostBatch {
    /// What is done with every item.
    pub action: PostBatchAction,
    /// All or nothing, or one by one.
    pub mode: BatchMode,
    /// The posts.
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<PostBatchItem>,
}

/// One post of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostBatchItem {
    /// The post.
    pub id: PostId,
    /// The version that was read.
    #[schema(minimum = 1)]
    pub version: i32,
    /// Last day.
    pub to_on: NaiveDate,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 批量卸任 · Batch of posts
///
/// Ends up to 100 posts: all or nothing (`atomic`), or one by one with a result per item (`best_effort`, 207).
#[utoipa::path(
    tag = "people",
    params(KeyHeader),
    request_body = PostBatch,
    responses(
        (status = OK, body = BatchView, description = "Every item was done."),
        (status = MULTI_STATUS, body = BatchView, description = "One result per item.")
    )
)]
#[post("/api/v1/posts/batch")]
pub async fn batch_posts(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_somewhere()?;
            let body: PostBatch = tx.body()?;
            let PostBatchAction::End = body.action;
            batch::run(
                tx,
                body.mode,
                body.items,
                |item| item.id.0,
                async |tx: &mut Tx, item: PostBatchItem| {
                    let body = EndPost { to_on: item.to_on, reason: item.reason };
                    let view = end(tx, item.id, Some(item.version), async move |_: &Tx| Ok(body)).await?;
                    let version = view.version;
                    Ok((item.id.0, version, serde_json::to_value(view).unwrap_or(Value::Null)))
                },
            )
            .await
        })
        .await
}
