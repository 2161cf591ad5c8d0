//! Merging one organization into another.

use actix_web::post;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::organizations::UNIQUE;
use super::super::organizations::write::{check_codes, division_fault};
use super::super::tree::MovedOrganizationPath;
use super::super::{Faults, taken};
use super::hand_over::{Strategies, hand_over};
use super::{Outcome, SuccessionView, begin, in_own_subtree, taking_over, tell_both};
use crate::http::{ApiResult, Command, CommandHeaders, FieldError, Path, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::{
    AccountStrategy, ChildStrategy, OrganizationEventKind, OrganizationStatus, OrganizationStep, PostStrategy, SiteStrategy,
    may_merge,
};
use crate::organizations::store::organizations as store;

/// Into which organization one merges, and what becomes of what it has.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "into_id": "0168028c-2f00-7000-8000-430602001003",
    "reason": "村社区合并",
    "division_code": null,
    "posts": "move",
    "sites": "move",
    "accounts": "move",
    "preview": false
})))]
pub struct MergeOrganization {
    /// The active organization that it becomes part of: a federation of the same level, or for other bodies one of the same kind.
    pub into_id: OrganizationId,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
    /// Division code of the successor from now on; null: it keeps its own.
    #[schema(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// What becomes of posts that are held or about to begin.
    pub posts: PostStrategy,
    /// What becomes of open sites.
    pub sites: SiteStrategy,
    /// What becomes of accounts that the organization keeps, and of grants at it. Needs the right over accounts where there are any.
    pub accounts: AccountStrategy,
    /// true: only tell what would happen; nothing is changed, and the Idempotency-Key stays free.
    #[serde(default)]
    pub preview: bool,
}

/// 合并组织 · Merge an organization into another
///
/// The organization ends today as `merged`; its active children hang below the successor and its people are kept there. Posts,
/// sites and accounts follow the strategies, contact assignments the posts and the area. The tree keeps the old place. With `preview: true` nothing changes, and the answer
/// tells what would: numbers, and what cannot be undone.
#[utoipa::path(
    tag = "organizations",
    params(MovedOrganizationPath, CommandHeaders),
    request_body = MergeOrganization,
    responses((status = OK, body = SuccessionView, description = "The organization that has ended, or would end."))
)]
#[post("/api/v1/organizations/{id}/merge")]
pub async fn merge_organization(command: Command, path: Path<MovedOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = begin(tx, id, OrganizationStep::Merge, Some("into_id")).await?;
            let body: MergeOrganization = tx.body()?;
            let into = taking_over(tx, body.into_id, "/into_id").await?;
            let mut faults = Faults::default();
            faults.0.extend(in_own_subtree(tx, id, into.id, "/into_id").await?);
            faults.check(may_merge((before.kind, before.level), (into.kind, into.level)), || {
                let en = "must be a federation of the same level, or a body of the same kind; else dissolve with a successor";
                FieldError::at("/into_id", "kind", "只能并入同级妇联或同类组织；其他情形请撤销并指定承接组织", en)
            });
            let code = body.division_code.as_deref();
            let parent = store::parent_of(tx.conn(), &into).await?;
            faults.0.extend(code.and_then(|code| division_fault(into.kind, code, parent.as_ref())));
            check_codes(tx, &mut faults, code, None).await?;
            faults.done()?;
            let (now, today) = (tx.now(), tx.today());
            // It ends first: then its code is free for the successor.
            let after = store::end(tx.conn(), &before, OrganizationStatus::Merged, Some(into.id), now, today).await?;
            let successor = match code {
                Some(code) => store::set_division(tx.conn(), into.id, code, now).await.map_err(|error| taken(error, UNIQUE))?,
                None => into.clone(),
            };
            let how = Strategies {
                children: Some(ChildStrategy::Move),
                posts: Some(body.posts),
                sites: Some(body.sites),
                accounts: Some(body.accounts),
            };
            let effects = hand_over(tx, &before, Some((&successor, "/into_id")), &how, &body.reason).await?;
            let one = (&before, &after, OrganizationEventKind::Merged);
            tell_both(tx, one, (&into, &successor, OrganizationEventKind::Absorbed), &body.reason).await?;
            let outcome = Outcome { step: OrganizationStep::Merge, before, after, effects, created: vec![] };
            outcome.reply(tx, body.preview).await
        })
        .await
}
