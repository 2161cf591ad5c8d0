//! Units of the coverage in every county and zone, some with a women's organization or a site and many without, and the Women's
//! Homes of a few villages. Their names are made up; the region of their credit codes (430699) is not in use.

use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::{Fault, federations, fixed_id, organization_of};
use crate::app::App;
use crate::ids::{OrganizationId, SiteId};
use crate::organizations::seed::{self, Organization, Site, Unit};
use crate::organizations::{
    CoverageUnitKind as Kind, CoverageUnitStatus, OrganizationKind, OrganizationLevel, SiteKind, SiteStatus,
};

/// Federations inside parks, enterprises and chambers: number of the fixed id, name, host, division of the parent.
const FEDERATIONS: &[(&str, &str, &str, &str)] = &[
    ("31", "云溪滨江工业园妇联", "云溪滨江工业园", "430603"),
    ("32", "岳阳楼区商会妇联", "岳阳楼区商会", "430602"),
    ("33", "平江天岳食品产业园妇联", "平江天岳食品产业园", "430626"),
    ("34", "临湘浮标产业园妇联", "临湘浮标产业园", "430682"),
];

/// Sites: number of the fixed id, kind, name, division of the owner.
const SITES: &[(&str, SiteKind, &str, &str)] = &[
    ("101", SiteKind::WomensHome, "夏万路社区妇女之家", "430602004001"),
    ("102", SiteKind::WomensHome, "金鹗山社区妇女之家", "430602004002"),
    ("103", SiteKind::WomensHome, "长岭街道妇女之家", "430603001"),
    ("104", SiteKind::WomensHome, "八字门社区妇女之家", "430603001002"),
    ("105", SiteKind::WomensHome, "民建路社区妇女之家", "430626001001"),
    ("106", SiteKind::WomensHome, "余加坪妇女之家", "430671101001"),
    ("107", SiteKind::WomensMicroHome, "步行街妇女微家", "430602004"),
    ("108", SiteKind::WomensMicroHome, "荣家湾市场妇女微家", "430621100"),
];

