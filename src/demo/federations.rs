//! One federation per division, the functional zones, the committees and associations that the 2019 plan addresses.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{fixed_id, organization_of};
use crate::db::schema::divisions;
use crate::ids::OrganizationId;
use crate::organizations::seed::{self, Organization};
use crate::organizations::{OrganizationKind, OrganizationLevel, OrganizationStatus};
use crate::reference::DivisionLevel;
use diesel::prelude::*;

/// Zones without a code (handbook 1.4): number of the fixed id, name.
const ZONES: &[(&str, &str)] = &[("1", "岳阳经济技术开发区妇联"), ("2", "城陵矶新港区妇联"), ("3", "南湖新区妇联")];

/// Streets that the handbook lists under a zone; which of them belong there is to be confirmed.
const ZONE_STREETS: &[(&str, &str)] = &[
    ("430602402", "1"),
    ("430602406", "1"),
    ("430602407", "1"),
    ("430602100", "1"),
    ("430602203", "1"),
    ("430603003", "2"),
    ("430602013", "3"),
    ("430602016", "3"),
    ("430602017", "3"),
    ("430602018", "3"),
    ("430602019", "3"),
];

/// Bodies of the city beside the federations: number of the fixed id, kind, name, host.
const BODIES: &[(&str, OrganizationKind, &str, &str)] = &[
    ("11", OrganizationKind::OrganWomensCommittee, "市直妇委会", "市直机关"),
    ("12", OrganizationKind::UnionWomenWorkersCommittee, "市总工会女职工委员会", "市总工会"),
    ("13", OrganizationKind::MemberAssociation, "市女企业家协会", "市妇联"),
    ("14", OrganizationKind::MemberAssociation, "市巾帼志愿者协会", "市妇联"),
    ("15", OrganizationKind::WomenChildrenWorkingCommitteeOffice, "市政府妇儿工委办", "市人民政府"),
];

/// A body that was dissolved in March, so that it can be reactivated: number of the fixed id, name, host.
const DISSOLVED: (&str, &str, &str) = ("21", "步行街商圈妇联", "步行街商会");

/// Day on which the demo tree begins.
pub fn founded() -> NaiveDate {
    NaiveDate::from_ymd_opt(2019, 1, 1).unwrap_or_default()
}

/// The organization of a zone without a code, or of a body of the city.
pub fn other(number: &str) -> OrganizationId {
    fixed_id(0x8006, number).into()
}

/// Loads the tree: parents before children.
pub async fn load(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let rows: Vec<(String, String, DivisionLevel, Option<String>)> = divisions::table
        .select((divisions::code, divisions::name, divisions::level, divisions::parent_code))
        .filter(divisions::code.like("4306%"))
        .load(conn)
        .await?;
    let at = |level: DivisionLevel| rows.iter().filter(move |row| row.2 == level);
    let mut all: Vec<Organization> = Vec::new();
    all.extend(at(DivisionLevel::City).map(|row| of_division(row, None, now)));
    let city = organization_of("430600");
    all.extend(at(DivisionLevel::County).map(|row| of_division(row, Some(city), now)));
    for (number, name) in ZONES {
        all.push(organization(other(number), OrganizationKind::ZoneFederation, name, OrganizationLevel::County, Some(city), now));
    }
    for (number, kind, name, host) in BODIES {
        let body = organization(other(number), *kind, name, OrganizationLevel::City, Some(city), now);
        all.push(Organization { host_name: Some((*host).to_owned()), ..body });
    }
    for row in at(DivisionLevel::Township) {
        let zone = ZONE_STREETS.iter().find(|(code, _)| *code == row.0).map(|(_, zone)| other(zone));
        let parent = zone.or_else(|| row.3.as_deref().map(organization_of));
        let mut township = of_division(row, parent, now);
        if zone.is_some() {
            township.tags.push("unverified".to_owned());
        }
        all.push(township);
    }
    all.extend(at(DivisionLevel::Village).map(|row| of_division(row, row.3.as_deref().map(organization_of), now)));
    let (number, name, host) = DISSOLVED;
    let kind = OrganizationKind::NewFieldFederation;
    let body = organization(other(number), kind, name, OrganizationLevel::Township, Some(organization_of("430602")), now);
    all.push(Organization {
        host_name: Some(host.to_owned()),
        status: OrganizationStatus::Dissolved,
        status_changed_on: NaiveDate::from_ymd_opt(2019, 3, 1),
        ..body
    });
    seed::organizations(conn, &all, founded()).await?;
    Ok(())
}

fn of_division(
    (code, name, level, _): &(String, String, DivisionLevel, Option<String>),
    parent: Option<OrganizationId>,
    now: DateTime<Utc>,
) -> Organization {
    let (kind, level) = match level {
        DivisionLevel::Province | DivisionLevel::City => (OrganizationKind::CityFederation, OrganizationLevel::City),
        DivisionLevel::County if code == "430671" => (OrganizationKind::ZoneFederation, OrganizationLevel::County),
        DivisionLevel::County => (OrganizationKind::CountyFederation, OrganizationLevel::County),
        DivisionLevel::Township => (OrganizationKind::TownshipFederation, OrganizationLevel::Township),
        DivisionLevel::Village => (OrganizationKind::VillageFederation, OrganizationLevel::Village),
    };
    // The statistics bureau prefixes this one with the city; the plan calls it by its own name.
    let name = name.strip_prefix("岳阳市屈原").map_or(name.clone(), |rest| format!("屈原{rest}"));
    let short = ["村民委员会", "居民委员会", "村委会", "居委会"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let federation = organization(organization_of(code), kind, &format!("{short}妇联"), level, parent, now);
    Organization { division_code: Some(code.clone()), ..federation }
}

fn organization(
    id: OrganizationId,
    kind: OrganizationKind,
    name: &str,
    level: OrganizationLevel,
    parent_id: Option<OrganizationId>,
    now: DateTime<Utc>,
) -> Organization {
    Organization { parent_id, ..seed::blank(id, kind, level, name, now) }
}
