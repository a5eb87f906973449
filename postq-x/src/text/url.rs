//! Which stretches of a text X takes for links: with a scheme or without one, if the top-level
//! domain is known.
//!
//! It follows twitter-text's pattern, which needs look-ahead and so is matched by hand up to the end
//! of the domain. The work is bounded by the text's length times [`MAX_LABELS`].

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Labels that are looked at in one domain: more than DNS allows.
const MAX_LABELS: usize = 256;
/// The longest link, in UTF-16 units, as in twitter-text.
const MAX_LINK: usize = 4_096;
/// The longest label of a domain, in Punycode, as in DNS.
const MAX_LABEL: usize = 63;
/// The longest name behind `t.co/`.
const MAX_SLUG: usize = 40;
const HTTPS: &str = "https://";

static TLDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("tlds.txt").lines().filter(|line| !line.starts_with('#')).collect()
});

static LONGEST_TLD: LazyLock<usize> =
    LazyLock::new(|| TLDS.iter().map(|tld| tld.chars().count()).max().unwrap_or(0));

/// What may follow a domain: port, path (with two levels of brackets) and query.
static TAIL: LazyLock<Regex> = LazyLock::new(|| {
    let accents = format!("{ACCENTS}{CYRILLIC}");
    let path = format!(r"[A-Za-z0-9!*';:=+,.$/%#\[\]\x{{2013}}_~@|&{accents}-]");
    let brackets = format!(r"\((?:{path}+|{path}*\({path}+\){path}*)\)");
    let last = format!(r"(?:[A-Za-z0-9+=_#/{accents}-]|{brackets})");
    let segment = format!(r"(?:{path}*(?:{brackets}{path}*)*{last}|@{path}+/)");
    Regex::new(&format!(r"^(?::[0-9]+)?(?<path>/{segment}*)?(?:\?{QUERY}*{QUERY_END})?"))
        .expect("a fixed pattern")
});

static T_CO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(
        r"^[Hh][Tt][Tt][Pp][Ss]?://[Tt]\.[Cc][Oo]/(?<slug>[A-Za-z0-9]+)(?:\?{QUERY}*{QUERY_END})?"
    ))
    .expect("a fixed pattern")
});

const QUERY: &str = r"[A-Za-z0-9!?*'@();:&=+$/%#\[\]_.,~|-]";
const QUERY_END: &str = r"[A-Za-z0-9_&=#/-]";
const CYRILLIC: &str = r"\x{0400}-\x{04FF}";
const ACCENTS: &str = concat!(
    r"\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{24F}\x{253}\x{254}\x{256}\x{257}\x{259}\x{25B}\x{263}",
    r"\x{268}\x{26F}\x{272}\x{289}\x{28B}\x{2BB}\x{300}-\x{36F}\x{1E00}-\x{1EFF}"
);

