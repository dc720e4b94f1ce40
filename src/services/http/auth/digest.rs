//! Keyed digests (HMAC-SHA-256, RFC 2104) in place of passwords and addresses: without the key, which this
//! process draws at its start, they reveal nothing.

use std::fmt;
use std::io;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::credentials::Credentials;

/// The key of a server, as the initial state of HMAC. Forked processes have the same.
pub(super) struct DigestKey(Hmac<Sha256>);

/// 128 bits to compare, and an index for tables of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest {
    pub(super) halves: [u64; 2],
    pub(super) place: u64,
}

/// What is digested: it is part of the input, so that digests of different purposes never match.
#[derive(Clone, Copy)]
enum Purpose {
    Name = 1,
    Password = 2,
    Attempt = 3,
    Network = 4,
}

impl DigestKey {
    pub(super) fn random() -> io::Result<DigestKey> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(DigestKey(Hmac::new_from_slice(&key).map_err(io::Error::other)?))
    }

    /// Of a user's name: names are looked up by it, so that no comparison ends earlier for a name that is
    /// nearly right.
    pub(super) fn of_name(&self, name: &[u8]) -> Digest {
        self.digest(Purpose::Name, &[name])
    }

    /// Of a password that was given at the start.
    pub(super) fn of_password(&self, credentials: &Credentials) -> Digest {
        self.digest(Purpose::Password, &[&credentials.user, &credentials.password])
    }

    /// Of all that a successful attempt depends on, `identity` being that of the user's hash: what is
    /// remembered by it ends when the user is removed or has another password, and holds for the address
    /// alone.
    pub(super) fn of_attempt(
        &self,
        network: Option<[u8; 9]>,
        credentials: &Credentials,
        identity: Option<&[u8; 40]>,
    ) -> Digest {
        let network = network.as_ref().map_or(&[][..], |network| network);
        let identity = identity.map_or(&[][..], |identity| identity);
        self.digest(Purpose::Attempt, &[network, &credentials.user, &credentials.password, identity])
    }

    pub(super) fn of_network(&self, network: [u8; 9]) -> u64 {
        self.digest(Purpose::Network, &[&network]).place
    }

    fn digest(&self, purpose: Purpose, parts: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        mac.update(&[purpose as u8]);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| u64::from_le_bytes(words[at]);
        Digest { halves: [word(0), word(1)], place: word(2) }
    }
}

/// Without the key.
impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl Digest {
    /// Whether it has these halves, in the same time whatever they are.
    pub(super) fn is(&self, halves: [u64; 2]) -> bool {
        (self.halves[0] ^ halves[0]) | (self.halves[1] ^ halves[1]) == 0
    }
}
