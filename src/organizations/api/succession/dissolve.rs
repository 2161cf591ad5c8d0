//! Dissolving an organization, with or without a successor.

use actix_web::post;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::Faults;
use super::super::history::{Told, tell};
use super::super::tree::MovedOrganizationPath;
use super::hand_over::{Strategies, hand_over};
use super::{Outcome, SuccessionView, begin, in_own_subtree, taking_over, tell_both};
use crate::http::{ApiError, ApiResult, Code, Command, CommandHeaders, FieldError, Path, Reply, Tx};
use crate::ids::OrganizationId;
use crate::organizations::rules::{
    AccountStrategy, ChildStrategy, OrganizationEventKind, OrganizationStatus, OrganizationStep, PostStrategy, SiteStrategy,
};
use crate::organizations::store::organizations as store;

/// Why an organization is dissolved, who takes over, and what becomes of what it has.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "successor_id": null, "reason": "村社区撤并" })))]
pub struct DissolveOrganization {
    /// An active organization that takes over, also the people it keeps in the address book; null: nobody.
    pub successor_id: Option<OrganizationId>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
    /// What becomes of active children; null: there must be none.
    pub children: Option<ChildStrategy>,
    /// What becomes of posts that are held or about to begin; null: there must be none.
    pub posts: Option<PostStrategy>,
    /// What becomes of open sites; null: there must be none.
    pub sites: Option<SiteStrategy>,
    /// What becomes of accounts that it keeps, and of grants at it; null: they stay as they are.
    pub accounts: Option<AccountStrategy>,
    /// true: only tell what would happen; nothing is changed, and the Idempotency-Key stays free.
    #[serde(default)]
    pub preview: bool,
}

/// 撤销组织 · Dissolve an organization
///
/// Ends an organization; it is never deleted. Active children, posts and open sites are in the way, and the answer says so,
/// unless a strategy says what becomes of them. With `preview: true` nothing changes, and the answer tells what would: numbers,
/// and what cannot be undone.
#[utoipa::path(
    tag = "organizations",
    params(MovedOrganizationPath, CommandHeaders),
    request_body = DissolveOrganization,
    responses((status = OK, body = SuccessionView, description = "The organization that has ended, or would end."))
)]
#[post("/api/v1/organizations/{id}/dissolve")]
pub async fn dissolve_organization(command: Command, path: Path<MovedOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = begin(tx, id, OrganizationStep::Dissolve, Some("successor_id")).await?;
            let today = tx.today();
            // What is in the way is a matter of the state: it is told before what is wrong with the body.
            let settled = Strategies {
                children: tx.call.field("children"),
                posts: tx.call.field("posts"),
                sites: tx.call.field("sites"),
                accounts: tx.call.field("accounts"),
            };
            in_the_way(tx, id, today, &settled).await?;
            let body: DissolveOrganization = tx.body()?;
            let how = Strategies { children: body.children, posts: body.posts, sites: body.sites, accounts: body.accounts };
            let successor = match body.successor_id {
                Some(successor) => Some(taking_over(tx, successor, "/successor_id").await?),
                None => None,
            };
            let mut faults = Faults::default();
            for field in how.moving() {
                faults.check(successor.is_some(), || {
                    FieldError::at(field, "needs_successor", "转入需要指定承接组织", "needs a successor_id to move to")
                });
            }
            if let Some(successor) = &successor {
                faults.0.extend(in_own_subtree(tx, id, successor.id, "/successor_id").await?);
            }
            faults.done()?;
            let (now, target) = (tx.now(), successor.as_ref().map(|successor| successor.id));
            let after = store::end(tx.conn(), &before, OrganizationStatus::Dissolved, target, now, today).await?;
            let to = successor.as_ref().map(|successor| (successor, "/successor_id"));
            let effects = hand_over(tx, &before, to, &how, &body.reason).await?;
            let one = (&before, &after, OrganizationEventKind::Dissolved);
            match &successor {
                Some(other) => tell_both(tx, one, (other, other, OrganizationEventKind::TookOver), &body.reason).await?,
                None => {
                    let (before, after, kind) = (Some(one.0), one.1, one.2);
                    tell(tx, Told { kind, before, after, other: None, reason: Some(&body.reason) }).await?;
                }
            }
            let outcome = Outcome { step: OrganizationStep::Dissolve, before, after, effects, created: vec![] };
            outcome.reply(tx, body.preview).await
        })
        .await
}

async fn in_the_way(tx: &mut Tx, id: OrganizationId, today: NaiveDate, how: &Strategies) -> ApiResult<()> {
    let obstacles = store::obstacles(tx.conn(), id, today).await?;
    let named = [
        (obstacles.children, how.children.is_some(), "个下级组织", "active children"),
        (obstacles.posts, how.posts.is_some(), "个在任职务", "posts that are held"),
        (obstacles.sites, how.sites.is_some(), "个阵地", "open sites"),
    ];
    let named: Vec<_> = named.into_iter().filter(|(count, settled, ..)| *count > 0 && !settled).collect();
    if named.is_empty() {
        return Ok(());
    }
    let zh: Vec<String> = named.iter().map(|(count, _, zh, _)| format!("{count}{zh}")).collect();
    let en: Vec<String> = named.iter().map(|(count, .., en)| format!("{count} {en}")).collect();
    Err(ApiError::from(Code::Conflict).because(
        format!("还有{}，请先处理，或说明如何处理", zh.join("、")),
        format!("there are {}; deal with them first, or say what becomes of them", en.join(", ")),
    ))
}