/// The links of a text in NFC, as ranges of its bytes, in order.
pub(crate) fn links(text: &str) -> Vec<Range<usize>> {
    if !text.contains('.') {
        return Vec::new();
    }
    let scan = Scan::new(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < scan.chars.len() {
        let Some(candidate) = scan.candidate_from(at) else {
            at += 1;
            continue;
        };
        at = candidate.end;
        scan.accept(&candidate, &mut found);
    }
    found
}

/// Characters that X takes in no text.
pub(super) fn invisible(c: char) -> bool {
    matches!(c, '\u{FFFE}' | '\u{FEFF}' | '\u{FFFF}')
}

/// A stretch that has the shape of a link. All but the bytes are positions in [`Scan::chars`].
struct Candidate {
    before: Option<char>,
    start: usize,
    has_scheme: bool,
    domain: Range<usize>,
    has_path: bool,
    end: usize,
}

/// A text with what is asked of each character again and again.
struct Scan<'a> {
    text: &'a str,
    /// Each character with the byte it starts at.
    chars: Vec<(usize, char)>,
    /// Where the label that contains this position ends.
    label_end: Vec<usize>,
    /// Whether there is a `_` from this position to the end of its label.
    underscore: Vec<bool>,
    /// Where the top-level domain that starts at this position ends; only behind a dot.
    tlds: Vec<Option<usize>>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        let chars: Vec<(usize, char)> = text.char_indices().collect();
        let mut label_end = vec![chars.len(); chars.len() + 1];
        let mut underscore = vec![false; chars.len() + 1];
        for at in (0..chars.len()).rev() {
            let c = chars[at].1;
            let inside = in_domain(c) || c == '-' || c == '_';
            label_end[at] = if inside { label_end[at + 1] } else { at };
            underscore[at] = inside && (c == '_' || underscore[at + 1]);
        }
        let mut scan = Self { text, chars, label_end, underscore, tlds: Vec::new() };
        let end = scan.chars.len();
        let behind_dot = |at: usize| at > 0 && scan.char(at - 1) == Some('.');
        scan.tlds =
            (0..=end).map(|at| if behind_dot(at) { scan.tld_at(at, end) } else { None }).collect();
        scan
    }

    fn char(&self, at: usize) -> Option<char> {
        self.chars.get(at).map(|&(_, c)| c)
    }

    fn byte(&self, at: usize) -> usize {
        self.chars.get(at).map_or(self.text.len(), |&(byte, _)| byte)
    }

    fn slice(&self, range: Range<usize>) -> &'a str {
        &self.text[self.byte(range.start)..self.byte(range.end)]
    }

    /// The candidate whose preceding character is the one at `at`; at the start of the text also
    /// one that nothing precedes.
    fn candidate_from(&self, at: usize) -> Option<Candidate> {
        let before = self.char(at).filter(|&c| may_precede(c));
        let after = before.and_then(|_| self.candidate_at(at + 1, before));
        after.or_else(|| if at == 0 { self.candidate_at(0, None) } else { None })
    }

    fn candidate_at(&self, start: usize, before: Option<char>) -> Option<Candidate> {
        let (scheme, domain) = self
            .scheme_at(start)
            .and_then(|scheme| Some((scheme, self.domain_at(start + scheme)?)))
            .or_else(|| Some((0, self.domain_at(start)?)))?;
        let rest = &self.text[self.byte(domain.end)..];
        let tail = TAIL.captures(rest)?;
        let length = tail.get(0).map_or(0, |all| all.as_str().chars().count());
        Some(Candidate {
            before,
            start,
            has_scheme: scheme > 0,
            has_path: tail.name("path").is_some(),
            end: domain.end + length,
            domain,
        })
    }

    fn scheme_at(&self, at: usize) -> Option<usize> {
        let found = |scheme: &str| {
            scheme
                .chars()
                .enumerate()
                .all(|(i, c)| self.char(at + i).is_some_and(|own| own.eq_ignore_ascii_case(&c)))
        };
        [HTTPS, "http://"].into_iter().find(|scheme| found(scheme)).map(str::len)
    }

    /// The domain that starts here, reaching as far right as a known top-level domain allows.
    fn domain_at(&self, start: usize) -> Option<Range<usize>> {
        let mut best = None;
        let mut label = start;
        for _ in 0..MAX_LABELS {
            let end = self.label_end[label.min(self.chars.len())];
            let whole = end > label
                && self.char(label).is_some_and(in_domain)
                && self.char(end - 1).is_some_and(in_domain)
                && self.char(end) == Some('.');
            if !whole {
                break;
            }
            // Before the top-level domain comes a name; further left, `_` is allowed.
            if !self.underscore[label] {
                best = self.tlds[end + 1].or(best);
            }
            label = end + 1;
        }
        best.map(|end| start..end)
    }

    /// Where the top-level domain that starts here ends; nothing is read from `limit` on.
    fn tld_at(&self, start: usize, limit: usize) -> Option<usize> {
        let furthest =
            self.label_end.get(start)?.min(&limit).min(&(start + *LONGEST_TLD)).to_owned();
        let known = (start + 1..=furthest).rev().find(|&end| {
            let next = if end < limit { self.char(end) } else { None };
            let bounded = next.is_none_or(|c| !c.is_ascii_alphanumeric() && !"@+-".contains(c));
            bounded && TLDS.contains(self.slice(start..end).to_lowercase().as_str())
        });
        known.or_else(|| self.punycode_at(start, limit))
    }

    fn punycode_at(&self, start: usize, limit: usize) -> Option<usize> {
        let prefix = (start + 4).min(limit);
        if !self.slice(start..prefix).eq_ignore_ascii_case("xn--") {
            return None;
        }
        let length = (prefix..limit)
            .take_while(|&at| self.char(at).is_some_and(|c| c == '-' || c.is_ascii_alphanumeric()))
            .count();
        (length > 0).then_some(prefix + length)
    }

    /// Adds what X makes links of in a candidate: all of it, or without a scheme the ASCII domains.
    fn accept(&self, candidate: &Candidate, found: &mut Vec<Range<usize>>) {
        if !self.is_sound(candidate) {
            return;
        }
        let whole = self.byte(candidate.start)..self.byte(candidate.end);
        if candidate.has_scheme {
            match T_CO.captures(&self.text[whole.clone()]) {
                Some(short) if short["slug"].len() > MAX_SLUG => {}
                Some(short) => found.push(whole.start..whole.start + short[0].len()),
                None => found.push(whole),
            }
        } else if candidate.before.is_none_or(|c| !"-_./".contains(c)) {
            let known = found.len();
            self.ascii_domains(candidate.domain.clone(), found);
            if let Some(last) = found[known..].last_mut()
                && candidate.has_path
            {
                last.end = whole.end;
            }
        }
    }

    fn is_sound(&self, candidate: &Candidate) -> bool {
        let domain = self.slice(candidate.domain.clone());
        let link = self.slice(candidate.start..candidate.end);
        let scheme = if candidate.has_scheme { 0 } else { HTTPS.len() };
        let misencoded = || {
            let mut ascii = Vec::new();
            self.ascii_domains(candidate.domain.clone(), &mut ascii);
            ascii.is_empty()
        };
        link.encode_utf16().count() + scheme <= MAX_LINK
            && domain.split('.').all(fits_dns)
            && !(domain.starts_with("xn--") && misencoded())
    }

    /// The domains written in ASCII and accented Latin within a domain.
    fn ascii_domains(&self, domain: Range<usize>, found: &mut Vec<Range<usize>>) {
        let mut at = domain.start;
        while at < domain.end {
            match self.ascii_domain_at(at, domain.end) {
                Some(end) => {
                    found.push(self.byte(at)..self.byte(end));
                    at = end;
                }
                None => at += 1,
            }
        }
    }

    fn ascii_domain_at(&self, start: usize, limit: usize) -> Option<usize> {
        let mut best = None;
        let mut label = start;
        for _ in 0..MAX_LABELS {
            let length =
                (label..limit).take_while(|&at| self.char(at).is_some_and(in_ascii_domain)).count();
            let dot = label + length;
            if length == 0 || dot >= limit || self.char(dot) != Some('.') {
                break;
            }
            best = self.tld_at(dot + 1, limit).or(best);
            label = dot + 1;
        }
        best
    }
}

fn may_precede(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !"@＠$#＃".contains(c) && !invisible(c)
}

fn in_domain(c: char) -> bool {
    !"!'#%&()*+,\\-./:;<=>?@[]^_{|}~$".contains(c)
        && !is_space(c)
        && !invisible(c)
        && !sets_direction(c)
}

fn in_ascii_domain(c: char) -> bool {
    static CHARS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("^[A-Za-z0-9{ACCENTS}-]$")).expect("a fixed pattern"));
    c == '-' || c.is_ascii_alphanumeric() || CHARS.is_match(c.encode_utf8(&mut [0; 4]))
}

fn is_space(c: char) -> bool {
    matches!(c,
        '\u{09}'..='\u{0D}' | ' ' | '\u{85}' | '\u{A0}' | '\u{1680}' | '\u{180E}'
        | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

fn sets_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2066}'..='\u{2069}')
}

fn fits_dns(label: &str) -> bool {
    let length = if label.is_ascii() {
        label.len()
    } else {
        let encoded = idna::punycode::encode_str(label);
        encoded.map_or(usize::MAX, |encoded| "xn--".len() + encoded.len())
    };
    (1..=MAX_LABEL).contains(&length)
}
