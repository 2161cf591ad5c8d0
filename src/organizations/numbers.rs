//! Numbers with check digits and numbers that are masked: unified social credit codes, citizen identity numbers, telephones.

use chrono::NaiveDate;

use super::rules::Sex;

/// Characters of a unified social credit code, in the order of their values (GB 32100-2015).
const USCC_ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// Characters of an organization code (GB 11714).
const CODE_ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const CODE_WEIGHTS: [usize; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
const ID_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const ID_CHECKS: &[u8; 11] = b"10X98765432";

/// Whether a unified social credit code is right: alphabet, the organization code's own check (position 17), the check
/// character (position 18). The region digits are the registering office's and say nothing about where the body is.
pub fn is_uscc(code: &str) -> bool {
    let value = |alphabet: &[u8], character: &u8| alphabet.iter().position(|known| known == character);
    let Some(values) = code.bytes().map(|byte| value(USCC_ALPHABET, &byte)).collect::<Option<Vec<_>>>() else { return false };
    if values.len() != 18 {
        return false;
    }
    let mut weight = 1;
    let mut sum = 0;
    for digit in &values[..17] {
        sum += digit * weight;
        weight = weight * 3 % 31;
    }
    let body = &code.as_bytes()[8..16];
    let inner: usize = body.iter().zip(CODE_WEIGHTS).map(|(byte, weight)| value(CODE_ALPHABET, byte).unwrap_or(0) * weight).sum();
    let inner = match 11 - inner % 11 {
        10 => b'X',
        11 => b'0',
        digit => b'0' + digit as u8,
    };
    (31 - sum % 31) % 31 == values[17] && code.as_bytes()[16] == inner
}

/// What a citizen identity number tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitizenId {
    /// The number, upper case.
    pub number: String,
    /// Date of birth.
    pub birth_on: NaiveDate,
    /// Sex, by the seventeenth digit.
    pub sex: Sex,
}

impl CitizenId {
    /// Reads a number (GB 11643-1999): digits, a date of birth up to `today`, the check character. The region is not looked
    /// up: it is that of the first issue, and codes are abolished (handbook ).
    pub fn parse(text: &str, today: NaiveDate) -> Option<Self> {
        let number = text.to_ascii_uppercase();
        let digits: Vec<u32> = number.bytes().take(17).filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0')).collect();
        if number.len() != 18 || digits.len() != 17 {
            return None;
        }
        let sum: u32 = digits.iter().zip(ID_WEIGHTS).map(|(digit, weight)| digit * weight).sum();
        let birth_on = NaiveDate::parse_from_str(&number[6..14], "%Y%m%d").ok()?;
        let valid = number.as_bytes()[17] == ID_CHECKS[(sum % 11) as usize] && birth_on <= today;
        valid.then(|| Self { birth_on, sex: if digits[16] % 2 == 1 { Sex::Male } else { Sex::Female }, number })
    }

    /// `4306**********0022`
    pub fn masked(&self) -> String {
        format!("{}**********{}", &self.number[..4], &self.number[14..])
    }
}

/// A telephone number in E.164.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    /// Reads a mobile number (eleven digits) or a landline with its area code; `+86`, spaces and hyphens may be there. After
    /// `+86` the area code has no 0 in front, as in E.164, which is how we show numbers in clear.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let (e164, national) = digits.strip_prefix("+86").map_or((false, digits.as_str()), |rest| (true, rest));
        let all_digits = national.bytes().all(|byte| byte.is_ascii_digit());
        let mobile = national.len() == 11 && national.starts_with('1') && matches!(national.as_bytes().get(1), Some(b'3'..=b'9'));
        let landline = if national.starts_with('0') {
            (10..=12).contains(&national.len()) && !national.starts_with("00")
        } else {
            e164 && (9..=11).contains(&national.len()) && !(national.len() == 11 && national.starts_with('1'))
        };
        (all_digits && (mobile || landline)).then(|| Self(format!("+86{}", national.trim_start_matches('0'))))
    }

    /// E.164, as it is sealed and hashed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `138****5678`
    pub fn masked(&self) -> String {
        let national = &self.0[3..];
        format!("{}****{}", &national[..3], &national[national.len() - 4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_codes_have_both_checks() {
        for code in ["91350100M000100Y43", "9144030071526726XG", "13430600MB0000019X", "51430600MJK000014L", "91430621MA4ABC0146"]
        {
            assert!(is_uscc(code), "{code}");
        }
        for code in
            ["91350100M000100Y44", "91350100M000100Y53", "91350100m000100y43", "91350100M000100Y4", "", "9135010OM000100Y43"]
        {
            assert!(!is_uscc(code), "{code}");
        }
    }

    #[test]
    fn identity_numbers_hold_a_real_date_of_birth_and_a_right_check_character() {
        let today = "2019-04-10".parse().unwrap();
        for (number, birth_on, sex) in [
            ("11010519491231002X", "1949-12-31", Sex::Female),
            ("11010519491231002x", "1949-12-31", Sex::Female),
            ("440524188001010014", "1880-01-01", Sex::Male),
            ("430699199202290022", "1992-02-29", Sex::Female),
            ("430699201201310140", "2012-01-31", Sex::Female),
            ("430699198808081239", "1988-08-08", Sex::Male),
        ] {
            let id = CitizenId::parse(number, today).unwrap_or_else(|| panic!("{number}"));
            assert_eq!((id.birth_on, id.sex), (birth_on.parse().unwrap(), sex), "{number}");
        }
        for number in ["430699199002290028", "110105194912310021", "", "４３", "43069919920229002", "X10105194912310021"] {
            assert_eq!(CitizenId::parse(number, today), None, "{number}");
        }
        assert_eq!(CitizenId::parse("430699201201310140", "2012-01-30".parse().unwrap()), None, "not born yet");
        assert_eq!(CitizenId::parse("430699199202290022", today).unwrap().masked(), "4306**********0022");
    }

    #[test]
    fn telephones_are_read_in_every_common_spelling_and_masked() {
        for text in ["13812345678", "+8613812345678", "138 1234 5678", "138-1234-5678"] {
            let phone = Phone::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((phone.as_str(), phone.masked().as_str()), ("+8613812345678", "138****5678"));
        }
        for text in ["0730-8888123", "+86 730 8888123", "+8607308888123"] {
            assert_eq!(Phone::parse(text).unwrap().as_str(), "+867308888123", "{text}");
        }
        assert_eq!(Phone::parse("010-65231234").unwrap(), Phone::parse("+861065231234").unwrap());
        for text in [
            "",
            "12812345678",
            "+8612812345678",
            "7308888123",
            "1381234567",
            "138123456789",
            "008613812345678",
            "12345",
            "１３８１２３４５６７８",
        ] {
            assert_eq!(Phone::parse(text), None, "{text}");
        }
    }
}
