//! Personal numbers in clear.

use actix_web::post;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PersonPath;
use super::numbers::{ID_NUMBER, PHONE};
use crate::access::Permission;
use crate::accounts::require_step_up;
use crate::audit::Change;
use crate::db::scope;
use crate::http::{ApiResult, Command, Path, Reply};
use crate::ids::PersonId;
use crate::organizations::store::people as store;

/// Personal data that can be revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonalField {
    /// Telephone.
    Phone,
    /// Identity number.
    IdNumber,
}

/// What to reveal and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "fields": ["phone"], "reason": "通知参加会议" })))]
pub struct RevealPerson {
    /// Which fields.
    #[schema(min_items = 1, max_items = 2)]
    pub fields: Vec<PersonalField>,
    /// Why; it stands in the audit trail.
    #[schema(min_length = 2, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// Personal data in clear.
#[derive(Serialize, ToSchema)]
pub struct RevealedPersonView {
    /// Whose.
    pub id: PersonId,
    /// Telephone; null where it was not asked for or is not known.
    #[schema(required = true, examples("+8613800005678"), max_length = 20, pattern = "^[0-9+]+$")]
    pub phone: Option<String>,
    /// Identity number; null where it was not asked for or is not known.
    #[schema(required = true, max_length = 18, pattern = "^[0-9X]+$")]
    pub id_number: Option<String>,
}

/// 查看个人信息 · Reveal personal data
///
/// Shows personal numbers in clear, after a step-up and with a reason, to who may see them where she is kept or holds a post. Who saw what and why stands in the audit trail.
#[utoipa::path(
    tag = "people",
    params(PersonPath),
    request_body = RevealPerson,
    responses((status = OK, body = RevealedPersonView, description = "The numbers."))
)]
#[post("/api/v1/people/{id}/reveal")]
pub async fn reveal_person(command: Command, path: Path<PersonPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let (scope, today) = (tx.scope(), tx.today());
            let row = store::lock(tx.conn(), &scope, id, today).await?;
            let posts = store::held_posts(tx.conn(), vec![id], today).await?;
            let places: Vec<_> = posts.iter().map(|post| post.organization_id).chain([row.organization_id]).collect();
            let reveals = tx.call.scope_for(Permission::PersonReveal);
            let place = scope::covered(tx.conn(), &reveals, &places).await?.first().copied();
            tx.require(place.unwrap_or(row.organization_id)).await?;
            require_step_up(&tx.call)?;
            let body: RevealPerson = tx.body()?;
            let vault = &tx.call.app.vault;
            let open = |field: PersonalField, place: &str, sealed: &Option<Vec<u8>>| {
                sealed
                    .as_deref()
                    .filter(|_| body.fields.contains(&field))
                    .map(|sealed| vault.open_text(place, sealed))
                    .transpose()
            };
            let view = RevealedPersonView {
                id,
                phone: open(PersonalField::Phone, PHONE, &row.phone)?,
                id_number: open(PersonalField::IdNumber, ID_NUMBER, &row.id_number)?,
            };
            let change = Change::of("person.revealed", "person", id, row.organization_id)
                .after(&serde_json::json!({ "fields": body.fields }));
            tx.record(change.because(&body.reason)).await?;
            Ok(Reply::plain(&view)?.secret())
        })
        .await
}
