//! Coverage: the units in which there should be a women's organization, what may be known of them and what may cover them. Who
//! enters a unit by hand and who imports a thousand of them is held to the same rules.

use std::collections::HashMap;

use super::{OrganizationKind, significant};
use crate::ids::{CoverageUnitId, OrganizationId};
use crate::organizations::numbers::is_uscc;
use crate::text_enum;

text_enum! {
    /// What kind of unit (plan, point 04: parks, schools, new fields, business forms, strata and groups).
    CoverageUnitKind {
        /// 工业园区
        IndustrialPark = "industrial_park", "工业园区", "Industrial park";
        /// 学校
        School = "school", "学校", "School";
        /// 企业
        Enterprise = "enterprise", "企业", "Enterprise";
        /// 商会
        Chamber = "chamber", "商会", "Chamber of commerce";
        /// 住宅小区
        ResidentialEstate = "residential_estate", "住宅小区", "Residential estate";
        /// 市场商圈
        Market = "market", "市场商圈", "Market or shopping district";
        /// 医院
        Hospital = "hospital", "医院", "Hospital";
        /// 社会组织
        SocialOrganization = "social_organization", "社会组织", "Social organization";
        /// 新业态
        NewBusinessForm = "new_business_form", "新业态", "New form of business";
        /// 其他新领域
        Other = "other", "其他新领域", "Other new field";
    }
}

text_enum! {
    /// Life of a unit.
    CoverageUnitStatus {
        /// It is there.
        Active = "active", "正常", "Active";
        /// It is no more.
        Closed = "closed", "已注销", "Closed";
    }
}

text_enum! {
    /// What a gap of the coverage is about.
    CoverageGapKind {
        /// A township or street.
        Township = "township", "乡镇街道", "Township";
        /// A village or community.
        Village = "village", "村社区", "Village";
        /// A unit of the list of units.
        Unit = "unit", "单位", "Unit";
    }
}

text_enum! {
    /// What is missing.
    CoverageGap {
        /// There is a site, but no women's organization.
        Organization = "organization", "缺组织", "No organization";
        /// There is a women's organization, but no site.
        Site = "site", "缺阵地", "No site";
        /// There is neither.
        Both = "both", "组织和阵地都缺", "Neither";
    }
}

impl CoverageUnitStatus {
    /// What may be done with a unit now, by somebody who may write it.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Active => &["update", "close"],
            Self::Closed => &["reopen"],
        }
    }
}

impl CoverageUnitKind {
    /// Whether its women are employees, so that there cannot be more of them. In an estate they live, to a market they come, in a
    /// school they learn, an association they join.
    const fn counts_employees_only(self) -> bool {
        matches!(self, Self::Enterprise | Self::Hospital | Self::IndustrialPark)
    }
}

/// Whether a body can be the women's organization in a unit. The federations of whole counties and townships are around every
/// unit and in none; the working committee's office is an office of the government.
pub const fn may_cover(kind: OrganizationKind) -> bool {
    use OrganizationKind as Kind;
    !matches!(
        kind,
        Kind::ProvinceFederation
            | Kind::CityFederation
            | Kind::CountyFederation
            | Kind::TownshipFederation
            | Kind::WomenChildrenWorkingCommitteeOffice
    )
}

/// What is known of a unit, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct UnitFacts<'a> {
    /// What kind of unit.
    pub kind: CoverageUnitKind,
    /// The division it lies in.
    pub division_code: &'a str,
    /// Unified social credit code.
    pub uscc: Option<&'a str>,
    /// People who work there.
    pub employees_count: Option<i32>,
    /// Women who work or live there.
    pub women_count: Option<i32>,
    /// The federation in whose area it lies: kind and division.
    pub area: (OrganizationKind, Option<&'a str>),
}

/// What is wrong with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFault {
    /// Only a federation of a territory has an area.
    AreaIsNoFederation,
    /// The division lies elsewhere.
    DivisionOutsideArea,
    /// The check characters do not fit.
    Uscc,
    /// More women than employees, where women are employees.
    MoreWomenThanEmployees,
}

impl UnitFault {
    /// Field, stable code, what to change in Chinese and in English.
    pub const fn told(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::AreaIsNoFederation => {
                ("organization_id", "kind", "所属组织必须是一级妇联", "must be a federation of a territory")
            }
            Self::DivisionOutsideArea => {
                ("division_code", "division", "区划不在所属妇联的范围内", "lies outside the division of the federation")
            }
            Self::Uscc => {
                ("uscc", "check_character", "统一社会信用代码校验不通过", "the check characters do not fit (GB 32100-2015)")
            }
            Self::MoreWomenThanEmployees => {
                ("women_count", "more_than_employees", "女性人数不能多于职工人数", "is more than employees_count")
            }
        }
    }
}

