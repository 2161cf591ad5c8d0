//! Handlers, by noun.

pub mod contacts;
pub mod coverage;
pub mod directory;
pub mod history;
pub mod organizations;
pub mod people;
pub mod posts;
pub mod sites;
pub mod succession;
pub mod tree;

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules::{OrganizationKind, OrganizationLevel};
use super::store::organizations::Reference;
use crate::http::{ApiError, Code, FieldError};
use crate::ids::OrganizationId;

/// An organization that is named somewhere: all that one sees of it outside one's scope.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrganizationReference {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    #[schema(examples("岳阳楼区妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// What kind of body it is.
    pub kind: OrganizationKind,
    /// Its level.
    pub level: OrganizationLevel,
}

impl From<&Reference> for OrganizationReference {
    fn from(row: &Reference) -> Self {
        Self { id: row.id, name: row.name.clone(), kind: row.kind, level: row.level }
    }
}

/// A point on the map, GCJ-02 as map services in China give it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees east.
    #[schema(examples(113.1289), minimum = -180, maximum = 180)]
    pub longitude: f64,
    /// Degrees north.
    #[schema(examples(29.3572), minimum = -90, maximum = 90)]
    pub latitude: f64,
}

impl Location {
    fn of(longitude: Option<Decimal>, latitude: Option<Decimal>) -> Option<Self> {
        Some(Self { longitude: longitude?.to_f64()?, latitude: latitude?.to_f64()? })
    }

    /// As it is stored, rounded to six decimals, a tenth of a metre.
    pub fn parts(location: Option<Self>) -> (Option<Decimal>, Option<Decimal>) {
        let part = |degrees: f64| Decimal::from_f64(degrees).map(|degrees| degrees.round_dp(6));
        (location.and_then(|at| part(at.longitude)), location.and_then(|at| part(at.latitude)))
    }
}

/// Collects faults of a body.
#[derive(Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    fn check(&mut self, holds: bool, fault: impl FnOnce() -> FieldError) {
        if !holds {
            self.0.push(fault());
        }
    }

    /// Adds the faults of a part of the body.
    fn nest(&mut self, prefix: &str, part: Self) {
        self.0.extend(part.0.into_iter().map(|fault| fault.below(prefix)));
    }

    /// What was collected.
    pub fn into_inner(self) -> Vec<FieldError> {
        self.0
    }

    fn done(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.0)) }
    }
}

/// A conflict with a unique field, told at that field.
fn taken(error: diesel::result::Error, fields: &[(&str, &str)]) -> ApiError {
    let constraint = match &error {
        diesel::result::Error::DatabaseError(_, information) => information.constraint_name().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let error = ApiError::from(error);
    match fields.iter().find(|(name, _)| *name == constraint) {
        Some((_, pointer)) if matches!(error.code(), Code::Duplicate | Code::Conflict) => {
            error.at(FieldError::at(*pointer, "taken", "已被占用", "is taken already"))
        }
        _ => error,
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
