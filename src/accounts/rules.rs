//! What a password must be, when sign-ins are held back, what may be done with an account.

use chrono::{DateTime, TimeDelta, Utc};

use crate::text_enum;

text_enum! {
    /// Whether an account may sign in.
    AccountStatus {
        /// It may.
        Active = "active", "正常", "Active";
        /// It may not; its sessions have ended.
        Disabled = "disabled", "停用", "Disabled";
    }
}

impl AccountStatus {
    /// What an administrator may do with the account now.
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Active => &["disable", "unlock", "reset-password"],
            Self::Disabled => &["enable"],
        }
    }
}

/// Fewest characters of a password (ASVS 5.0 6.2.1 asks 8 and advises 15 without, 12 with a strength check).
pub const SHORTEST: usize = 12;
/// Words an attacker of this system tries first (ASVS 5.0 6.2.11), beside the user's own names.
const CONTEXT: &str = include_str!("data/common-passwords-zh.txt");

/// Why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFault {
    /// Fewer than [`SHORTEST`] characters.
    TooShort,
    /// On a list of common ones, or guessed too easily.
    TooCommon,
    /// The same as before.
    Unchanged,
}

/// Checks a new password. It is taken exactly as typed; there are no composition rules and no forced change (ASVS 5.0 6.2.5,
/// 6.2.10). Common passwords, English and Chinese, are found by zxcvbn's lists and ours; a score of 3 of 4 is asked.
pub fn check_password(password: &str, names: &[&str]) -> Result<(), PasswordFault> {
    if password.chars().count() < SHORTEST {
        return Err(PasswordFault::TooShort);
    }
    let words: Vec<&str> = CONTEXT.lines().chain(names.iter().copied()).filter(|word| !word.is_empty()).collect();
    let plain: String = password.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect();
    let letters = plain.trim_matches(|letter: char| letter.is_ascii_digit());
    let is_word = words.iter().any(|word| letters == word.to_lowercase() || plain == word.to_lowercase());
    if is_word || zxcvbn::zxcvbn(password, &words).score() < zxcvbn::Score::Three {
        return Err(PasswordFault::TooCommon);
    }
    Ok(())
}

/// A password for an account that somebody else creates: 20 letters and digits that are not mistaken for one another, 100 bits.
pub fn initial_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    crate::vault::random::<20>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// Failures from one network after which it has to wait.
const NETWORK_FAILURES: i32 = 5;
/// Failures from all networks after which only networks that signed in before may try.
const ACCOUNT_FAILURES: i64 = 50;
/// How long failures count, and how long a network waits at most.
pub const FAILURE_WINDOW: TimeDelta = TimeDelta::minutes(15);
/// How long a network stays known after a sign-in.
const KNOWN_FOR: TimeDelta = TimeDelta::days(90);

/// What is remembered of one account and one network, and of the account as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    /// Wrong passwords from this network since the last right one.
    pub failures: i32,
    /// The last of them.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// Last sign-in from this network.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Wrong passwords from everywhere within [`FAILURE_WINDOW`].
    pub account_failures: i64,
}

impl Attempts {
    /// Whether a password from this network is looked at. After five failures a network waits one minute, then two, four, up to
    /// fifteen. Under attack from many networks the owner still gets in from where she signed in before: nobody can lock her out.
    pub fn admits(&self, now: DateTime<Utc>) -> bool {
        let over = (self.failures - NETWORK_FAILURES).clamp(0, 4) as u32;
        let wait = TimeDelta::minutes(2_i64.pow(over)).min(FAILURE_WINDOW);
        if self.failures >= NETWORK_FAILURES && self.last_failure_at.is_some_and(|at| now < at + wait) {
            return false;
        }
        let known = self.last_success_at.is_some_and(|at| now < at + KNOWN_FOR);
        known || self.account_failures < ACCOUNT_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_common_and_personal_passwords_are_refused() {
        for (password, fault) in [
            ("kP9#vT2$xL", PasswordFault::TooShort),
            ("password1234", PasswordFault::TooCommon),
            ("woaini1314520", PasswordFault::TooCommon),
            ("yueyangfulian2019", PasswordFault::TooCommon),
            ("123456789012", PasswordFault::TooCommon),
            ("qwertyuiop123", PasswordFault::TooCommon),
            ("limei-limei-1", PasswordFault::TooCommon),
        ] {
            assert_eq!(check_password(password, &["limei", "李梅"]), Err(fault), "{password}");
        }
        for password in ["correct horse battery staple", "洞庭湖上的月亮真的很圆啊", "dr4gonfly-teapot-92"] {
            assert_eq!(check_password(password, &["limei"]), Ok(()), "{password}");
        }
        assert_eq!(check_password(&initial_password(), &[]), Ok(()));
    }

    #[test]
    fn an_attacker_locks_out_only_his_own_network() {
        let now: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().unwrap();
        let minutes = TimeDelta::minutes;
        let failed = |failures, ago| Attempts { failures, last_failure_at: Some(now - ago), ..Attempts::default() };
        assert!(failed(4, minutes(0)).admits(now));
        assert!(!failed(5, TimeDelta::seconds(59)).admits(now));
        assert!(failed(5, minutes(1)).admits(now));
        assert!(!failed(7, minutes(3)).admits(now));
        assert!(!failed(100, minutes(14)).admits(now) && failed(100, minutes(16)).admits(now));
        let under_attack = Attempts { account_failures: 1000, ..Attempts::default() };
        assert!(!under_attack.admits(now), "an unknown network waits");
        assert!(
            Attempts { last_success_at: Some(now - TimeDelta::days(30)), ..under_attack }.admits(now),
            "the owner's does not"
        );
    }
}
