//! What everybody may look up: divisions, dictionaries, the working calendar, the catalogue of problems, the roles. Its data
//! is versioned, loaded by `half-sky migrate`, and never overwrites what an administrator has changed.

mod api;
pub mod load;
mod store;

use utoipa_actix_web::service_config::ServiceConfig;

pub use load::enumerations;
pub use store::{NewDivision, set_loaded_version};

/// What the values of an enumeration of the document are called: by the name of its schema, or else by its values.
pub fn labels_of(schema: &str, codes: &[String]) -> Option<&'static [(&'static str, &'static str, &'static str)]> {
    let named = |name: &str| name.replace('_', "") == schema.to_lowercase();
    let same = |labels: &[(&str, &str, &str)]| labels.iter().map(|(code, ..)| *code).eq(codes.iter().map(String::as_str));
    let mut found: Vec<_> = enumerations().filter(|(_, labels)| same(labels)).collect();
    found.sort_by_key(|(name, _)| !named(name));
    found.first().map(|(_, labels)| *labels)
}

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::get_api_home)
        .service(api::list_divisions)
        .service(api::get_division)
        .service(api::list_dictionaries)
        .service(api::list_working_calendar)
        .service(api::list_problems)
        .service(api::get_problem)
        .service(api::list_roles);
}

crate::text_enum! {
    /// Level of a division.
    DivisionLevel {
        /// 省
        Province = "province", "省", "Province";
        /// 地级市
        City = "city", "市", "City";
        /// 县、市辖区、县级市
        County = "county", "县市区", "County";
        /// 乡镇、街道
        Township = "township", "乡镇街道", "Township";
        /// 村、社区
        Village = "village", "村社区", "Village";
    }
}

crate::text_enum! {
    /// Who gave a division its code.
    CodeSystem {
        /// National standard GB/T 2260.
        Gb2260 = "gb2260", "国家标准", "GB/T 2260";
        /// Statistics bureau only.
        Nbs = "nbs", "统计用", "Statistics bureau";
        /// Our own, never sent to other systems.
        Local = "local", "本地", "Local";
    }
}

crate::text_enum! {
    /// How a day differs from its weekday.
    CalendarKind {
        /// Public holiday.
        Holiday = "holiday", "节假日", "Holiday";
        /// Worked weekend day.
        Workday = "workday", "调休上班", "Worked weekend day";
    }
}