/// Everything that is wrong with a unit. Functional zones lie in several divisions, so nothing is asked of the division below
/// them; whether there is such a division is for the database to say.
pub fn unit_faults(unit: &UnitFacts<'_>) -> Vec<UnitFault> {
    let (kind, division) = unit.area;
    let outside = division
        .filter(|_| kind.is_federation() && kind != OrganizationKind::ZoneFederation)
        .is_some_and(|area| !unit.division_code.starts_with(significant(area)));
    let more_women = unit.kind.counts_employees_only()
        && unit.employees_count.zip(unit.women_count).is_some_and(|(employees, women)| women > employees);
    let faults = [
        (!kind.is_federation(), UnitFault::AreaIsNoFederation),
        (outside, UnitFault::DivisionOutsideArea),
        (!unit.uscc.is_none_or(is_uscc), UnitFault::Uscc),
        (more_women, UnitFault::MoreWomenThanEmployees),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault).collect()
}

/// First and last code of what lies in a division, as texts of digits.
pub fn division_range(code: &str) -> (String, String) {
    (code.to_owned(), format!("{}{}", significant(code), "9".repeat(12 - significant(code).len())))
}

/// By what a unit of a list is recognized: its id, else its credit code, else its number in the list, else what and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitKeys<'a> {
    /// The active unit that the row names by its id.
    pub id: Option<CoverageUnitId>,
    /// Unified social credit code.
    pub uscc: Option<&'a str>,
    /// The federation in whose area it lies, and its number in the list.
    pub external: Option<(OrganizationId, &'a str)>,
    /// Division, kind and name.
    pub name: (&'a str, CoverageUnitKind, &'a str),
}

