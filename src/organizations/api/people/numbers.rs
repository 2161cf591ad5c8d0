//! Telephones and identity numbers on their way into the database: checked, sealed, hashed, masked.

use chrono::{Datelike, NaiveDate};

use super::super::Faults;
use crate::http::FieldError;
use crate::organizations::numbers::{CitizenId, Phone};
use crate::organizations::rules::Sex;
use crate::vault::{Purpose, Vault};

/// Where telephones are sealed.
pub const PHONE: &str = "people.phone";
/// Where identity numbers are sealed.
pub const ID_NUMBER: &str = "people.id_number";

/// Numbers ready to be stored: sealed, hashed, masked.
#[derive(Default)]
pub struct SealedNumbers {
    /// Telephone, sealed.
    pub phone: Option<Vec<u8>>,
    /// Its keyed hash.
    pub phone_hash: Option<Vec<u8>>,
    /// `138****5678`
    pub phone_masked: Option<String>,
    /// Identity number, sealed.
    pub id_number: Option<Vec<u8>>,
    /// Its keyed hash.
    pub id_number_hash: Option<Vec<u8>>,
    /// `4306**********0022`
    pub id_number_masked: Option<String>,
    /// What the identity number tells.
    pub card: Option<CitizenId>,
}

/// Checks and seals numbers.
pub fn seal_numbers(
    vault: &Vault,
    phone: Option<&str>,
    id_number: Option<&str>,
    today: NaiveDate,
) -> Result<SealedNumbers, Vec<FieldError>> {
    let mut faults = Vec::new();
    let phone = phone.map(Phone::parse);
    let card = id_number.map(|number| CitizenId::parse(number, today));
    if phone == Some(None) {
        faults.push(FieldError::at("/phone", "phone", "电话号码不正确", "is no mobile number and no landline with area code"));
    }
    if card.as_ref().is_some_and(Option::is_none) {
        faults.push(FieldError::at(
            "/id_number",
            "check_character",
            "身份证号码校验不通过",
            "the date or the check character does not fit (GB 11643-1999)",
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let (phone, card) = (phone.flatten(), card.flatten());
    let sealed = |place: &str, plain: &str| vault.seal(Purpose::Personal, place, plain.as_bytes());
    Ok(SealedNumbers {
        phone: phone.as_ref().map(|phone| sealed(PHONE, phone.as_str())),
        phone_hash: phone.as_ref().map(|phone| vault.hash(PHONE, phone.as_str())),
        phone_masked: phone.as_ref().map(Phone::masked),
        id_number: card.as_ref().map(|card| sealed(ID_NUMBER, &card.number)),
        id_number_hash: card.as_ref().map(|card| vault.hash(ID_NUMBER, &card.number)),
        id_number_masked: card.as_ref().map(CitizenId::masked),
        card,
    })
}

/// Sex and year of birth: what is given must agree with the identity number, what is not follows from it.
pub fn agree(
    faults: &mut Faults,
    numbers: &SealedNumbers,
    sex: Option<Sex>,
    birth_year: Option<i16>,
) -> (Option<Sex>, Option<i16>) {
    let Some(card) = &numbers.card else { return (sex, birth_year) };
    let year = card.birth_on.year() as i16;
    faults.check(sex.is_none_or(|sex| sex == card.sex), || {
        FieldError::at("/sex", "disagrees", "与身份证号码不一致", "disagrees with the identity number")
    });
    faults.check(birth_year.is_none_or(|given| given == year), || {
        FieldError::at("/birth_year", "disagrees", "与身份证号码不一致", "disagrees with the identity number")
    });
    (Some(card.sex), Some(year))
}
