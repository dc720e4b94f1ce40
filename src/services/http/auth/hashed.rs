//! Hashes of passwords in bcrypt's form (`$2y$10$…`), and the work of comparing one.

use std::hint::black_box;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq as _;

/// The accepted costs: those that `htpasswd -C` allows. At 17, a check takes seconds.
const COST_MIN: u32 = 4;
const COST_MAX: u32 = 17;
/// Bytes of a password that bcrypt looks at, its end included.
const PASSWORD_BYTES_MAX: usize = 72;
const SALT_CHARS: usize = 22;
const HASH_CHARS: usize = 31;
/// The last character of a salt has bits that mean nothing, and that some programs set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A hashed password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

/// The check of a password. A wrong password takes the same time for every user, and for a name without a
/// user.
#[derive(Clone, Copy, Debug)]
pub(super) struct PasswordCheck {
    /// `None` if there is no such user, or if the password is known to be wrong.
    pub(super) hashed: Option<Hashed>,
    /// The highest cost of all users.
    pub(super) cost_max: u32,
}

impl Hashed {
    /// Reads `$2y$`, `$2b$` or `$2a$`, a cost, salt and hash. The error completes "its password …".
    pub(super) fn parse(text: &str) -> Result<Hashed, String> {
        let form = match text {
            _ if text.starts_with("$2y$") || text.starts_with("$2b$") || text.starts_with("$2a$") => "",
            _ if text.starts_with("$2") => "in a form of bcrypt that has a known error",
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => "hashed with MD5",
            _ if text.starts_with("{SHA}") || text.starts_with("{SSHA}") => "hashed with SHA-1",
            _ if text.starts_with("$5$") => "hashed with SHA-256",
            _ if text.starts_with("$6$") => "hashed with SHA-512",
            _ if text.starts_with("$argon2") => "hashed with Argon2",
            _ if text.starts_with("$y$") || text.starts_with("$7$") => "hashed with scrypt or yescrypt",
            _ => "in clear or hashed with DES",
        };
        if !form.is_empty() {
            return Err(format!("is {form}, and only bcrypt is accepted"));
        }
        let broken = || "is a bcrypt hash that is not complete".to_owned();
        let (cost, rest) = text["$2y$".len()..].split_once('$').ok_or_else(broken)?;
        let cost = cost.parse().ok().filter(|_| cost.len() == 2).ok_or_else(broken)?;
        if !(COST_MIN..=COST_MAX).contains(&cost) {
            return Err(format!("has the bcrypt cost {cost}; use one from {COST_MIN} to {COST_MAX}"));
        }
        if rest.len() != SALT_CHARS + HASH_CHARS || !rest.is_ascii() {
            return Err(broken());
        }
        let (salt, hash) = rest.split_at(SALT_CHARS);
        let decoded = |text: &str| BASE64.decode(text).ok();
        let salt = decoded(salt).and_then(|bytes| bytes.try_into().ok()).ok_or_else(broken)?;
        let hash = decoded(hash).and_then(|bytes| bytes.try_into().ok()).ok_or_else(broken)?;
        Ok(Hashed { cost, salt, hash })
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// Bytes that identify this hash; they change when it changes.
    pub(super) fn identity(&self) -> [u8; 40] {
        let mut identity = [0; 40];
        identity[0] = self.cost as u8;
        identity[1..17].copy_from_slice(&self.salt);
        identity[17..].copy_from_slice(&self.hash);
        identity
    }
}

impl PasswordCheck {
    /// Compares. Takes tens of milliseconds at the usual cost of 10; each further step of the cost doubles
    /// it.
    pub(super) fn is_match(&self, password: &[u8]) -> bool {
        let key = BcryptKey::of(password);
        let Some(hashed) = &self.hashed else {
            black_box(key.hash(self.cost_max, [0; 16]));
            return false;
        };
        let hash = key.hash(hashed.cost, hashed.salt);
        let is_match: bool = hash[..hashed.hash.len()].ct_eq(&hashed.hash).into();
        if !is_match {
            for cost in further_costs(hashed.cost, self.cost_max) {
                black_box(key.hash(cost, [0; 16]));
            }
        }
        is_match
    }
}

/// The costs of the extra hashes that raise the work at this cost to that of the highest one: 2^c + 2^c +
/// 2^(c + 1) and so on.
fn further_costs(cost: u32, cost_max: u32) -> Range<u32> {
    cost..cost_max
}

/// What bcrypt makes of a password: its bytes and a NUL, cut to 72 bytes.
struct BcryptKey {
    bytes: [u8; PASSWORD_BYTES_MAX],
    len: usize,
}

impl BcryptKey {
    fn of(password: &[u8]) -> BcryptKey {
        let mut bytes = [0; PASSWORD_BYTES_MAX];
        let kept = password.len().min(PASSWORD_BYTES_MAX);
        bytes[..kept].copy_from_slice(&password[..kept]);
        BcryptKey { bytes, len: (kept + 1).min(PASSWORD_BYTES_MAX) }
    }

