//! What belongs together: the key by which callers are told apart when a share of them goes elsewhere.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};

/// The header by which callers say what belongs together, unless the agent names another or a cookie.
const KEY: HeaderName = HeaderName::from_static("x-caxton-key");

/// Where a request's key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// In a header: its whole value, the first one where there are several.
    Header(HeaderName),
    /// In the cookie of this name. Names are matched with regard to case, as cookies are.
    Cookie(String),
}

impl Default for Affinity {
    fn default() -> Self {
        Self::Header(KEY)
    }
}

impl Affinity {
    /// What stands for the request's key: 64 bits of FNV-1a, the same in every process and every version of the host.
    /// `None` where there is no key, or an empty one.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Option<u64> {
        let key = match self {
            Self::Header(name) => headers.get(name)?.as_bytes(),
            Self::Cookie(name) => cookie(headers, name.as_bytes())?,
        };
        (!key.is_empty()).then(|| fnv1a(key))
    }
}

/// The value of the first cookie of that name, as it stands there: quotes belong to it.
fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start, step)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_key_has_one_number_for_ever() {
        let of = |key| Affinity::default().key(&with(KEY, &[key]));
        // The published test vectors of FNV-1a.
        assert_eq!(of("a"), Some(0xaf63_dc4c_8601_ec8c));
        assert_eq!(of("foobar"), Some(0x8594_4171_f739_67e8));
        assert_eq!(of(""), None);
        assert_eq!(Affinity::default().key(&HeaderMap::new()), None);
    }

    #[test]
    fn an_agent_may_name_the_header_or_a_cookie() {
        let user = HeaderName::from_static("x-user");
        let by_user = Affinity::Header(user.clone());
        assert_eq!(by_user.key(&with(user, &["a", "b"])), Some(fnv1a(b"a")));
        assert_eq!(by_user.key(&with(KEY, &["a"])), None);
        let by_cookie = Affinity::Cookie("id".to_owned());
        for (lines, key) in [
            (vec!["id=a"], Some("a")),
            (vec!["x=1; id=a; y=2"], Some("a")),
            (vec!["x=1;id=a=b"], Some("a=b")),
            (vec!["x=1", "y=2; id=a"], Some("a")),
            (vec!["id=a; id=b"], Some("a")),
            (vec!["id=\"a\""], Some("\"a\"")),
            (vec!["id="], None),
            (vec!["idea=a; Id=a; x=id"], None),
            (vec!["id"], None),
            (vec![], None),
        ] {
            let found = by_cookie.key(&with(COOKIE, &lines));
            assert_eq!(found, key.map(|key| fnv1a(key.as_bytes())), "{lines:?}");
        }
    }
}
