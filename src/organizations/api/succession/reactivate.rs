//! Reactivating a dissolved organization.

use actix_web::post;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::super::history::{Told, tell};
use super::super::organizations::write::{check_codes, check_parent, division_fault};
use super::super::organizations::{OrganizationView, UNIQUE};
use super::super::{Faults, taken};
use super::{begin, in_own_subtree, taking_over};
use crate::http::{ApiResult, Command, CommandHeaders, FieldError, Path, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::{OrganizationEventKind, OrganizationStep};
use crate::organizations::store::organizations as store;

/// Path of an organization that was dissolved.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DissolvedOrganizationPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8006-000000000021")]
    pub id: OrganizationId,
}

/// Where a dissolved organization works again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "parent_id": null, "division_code": null, "reason": "商圈恢复营业" })))]
pub struct ReactivateOrganization {
    /// Guidance parent from today; null: the one it had, if that is active.
    pub parent_id: Option<OrganizationId>,
    /// Its division code from now on; null: none.
    #[schema(required = true, min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 恢复组织 · Reactivate an organization
///
/// Lets a dissolved organization work again from today; its place and codes are checked as those of a new one. What ended or
/// moved with it stays so. A merged organization lives on in its successor and cannot be reactivated.
#[utoipa::path(
    tag = "organizations",
    params(DissolvedOrganizationPath, CommandHeaders),
    request_body = ReactivateOrganization,
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[post("/api/v1/organizations/{id}/reactivate")]
pub async fn reactivate_organization(command: Command, path: Path<DissolvedOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = begin(tx, id, OrganizationStep::Reactivate, Some("parent_id")).await?;
            let body: ReactivateOrganization = tx.body()?;
            let parent = match body.parent_id.or(before.parent_id) {
                Some(parent) => Some(taking_over(tx, parent, "/parent_id").await?),
                None => None,
            };
            // As with a move: it does not leave a place that is not hers.
            if let Some(old) = before.parent_id {
                tx.require(old).await?;
            }
            let mut faults = Faults::default();
            let code = body.division_code.as_deref();
            if let Some(parent) = &parent {
                faults.0.extend(in_own_subtree(tx, id, parent.id, "/parent_id").await?);
                faults.0.extend(check_parent(before.kind, before.level, parent));
            } else {
                faults.check(before.kind.may_be_root(), || FieldError::unknown_reference("/parent_id"));
            }
            faults.0.extend(code.and_then(|code| division_fault(before.kind, code, parent.as_ref())));
            check_codes(tx, &mut faults, code, None).await?;
            faults.done()?;
            let (now, today, place) = (tx.now(), tx.today(), parent.as_ref().map(|parent| parent.id));
            let after = store::reactivate(tx.conn(), &before, place, code, now, today);
            let after = after.await.map_err(|error| taken(error, UNIQUE))?;
            let kind = OrganizationEventKind::Reactivated;
            tell(tx, Told { kind, before: Some(&before), after: &after, other: None, reason: Some(&body.reason) }).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}