    fn hash(&self, cost: u32, salt: [u8; 16]) -> [u8; 24] {
        bcrypt::bcrypt(cost, salt, &self.bytes[..self.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(password: &[u8], hash: &str) -> bool {
        let hashed = Hashed::parse(hash).unwrap();
        PasswordCheck { hashed: Some(hashed), cost_max: hashed.cost }.is_match(password)
    }

    const LONG: &str = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    /// Made by `htpasswd -nbB -C 4` of Apache, and by libxcrypt.
    const HASHES: [(&str, &str); 7] = [
        ("", "$2y$04$mMWYAVpDUs93KojQrRRZr.otE3lJqgSR7w7HNRnGRuP2KEhg4CqnS"),
        ("secret", "$2y$04$aSHzt8Qd6sAKZ/2bdt6VBerolh8kmK3CJ2GkM5itk8geXPAPwh3Wm"),
        (LONG, "$2y$04$nvUvr1BG5A6UDRM7cMzFSuu3aojRhSaWRQIoLET66ZrOOz0S/787a"),
        ("pass word:with colon", "$2y$04$QtZgRLAMT5JUAhI5ivUDB.1JdTJairLihTEII65fWS2Nasn1GeB3u"),
        ("über£", "$2y$04$qOYaQlhf5P.10CWMHSPLF.Qnly.Y.Y0GRPxsIgPc7UKRYDrUPA7TK"),
        ("secret", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"),
        ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ];

    #[test]
    fn hashes_of_other_programs_match_their_password_and_no_other() {
        for (password, hash) in HASHES {
            assert!(is_match(password.as_bytes(), hash), "{password:?} {hash}");
            assert!(
                !is_match(format!("{password}x").as_bytes(), hash) || password.len() >= 72,
                "{password:?}"
            );
            assert!(!is_match(b"", hash) || password.is_empty(), "{password:?}");
        }
    }

    /// A cost is the logarithm of the rounds.
    #[test]
    fn a_wrong_password_costs_the_same_whatever_the_cost_of_its_user_is_and_without_a_user() {
        let rounds = |cost: u32| 1_u64 << cost;
        for (cost, cost_max) in [(4, 4), (4, 5), (4, 17), (10, 12), (17, 17)] {
            let further: u64 = further_costs(cost, cost_max).map(rounds).sum();
            assert_eq!(rounds(cost) + further, rounds(cost_max), "{cost} {cost_max}");
        }
    }

    #[test]
    fn of_a_long_password_72_bytes_count_as_in_every_other_program() {
        let (_, hash) = HASHES[2];
        let long = "y".repeat(72);
        assert!(is_match(format!("{long}and more").as_bytes(), hash));
        assert!(!is_match(&long.as_bytes()[..71], hash));
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let complaint = |text: &str| Hashed::parse(text).unwrap_err();
        assert_eq!(
            complaint("$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00"),
            "is hashed with MD5, and only bcrypt is accepted"
        );
        for (text, word) in [
            ("{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "SHA-1"),
            ("$5$rounds=5000$a$b", "SHA-256"),
            ("$6$a$b", "SHA-512"),
            ("$argon2id$v=19$m=1,t=1,p=1$a$b", "Argon2"),
            ("$2x$04$", "known error"),
            ("secret", "clear"),
            ("", "clear"),
            ("$2y$", "not complete"),
            ("$2y$10", "not complete"),
            ("$2y$4$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "not complete"),
            ("$2y$03$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "cost 3"),
            ("$2y$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "cost 31"),
            ("$2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "not complete"),
            ("$2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé", "not complete"),
            ("$2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "not complete"),
        ] {
            assert!(complaint(text).contains(word), "{text}: {}", complaint(text));
        }
    }
}
