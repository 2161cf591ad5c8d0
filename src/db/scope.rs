//! Scope in SQL: a place covers its subtree of today's tree. Every query on scoped data passes here.

use diesel::dsl::{IntoBoxed, Select, exists};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::access::Scope;
use crate::db::schema::organization_tree;
use crate::ids::OrganizationId;

/// Everything that lies below some places today, themselves included.
pub type Below<'a> = IntoBoxed<'a, Select<organization_tree::table, organization_tree::descendant_id>, Pg>;

/// Selects what lies below `places` today. One place is compared with `=`: then a page is a range of the index.
pub fn below<'a>(places: &[OrganizationId]) -> Below<'a> {
    let today = organization_tree::table.select(organization_tree::descendant_id).into_boxed();
    let today = today.filter(organization_tree::to_on.is_null());
    match places {
        [only] => today.filter(organization_tree::ancestor_id.eq(*only)),
        many => today.filter(organization_tree::ancestor_id.eq_any(many.to_vec())),
    }
}

/// Whether an organization lies in a scope, as part of a statement, which looks once.
#[diesel::dsl::auto_type(no_type_alias)]
pub fn lies_in<'a>(scope: &'a Scope, place: OrganizationId) -> _ {
    let found: Below<'a> = below(scope.places());
    exists(found.filter(organization_tree::descendant_id.eq(place)))
}

/// Whether an organization lies in a scope together with its parent.
#[diesel::dsl::auto_type(no_type_alias)]
pub fn lies_below<'a>(scope: &'a Scope, place: OrganizationId) -> _ {
    let found: Below<'a> = below(scope.places());
    exists(found.filter(organization_tree::descendant_id.eq(place)).filter(organization_tree::depth.gt(0i16)))
}

/// Whether an organization lies in a scope.
pub async fn covers(mut conn: &AsyncPgConnection, scope: &Scope, place: OrganizationId) -> QueryResult<bool> {
    if scope.is_empty() {
        return Ok(false);
    }
    diesel::select(lies_in(scope, place)).get_result(&mut conn).await
}

/// Which of these organizations lie in a scope.
pub async fn covered(mut conn: &AsyncPgConnection, scope: &Scope, ids: &[OrganizationId]) -> QueryResult<Vec<OrganizationId>> {
    if scope.is_empty() || ids.is_empty() {
        return Ok(vec![]);
    }
    below(scope.places()).filter(organization_tree::descendant_id.eq_any(ids.to_vec())).distinct().load(&mut conn).await
}
