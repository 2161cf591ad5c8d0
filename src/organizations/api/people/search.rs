//! Exact search. What was searched stands neither in an address nor in the audit trail.

use actix_web::post;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::numbers::seal_numbers;
use super::{Around, PersonView};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Command, FieldError, Reply};
use crate::ids::PersonId;
use crate::organizations::store::people::{self as store, Wanted};

/// Most people an exact search answers.
const SEARCH_LIMIT: i64 = 100;

/// An exact search: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "phone": "13800005678" })))]
pub struct SearchPeople {
    /// Whole name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: Option<String>,
    /// Whole telephone number.
    #[schema(min_length = 7, max_length = 20, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// Whole identity number.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9]{17}[0-9Xx]$")]
    pub id_number: Option<String>,
}

/// People that were found.
#[derive(Serialize, ToSchema)]
pub struct FoundPeopleView {
    /// At most 100.
    #[schema(max_items = 100)]
    pub items: Vec<PersonView>,
}

/// 精确查找人员 · Search people
///
/// Finds people of the caller's subtree by their whole name, telephone or identity number. The search itself is audited, without what was searched.
#[utoipa::path(
    tag = "people",
    request_body = SearchPeople,
    responses((status = OK, body = FoundPeopleView, description = "Who was found."))
)]
#[post("/api/v1/people/search")]
pub async fn search_people(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_somewhere()?;
            tx.concerns_caller();
            let body: SearchPeople = tx.body()?;
            let (vault, today) = (tx.call.app.vault.clone(), tx.today());
            let wanted = match (&body.name, &body.phone, &body.id_number) {
                (Some(name), None, None) => Wanted::Name(name.clone()),
                (None, Some(phone), None) => {
                    let numbers = seal_numbers(&vault, Some(phone), None, today).map_err(ApiError::invalid)?;
                    Wanted::PhoneHash(numbers.phone_hash.unwrap_or_default())
                }
                (None, None, Some(number)) => {
                    let numbers = seal_numbers(&vault, None, Some(number), today).map_err(ApiError::invalid)?;
                    Wanted::IdNumberHash(numbers.id_number_hash.unwrap_or_default())
                }
                _ => {
                    let one = FieldError::at(
                        "",
                        "exactly_one",
                        "姓名、电话、证件号只能填一项",
                        "give exactly one of name, phone and id_number",
                    );
                    return Err(ApiError::invalid(vec![one]));
                }
            };
            let (scope, call) = (tx.scope(), tx.call.clone());
            let rows = store::search(tx.conn(), &scope, wanted, today, SEARCH_LIMIT).await?;
            let around = Around::load(&call, tx.conn(), &rows).await?;
            let found: Vec<PersonId> = rows.iter().map(|row| row.id).collect();
            let home = tx.caller()?.organization_id;
            tx.record(
                Change::of("people.searched", "person", uuid::Uuid::nil(), home).after(&serde_json::json!({ "found": found })),
            )
            .await?;
            let items = rows.into_iter().map(|row| around.view(row)).collect();
            Reply::plain(&FoundPeopleView { items })
        })
        .await
}
