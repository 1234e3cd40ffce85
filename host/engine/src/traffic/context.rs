//! The trace that a client says its call belongs to: the headers `traceparent` and `tracestate` of W3C Trace Context.
//!
//! Invariant: what is not exactly of the standard's form counts as not said, because a wrong parent would hang a call below
//! another trace; a call is never refused for it.

/// Bytes of a `tracestate` that is passed on, and its members: what the standard asks for.
const STATE_BYTES: usize = 512;
const STATE_MEMBERS: usize = 32;
/// Characters of a `traceparent` of version 00.
const PARENT_CHARACTERS: usize = 55;

/// The span of a client that a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// Whether the client records its part of the trace, and wants others to record theirs.
    pub(super) is_sampled: bool,
    /// What others have written for each other, passed on as it is.
    pub(super) state: String,
}

impl RemoteParent {
    /// Reads the value of the one `traceparent`, and of all `tracestate` in their order.
    #[must_use]
    pub fn parse<'a>(parent: &str, state: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (known, more) = parent.split_at_checked(PARENT_CHARACTERS)?;
        let mut parts = known.split('-');
        let [version, trace, span, flags] = std::array::from_fn(|_| parts.next());
        let [version] = from_hex::<1>(version?)?;
        // A later version may have more behind a dash, and 255 is none.
        let is_known = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let (trace, span) = (from_hex(trace?)?, from_hex(span?)?);
        let [flags] = from_hex::<1>(flags?)?;
        let is_valid = is_known && parts.next().is_none() && trace != [0; 16] && span != [0; 8];
        is_valid.then(|| Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
            state: joined(state),
        })
    }
}

/// One list of all members; empty if it is none of the standard's.
fn joined<'a>(state: impl Iterator<Item = &'a str>) -> String {
    let lists: Vec<&str> = state.take(STATE_MEMBERS + 1).collect();
    let bytes: usize = lists.iter().map(|list| list.len() + 1).sum();
    if bytes > STATE_BYTES + 1 {
        return String::new();
    }
    let members = lists.iter().flat_map(|list| list.split(','));
    let members: Vec<&str> = members
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    let is_member = |member: &&str| {
        let is_plain = member.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        is_plain && member.find('=').is_some_and(|at| at > 0)
    };
    match members.len() <= STATE_MEMBERS && members.iter().all(is_member) {
        true => members.join(","),
        false => String::new(),
    }
}

/// Bytes in hexadecimal digits, of which only the small ones are allowed.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(parent: &str) -> Option<RemoteParent> {
        RemoteParent::parse(parent, std::iter::empty())
    }

    #[test]
    fn a_parent_of_the_standard_s_form_is_taken() {
        let read = parse(PARENT).unwrap();
        assert_eq!((read.trace[0], read.span[7]), (0x0a, 0x31));
        assert!(read.is_sampled);
        assert!(!parse(&PARENT.replace("-01", "-00")).unwrap().is_sampled);
        assert!(parse(&PARENT.replace("-01", "-ff")).unwrap().is_sampled);
        // Versions that do not exist yet begin alike.
        assert!(parse(&PARENT.replacen("00-", "cc-", 1)).is_some());
        assert!(parse(&format!("{}-more", PARENT.replacen("00-", "cc-", 1))).is_some());
    }

    #[test]
    fn anything_else_is_none() {
        for wrong in [
            "",
            "00",
            &PARENT[1..],
            &PARENT.to_uppercase(),
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &PARENT.replace("b7ad", "b7a-"),
            &PARENT.replace("0af7", "0ag7"),
            &PARENT.replace("0af7", "0aé"),
            &format!("{PARENT}-"),
            &format!("{PARENT} "),
            &format!("{}x", PARENT.replacen("00-", "cc-", 1)),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_state_is_passed_on_whole_or_not_at_all() {
        let state = |lists: &[&str]| {
            let read = RemoteParent::parse(PARENT, lists.iter().copied());
            read.unwrap().state
        };
        assert_eq!(state(&["a=1, b@c=2 ,", "", "d=x=y"]), "a=1,b@c=2,d=x=y");
        let long = format!("a={}", "x".repeat(STATE_BYTES));
        let many = ["a=1"; STATE_MEMBERS + 1].join(",");
        for wrong in ["a", "=1", "a=\u{1b}", "a=é", &long, &many] {
            assert_eq!(state(&[wrong]), "", "{wrong}");
        }
    }
}