/// What becomes of a row of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFate {
    /// A new unit.
    New,
    /// It is this unit.
    Known(CoverageUnitId),
    /// Another unit has this field's value already.
    Taken(&'static str),
    /// By this field it is the same as this earlier row of the list.
    Repeated(&'static str, i32),
}

/// Which units the rows of a list are, among active units that share a key with one of them. A row that would take a key from
/// another unit is refused, and so is one that stands twice. A list comes in parts: `rows` have their numbers in it, `earlier` are
/// the parts before.
pub fn recognized<'a>(
    units: &[(CoverageUnitId, UnitKeys<'a>)],
    rows: &[(i32, UnitKeys<'a>)],
    earlier: &mut EarlierUnits,
) -> Vec<UnitFate> {
    let by_id: HashMap<_, _> = units.iter().map(|(id, keys)| (*id, keys)).collect();
    let by_uscc: HashMap<_, _> = units.iter().filter_map(|(id, keys)| Some((keys.uscc?, *id))).collect();
    let by_external: HashMap<_, _> = units.iter().filter_map(|(id, keys)| Some((keys.external?, *id))).collect();
    let by_name: HashMap<_, _> = units.iter().map(|(id, keys)| (keys.name, *id)).collect();
    let fate = |(number, row): &(i32, UnitKeys<'a>)| {
        let uscc = row.uscc.and_then(|code| by_uscc.get(code).copied());
        let external = row.external.and_then(|key| by_external.get(&key).copied());
        let name = by_name.get(&row.name).copied();
        let known = row.id.or(uscc).or(external).or(name);
        let other = |found: Option<CoverageUnitId>| found.is_some() && found != known;
        if other(uscc) {
            return UnitFate::Taken("uscc");
        }
        if other(external) {
            return UnitFate::Taken("external_id");
        }
        if other(name) {
            return UnitFate::Taken("name");
        }
        // Two legal persons are two units, whatever else they share.
        let kept = known.and_then(|id| by_id.get(&id)).and_then(|keys| keys.uscc);
        if row.id.is_none() && uscc.is_none() && kept.is_some() && row.uscc.is_some() {
            return UnitFate::Taken(if external.is_some() { "external_id" } else { "name" });
        }
        match earlier.row(*number, row, known) {
            Some((field, before)) => UnitFate::Repeated(field, before),
            None => known.map_or(UnitFate::New, UnitFate::Known),
        }
    };
    rows.iter().map(fate).collect()
}

/// The keys of the rows before.
#[derive(Default)]
pub struct EarlierUnits {
    uscc: HashMap<String, i32>,
    external: HashMap<(OrganizationId, String), i32>,
    name: HashMap<(String, CoverageUnitKind, String), i32>,
    known: HashMap<CoverageUnitId, i32>,
}

impl EarlierUnits {
    /// The earlier row that is the same, and by what; none: it is the first, and is remembered.
    fn row(&mut self, number: i32, row: &UnitKeys<'_>, known: Option<CoverageUnitId>) -> Option<(&'static str, i32)> {
        let external = row.external.map(|(area, id)| (area, id.to_owned()));
        let (division, kind, name) = row.name;
        let name = (division.to_owned(), kind, name.to_owned());
        let found = row.uscc.and_then(|code| self.uscc.get(code)).map(|first| ("uscc", *first));
        let found = found.or_else(|| Some(("external_id", *self.external.get(external.as_ref()?)?)));
        let found = found.or_else(|| Some(("name", *self.name.get(&name)?)));
        let found = found.or_else(|| Some(("name", *self.known.get(&known?)?)));
        if found.is_none() {
            self.uscc.extend(row.uscc.map(|code| (code.to_owned(), number)));
            self.external.extend(external.map(|key| (key, number)));
            self.name.insert(name, number);
            self.known.extend(known.map(|id| (id, number)));
        }
        found
    }

    /// The earlier row of a unit; none: this is the first.
    pub fn unit(&mut self, number: i32, id: CoverageUnitId) -> Option<i32> {
        let first = *self.known.entry(id).or_insert(number);
        (first != number).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "91430621MA4ABC0146";

    /// What becomes of rows that come in parts of two.
    fn fates(units: &[(CoverageUnitId, UnitKeys<'_>)], rows: &[UnitKeys<'_>]) -> Vec<UnitFate> {
        let rows: Vec<(i32, UnitKeys<'_>)> = (0..).zip(rows.iter().copied()).collect();
        let mut earlier = EarlierUnits::default();
        rows.chunks(2).flat_map(|part| recognized(units, part, &mut earlier)).collect()
    }

    fn facts<'a>(area: (OrganizationKind, Option<&'a str>), division_code: &'a str) -> UnitFacts<'a> {
        UnitFacts { kind: CoverageUnitKind::School, division_code, uscc: None, employees_count: None, women_count: None, area }
    }

    #[test]
    fn a_unit_lies_in_the_area_of_a_federation_except_below_a_zone() {
        use OrganizationKind::*;
        use UnitFault::*;
        for (area, division, expected) in [
            ((CountyFederation, Some("430602")), "430602001", vec![]),
            ((CountyFederation, Some("430602")), "430602", vec![]),
            ((CountyFederation, Some("430602")), "430603001", vec![DivisionOutsideArea]),
            ((TownshipFederation, Some("430602001")), "430602", vec![DivisionOutsideArea]),
            ((TownshipFederation, None), "430602", vec![]),
            ((CityFederation, Some("430600")), "430603001001", vec![]),
            ((CityFederation, Some("430600")), "430700", vec![DivisionOutsideArea]),
            ((ZoneFederation, Some("430671")), "430681", vec![]),
            ((ZoneFederation, None), "430602402", vec![]),
            ((MemberAssociation, None), "430602", vec![AreaIsNoFederation]),
        ] {
            assert_eq!(unit_faults(&facts(area, division)), expected, "{area:?} {division}");
        }
    }

    #[test]
    fn women_are_no_more_than_the_employees_where_they_are_employees() {
        let area = (OrganizationKind::CountyFederation, None);
        for kind in CoverageUnitKind::ALL {
            let unit = UnitFacts { kind: *kind, employees_count: Some(10), women_count: Some(11), ..facts(area, "430602") };
            let employs = matches!(kind.as_str(), "enterprise" | "hospital" | "industrial_park");
            assert_eq!(unit_faults(&unit) == [UnitFault::MoreWomenThanEmployees], employs, "{kind}");
            assert_eq!(unit_faults(&UnitFacts { women_count: Some(10), ..unit }), []);
            assert_eq!(unit_faults(&UnitFacts { employees_count: None, ..unit }), []);
        }
        assert_eq!(unit_faults(&UnitFacts { uscc: Some(CODE), ..facts(area, "430602") }), []);
        assert_eq!(unit_faults(&UnitFacts { uscc: Some("91430621MA4ABC0147"), ..facts(area, "430602") }), [UnitFault::Uscc]);
    }

    #[test]
    fn what_lies_in_a_division_is_a_range_of_codes() {
        for (code, first, last) in [
            ("430600", "430600", "430699999999"),
            ("430602", "430602", "430602999999"),
            ("430602001", "430602001", "430602001999"),
            ("430602001001", "430602001001", "430602001001"),
            ("430000", "430000", "439999999999"),
        ] {
            assert_eq!(division_range(code), (first.to_owned(), last.to_owned()));
        }
    }

    #[test]
    fn a_row_is_recognized_by_its_credit_code_then_its_number_then_what_and_where_it_is() {
        use CoverageUnitKind::{Enterprise, School};
        let area = OrganizationId::generate();
        let [one, two, three] = std::array::from_fn(|_| CoverageUnitId::generate());
        let keys = |uscc, external: Option<&'static str>, name| UnitKeys {
            id: None,
            uscc,
            external: external.map(|number| (area, number)),
            name: ("430602", Enterprise, name),
        };
        let units =
            [(one, keys(Some("A"), Some("1"), "甲")), (two, keys(None, Some("2"), "乙")), (three, keys(Some("C"), None, "丙"))];
        for (row, expected) in [
            (keys(Some("A"), None, "新名"), UnitFate::Known(one)),
            (keys(Some("A"), Some("9"), "甲"), UnitFate::Known(one)),
            (keys(None, Some("2"), "改名"), UnitFate::Known(two)),
            (keys(Some("B"), Some("2"), "乙"), UnitFate::Known(two)),
            (keys(None, None, "丙"), UnitFate::Known(three)),
            (keys(None, None, "丁"), UnitFate::New),
            (UnitKeys { name: ("430602", School, "甲"), ..keys(None, None, "甲") }, UnitFate::New),
            (keys(Some("A"), None, "乙"), UnitFate::Taken("name")),
            (keys(Some("A"), Some("2"), "甲"), UnitFate::Taken("external_id")),
            (keys(Some("Z"), None, "丙"), UnitFate::Taken("name")),
            (keys(Some("Z"), Some("1"), "戊"), UnitFate::Taken("external_id")),
            (UnitKeys { id: Some(one), ..keys(Some("Z"), Some("9"), "己") }, UnitFate::Known(one)),
            (UnitKeys { id: Some(one), ..keys(Some("C"), None, "己") }, UnitFate::Taken("uscc")),
            (UnitKeys { id: Some(three), ..keys(None, Some("2"), "己") }, UnitFate::Taken("external_id")),
            (UnitKeys { id: Some(three), ..keys(None, None, "甲") }, UnitFate::Taken("name")),
        ] {
            assert_eq!(fates(&units, &[row]), [expected], "{row:?}");
        }
    }

    #[test]
    fn a_row_that_stands_twice_is_the_first_one() {
        let area = OrganizationId::generate();
        let known = CoverageUnitId::generate();
        let row = |uscc, external: Option<&'static str>, name| UnitKeys {
            id: None,
            uscc,
            external: external.map(|number| (area, number)),
            name: ("430602", CoverageUnitKind::Chamber, name),
        };
        let rows = [
            row(Some("A"), None, "甲"),
            row(None, Some("1"), "乙"),
            row(None, None, "甲"),
            row(Some("A"), None, "丙"),
            row(None, Some("1"), "丁"),
            row(None, None, "戊"),
        ];
        use UnitFate::{Known, New, Repeated};
        let same = [Repeated("name", 0), Repeated("uscc", 0), Repeated("external_id", 1)];
        assert_eq!(fates(&[], &rows), [New, New, same[0], same[1], same[2], New]);
        let units = [(known, row(Some("A"), None, "丁"))];
        let rows = [row(None, None, "丁"), row(Some("A"), None, "甲")];
        assert_eq!(fates(&units, &rows), [Known(known), Repeated("name", 0)]);
        let mut earlier = EarlierUnits::default();
        assert_eq!([2, 3].map(|number| earlier.unit(number, known)), [None, Some(2)]);
    }

    #[test]
    fn only_a_body_inside_a_unit_covers_it() {
        let none = [
            "province_federation",
            "city_federation",
            "county_federation",
            "township_federation",
            "women_children_working_committee_office",
        ];
        for kind in OrganizationKind::ALL {
            assert_eq!(may_cover(*kind), !none.contains(&kind.as_str()), "{kind}");
        }
    }
}
