//! Batches on top of the single commands: up to 100 items under one Idempotency-Key, all or nothing or one by one. Each item
//! passes through the function of its single command, so that the rules are the same.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::command::Tx;
use super::problem::{ApiError, ApiResult, ProblemView};
use super::reply::Reply;

/// All or nothing, or one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchMode {
    /// The first refusal undoes everything and is the answer.
    Atomic,
    /// Refused items are told, the others are done.
    BestEffort,
}

/// One result per item, in the order of the items.
#[derive(Serialize, ToSchema)]
pub struct BatchView {
    /// The results.
    #[schema(max_items = 100)]
    pub items: Vec<BatchResult>,
}

/// What became of one item.
#[derive(Serialize, ToSchema)]
pub struct BatchResult {
    /// Its place in the request, from 0.
    #[schema(minimum = 0, maximum = 99)]
    pub index: i32,
    /// HTTP status of the single command.
    #[schema(minimum = 200, maximum = 599)]
    pub status: i32,
    /// The object; null where it was refused.
    #[schema(required = true)]
    pub id: Option<Uuid>,
    /// Its version now; null where it was refused.
    #[schema(required = true, minimum = 1)]
    pub version: Option<i32>,
    /// The object as the single command answers it; null where it was refused.
    #[schema(required = true, value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it was refused; null where it was done.
    #[schema(required = true, value_type = Option<ProblemView>)]
    pub problem: Option<Value>,
}

/// Runs a batch. `step` is the single command; it answers the object's id, version and view. Items are worked on in the order of
/// their ids, whatever their order in the request, so that two batches with the same objects wait for each other and do not
/// lock each other out; the results stand in the order of the request.
pub async fn run<I>(
    tx: &mut Tx,
    mode: BatchMode,
    items: Vec<I>,
    id_of: impl Fn(&I) -> Uuid,
    step: impl AsyncFn(&mut Tx, I) -> ApiResult<(Uuid, i32, Value)>,
) -> ApiResult<Reply> {
    let mut numbered: Vec<(usize, I)> = items.into_iter().enumerate().collect();
    numbered.sort_by_key(|(_, item)| id_of(item));
    let mut results = Vec::with_capacity(numbered.len());
    for (index, item) in numbered {
        let id = id_of(&item);
        let done = match mode {
            BatchMode::Atomic => Ok(step(tx, item).await.map_err(|error| error.with("index", index.into()))?),
            BatchMode::BestEffort => tx.part(async |tx| step(tx, item).await).await,
        };
        results.push(match done {
            Ok((id, version, view)) => BatchResult {
                index: index as i32,
                status: 200,
                id: Some(id),
                version: Some(version),
                result: Some(view),
                problem: None,
            },
            Err(error) if error.code().status().is_server_error() => return Err(error),
            Err(error) => {
                tx.part_refused(error.code(), id);
                refused(tx, index, id, &error)
            }
        });
    }
    results.sort_by_key(|result| result.index);
    // A batch of which every item was refused changed nothing; it asked for permission item by item all the same.
    tx.settle_batch();
    match mode {
        BatchMode::Atomic => Reply::plain(&BatchView { items: results }),
        BatchMode::BestEffort => Reply::multi_status(&BatchView { items: results }),
    }
}

/// The problem of one item; its instance is the object.
fn refused(tx: &Tx, index: usize, id: Uuid, error: &ApiError) -> BatchResult {
    let mut problem = error.to_json(tx.call.language);
    problem.insert("instance".into(), json!(format!("{}/{id}", tx.call.target.trim_end_matches("/batch"))));
    problem.insert("request_id".into(), json!(tx.call.request_id));
    let status = i32::from(error.code().status().as_u16());
    BatchResult { index: index as i32, status, id: None, version: None, result: None, problem: Some(Value::Object(problem)) }
}