/// What covers a unit.
#[derive(Clone, Copy)]
enum By {
    Nothing,
    /// A federation inside it.
    Federation(&'static str),
    /// The federation of the community that it is.
    Community(&'static str),
    Site(&'static str),
}

/// Number of the fixed id, kind, name, the federation in whose area it lies, division, credit code, employees, women, cover.
type Entry = (&'static str, Kind, &'static str, Place, &'static str, Option<&'static str>, Option<i32>, Option<i32>, By);

/// The federation of a division, or of a zone without a code.
#[derive(Clone, Copy)]
enum Place {
    Division(&'static str),
    Zone(&'static str),
}

use By::{Community, Federation, Nothing};
use Place::{Division, Zone};

#[rustfmt::skip]
const UNITS: &[Entry] = &[
    ("1", Kind::School, "岳阳楼区洞庭湖小学", Division("430602"), "430602001", None, Some(86), Some(71), Nothing),
    // The second is closed, so that it can be reopened.
    ("2", Kind::School, "岳阳楼区郭亮路幼儿园", Division("430602"), "430602001", None, Some(24), Some(23), Nothing),
    ("3", Kind::Chamber, "岳阳楼区商会", Division("430602"), "430602", Some("52430699DEM00201X4"), Some(18), Some(7), Federation("32")),
    ("4", Kind::Market, "步行街商圈", Division("430602004"), "430602004", None, Some(2600), Some(1700), By::Site("107")),
    ("5", Kind::Hospital, "岳阳楼区康宁医院", Division("430602"), "430602003", Some("12430699DEM001017W"), Some(310), Some(228), Nothing),
    ("6", Kind::ResidentialEstate, "夏万路花园小区", Division("430602004"), "430602004001", None, None, Some(1450), Community("430602004001")),
    ("7", Kind::ResidentialEstate, "万家坡雅苑小区", Division("430602004"), "430602004003", None, None, Some(980), Nothing),
    ("8", Kind::NewBusinessForm, "楼区骑手驿站", Division("430602"), "430602005", None, Some(240), Some(38), Nothing),
    ("9", Kind::IndustrialPark, "云溪滨江工业园", Division("430603"), "430603001", None, Some(5200), Some(1900), Federation("31")),
    ("10", Kind::Enterprise, "云溪凤台精细材料厂", Division("430603"), "430603002", Some("91430699DEM0000147"), Some(420), Some(130), Nothing),
    ("11", Kind::School, "云溪区镇龙台中学", Division("430603"), "430603002008", Some("12430699DEM001025P"), Some(142), Some(88), Nothing),
    ("12", Kind::SocialOrganization, "云溪区暖心社工服务中心", Division("430603"), "430603", None, Some(12), Some(10), Nothing),
    ("13", Kind::Enterprise, "君山芦花龙虾加工厂", Division("430611"), "430611001", Some("91430699DEM0000222"), Some(260), Some(190), Nothing),
    ("14", Kind::School, "君山区柳林洲小学", Division("430611"), "430611001", None, Some(66), Some(52), Nothing),
    ("15", Kind::Market, "荣家湾中心市场", Division("430621"), "430621100", None, Some(800), Some(520), By::Site("108")),
    ("16", Kind::Enterprise, "岳阳县新墙河服饰厂", Division("430621"), "430621105", Some("91430699DEM000030W"), Some(340), Some(300), Nothing),
    ("17", Kind::IndustrialPark, "华容芥菜产业园", Division("430623"), "430623101", None, Some(3100), Some(1850), Nothing),
    ("18", Kind::Enterprise, "华容三封芥菜食品厂", Division("430623"), "430623101", Some("91430699DEM000049R"), Some(510), Some(330), Nothing),
    ("19", Kind::SocialOrganization, "湘阴家政服务联合会", Division("430624"), "430624", None, Some(40), Some(36), Nothing),
    ("20", Kind::Enterprise, "湘阴文星家政服务部", Division("430624"), "430624001", Some("91430699DEM000057L"), Some(180), Some(171), Nothing),
    ("21", Kind::IndustrialPark, "平江天岳食品产业园", Division("430626"), "430626002", None, Some(6400), Some(3900), Federation("33")),
    ("22", Kind::Enterprise, "平江汉昌湘绣坊", Division("430626"), "430626001", Some("91430699DEM000065F"), Some(95), Some(90), Nothing),
    ("23", Kind::ResidentialEstate, "民建路家园小区", Division("430626001"), "430626001001", None, None, Some(1120), Community("430626001001")),
    ("24", Kind::Hospital, "平江县安定康复医院", Division("430626"), "430626101", Some("12430699DEM001033J"), Some(150), Some(112), Nothing),
    ("25", Kind::School, "屈原管理区营田中学", Division("430671"), "430671101", None, Some(120), Some(74), Nothing),
    ("26", Kind::Enterprise, "屈原凤凰月嫂培训中心", Division("430671"), "430671203", None, Some(75), Some(74), Nothing),
    ("27", Kind::Chamber, "汨罗市新市镇商会", Division("430681"), "430681102", None, Some(9), Some(3), Nothing),
    ("28", Kind::Enterprise, "汨罗江再生材料厂", Division("430681"), "430681102", Some("91430699DEM000073A"), Some(610), Some(210), Nothing),
    ("29", Kind::IndustrialPark, "临湘浮标产业园", Division("430682"), "430682001", None, Some(2800), Some(1600), Federation("34")),
    ("30", Kind::Enterprise, "临湘长安浮标工坊", Division("430682"), "430682001", Some("91430699DEM0000815"), Some(130), Some(86), Nothing),
    ("31", Kind::IndustrialPark, "通海路物流产业园", Zone("1"), "430602402", None, Some(4100), Some(1300), Nothing),
    ("32", Kind::NewBusinessForm, "经开区电商直播基地", Zone("1"), "430602402", None, Some(900), Some(610), Nothing),
    ("33", Kind::IndustrialPark, "松杨湖临港产业园", Zone("2"), "430603003", None, Some(5600), Some(1750), Nothing),
    ("34", Kind::School, "南湖新区刘山庙小学", Zone("3"), "430602013001", None, Some(58), Some(47), Nothing),
    ("35", Kind::Other, "岳阳市洞庭文化艺术联盟", Division("430600"), "430600", None, Some(300), Some(190), Nothing),
    ("36", Kind::SocialOrganization, "洞庭女创业者联谊会", Division("430600"), "430600", None, Some(160), Some(160), Federation("13")),
];

/// Loads the federations inside units, the sites, then the units.
pub async fn load(app: &App, conn: &mut AsyncPgConnection) -> Result<(), Fault> {
    let now = app.clock.now();
    let federation = |(number, name, host, parent): &(&str, &str, &str, &str)| {
        let kind = OrganizationKind::NewFieldFederation;
        let id = federations::other(number);
        let federation = seed::blank(id, kind, OrganizationLevel::Township, name, now);
        let (parent_id, host_name) = (Some(organization_of(parent)), Some((*host).to_owned()));
        Organization { parent_id, host_name, ..federation }
    };
    let inside: Vec<Organization> = FEDERATIONS.iter().map(federation).collect();
    seed::organizations(conn, &inside, federations::founded()).await?;
    let site = |(number, kind, name, owner): &(&str, SiteKind, &str, &str)| Site {
        id: site_id(number),
        owner_organization_id: organization_of(owner),
        kind: *kind,
        name: (*name).to_owned(),
        feature: None,
        enterprise_id: None,
        address: None,
        longitude: None,
        latitude: None,
        phone: None,
        checklist: json!([]),
        accreditation: None,
        accredited_on: None,
        accreditation_document: None,
        status: SiteStatus::Active,
        closed_on: None,
        close_reason: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    seed::sites(conn, &SITES.iter().map(site).collect::<Vec<_>>()).await?;
    let unit = |(number, kind, name, place, division, uscc, employees, women, by): &Entry| {
        let closed = *number == "2";
        Unit {
            id: fixed_id(0x8050, number).into(),
            kind: *kind,
            name: (*name).to_owned(),
            organization_id: match place {
                Division(code) => organization_of(code),
                Zone(number) => federations::other(number),
            },
            division_code: (*division).to_owned(),
            uscc: uscc.map(str::to_owned),
            address: None,
            employees_count: *employees,
            women_count: *women,
            covered_by_organization_id: covering(*by),
            covered_by_site_id: if let By::Site(number) = by { Some(site_id(number)) } else { None },
            external_id: (*number == "1").then(|| "X-0001".to_owned()),
            status: if closed { CoverageUnitStatus::Closed } else { CoverageUnitStatus::Active },
            closed_on: closed.then(|| app.clock.today()),
            close_reason: closed.then(|| "并入洞庭湖小学".to_owned()),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    };
    seed::coverage_units(conn, &UNITS.iter().map(unit).collect::<Vec<_>>()).await?;
    Ok(())
}

fn site_id(number: &str) -> SiteId {
    fixed_id(0x8003, number).into()
}

fn covering(by: By) -> Option<OrganizationId> {
    match by {
        Federation(number) => Some(federations::other(number)),
        Community(code) => Some(organization_of(code)),
        Nothing | By::Site(_) => None,
    }
}
