//! What a community takes, as Reddit tells it, and the pure check of a post against it.
//!
//! Checked is what can be told for sure. Regular expressions and the age of a link are left to Reddit, which
//! checks again at the creating call; the community's written rules are for people, see `written`. Where it is
//! not documented whether all words of a list are wanted or one of them, only a post with none of them is refused.

use postq_core::content::Part;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use crate::options::{Kind, Wanted};

/// Of a list of a community's, so many entries are told.
const MOST_TOLD: usize = 5;

/// All that is known of a community.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) about: About,
    pub(crate) requirements: Requirements,
    /// None if they were not asked for, or this account may not see them.
    pub(crate) flairs: Option<Vec<Flair>>,
}

/// From `GET /r/{sr}/about`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    submission_type: Option<String>,
    #[serde(default)]
    allow_images: Option<bool>,
    #[serde(default)]
    allow_videos: Option<bool>,
    #[serde(default)]
    allow_galleries: Option<bool>,
    #[serde(default)]
    user_is_banned: Option<bool>,
}

/// From `GET /api/v1/{sr}/post_requirements`. Whatever is missing, null or something else asks for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requirements {
    #[serde(deserialize_with = "or_default")]
    pub(crate) is_flair_required: bool,
    #[serde(deserialize_with = "or_default")]
    title_text_min_length: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    title_text_max_length: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    title_required_strings: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    title_blacklisted_strings: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    body_restriction_policy: String,
    #[serde(deserialize_with = "or_default")]
    body_text_min_length: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    body_text_max_length: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    body_required_strings: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    body_blacklisted_strings: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    link_restriction_policy: String,
    #[serde(deserialize_with = "or_default")]
    domain_blacklist: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    domain_whitelist: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    gallery_min_items: Option<usize>,
    #[serde(deserialize_with = "or_default")]
    gallery_max_items: Option<usize>,
}

/// From `GET /r/{sr}/api/link_flair_v2`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Flair {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    #[serde(default, deserialize_with = "or_default")]
    text_editable: bool,
    #[serde(default, deserialize_with = "or_default")]
    mod_only: bool,
}

/// The value, or nothing where Reddit tells something else.
pub(crate) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl Rules {
    /// What the community would refuse.
    pub(crate) fn problems(&self, wanted: &Wanted<'_>, part: &Part) -> Vec<String> {
        let community = &wanted.community;
        if self.about.user_is_banned == Some(true) {
            return vec![format!("the account is banned from r/{community}")];
        }
        let mut problems = Vec::new();
        problems.extend(self.about.kind_problem(wanted, part));
        problems.extend(self.flair_problem(wanted));
        problems.extend(self.requirements.title_problems(&wanted.title));
        if is_text_post(wanted, part) {
            problems.extend(self.requirements.body_problems(&part.text));
        }
        problems.extend(self.requirements.link_problem(wanted));
        problems.extend(self.requirements.gallery_problem(wanted, part.media.len()));
        problems
    }

    fn flair_problem(&self, wanted: &Wanted<'_>) -> Option<String> {
        let community = &wanted.community;
        let Some(id) = wanted.flair_id else {
            let missing = self.requirements.is_flair_required;
            return missing.then(|| {
                format!(
                    "r/{community} wants a flair; set the option \"flair_id\" to {}",
                    self.ids()
                )
            });
        };
        let flairs = self.flairs.as_ref()?;
        match flairs.iter().find(|flair| flair.id == id && !flair.mod_only) {
            None => Some(format!(
                "r/{community} has no flair \"{id}\" for users, expected {}",
                self.ids()
            )),
            Some(flair)
                if !flair.text_editable && wanted.flair_text.is_some_and(|t| t != flair.text) =>
            {
                Some(format!("the text of the flair \"{}\" cannot be changed", flair.text))
            }
            Some(_) => None,
        }
    }

    /// The flairs to choose from, in words.
    fn ids(&self) -> String {
        let flairs = self.flairs.iter().flatten().filter(|flair| !flair.mod_only);
        let told: Vec<String> = flairs
            .take(MOST_TOLD)
            .map(|flair| format!("\"{}\" ({})", flair.id, flair.text))
            .collect();
        match told.as_slice() {
            [] => "one of its flairs".to_owned(),
            some => some.join(", "),
        }
    }
}

/// Whether it surely is a post of its own text.
fn is_text_post(wanted: &Wanted<'_>, part: &Part) -> bool {
    wanted.url.is_none() && part.media.is_empty()
}

impl About {
    fn kind_problem(&self, wanted: &Wanted<'_>, part: &Part) -> Option<String> {
        let community = &wanted.community;
        let refused = |what: &str| Some(format!("r/{community} takes no {what}"));
        let only = self.submission_type.as_deref();
        let kind = wanted.kind.or(match part.media.len() {
            0 if wanted.url.is_some() => Some(Kind::Link),
            0 => Some(Kind::Own),
            // Whether it is a picture or a video is told by the file.
            1 | 2 => None,
            _ => Some(Kind::Gallery),
        });
        match kind {
            Some(Kind::Own) if only == Some("link") => refused("text posts"),
            Some(Kind::Link) if only == Some("self") => refused("links"),
            Some(Kind::Image) if self.allow_images == Some(false) => refused("pictures"),
            Some(Kind::Gallery) if self.allow_galleries == Some(false) => refused("galleries"),
            Some(Kind::Video) if self.allow_videos == Some(false) => refused("videos"),
            None if (self.allow_images, self.allow_videos) == (Some(false), Some(false)) => {
                refused("pictures and videos")
            }
            _ => None,
        }
    }
}

impl Requirements {
    fn title_problems(&self, title: &str) -> Vec<String> {
        let lengths = (self.title_text_min_length, self.title_text_max_length);
        let words = (&self.title_required_strings[..], &self.title_blacklisted_strings[..]);
        text_problems("title", title, lengths, words)
    }

    fn body_problems(&self, text: &str) -> Vec<String> {
        let empty = text.trim().is_empty();
        match self.body_restriction_policy.as_str() {
            "required" if empty => return vec!["the community wants a text".to_owned()],
            "notAllowed" if !empty => {
                return vec!["the community takes titles without a text alone".to_owned()];
            }
            _ if empty => return Vec::new(),
            _ => {}
        }
        let lengths = (self.body_text_min_length, self.body_text_max_length);
        let words = (&self.body_required_strings[..], &self.body_blacklisted_strings[..]);
        text_problems("text", text, lengths, words)
    }

    fn link_problem(&self, wanted: &Wanted<'_>) -> Option<String> {
        let url = Url::parse(wanted.url?).ok()?;
        let host = url.host_str()?;
        let on = |list: &[String]| list.iter().any(|domain| belongs(host, domain));
        match self.link_restriction_policy.as_str() {
            "blacklist" if on(&self.domain_blacklist) => {
                Some(format!("the community takes no links to {host}"))
            }
            "whitelist" if !on(&self.domain_whitelist) => {
                let told: Vec<&str> =
                    self.domain_whitelist.iter().take(MOST_TOLD).map(String::as_str).collect();
                Some(format!("a link to {host}, expected one to {}", told.join(", ")))
            }
            _ => None,
        }
    }

    fn gallery_problem(&self, wanted: &Wanted<'_>, files: usize) -> Option<String> {
        // Two files may be a video and its poster.
        if files < 3 && wanted.kind != Some(Kind::Gallery) {
            return None;
        }
        let told = |word, limit| format!("a gallery of {files} pictures, at {word} {limit}");
        let few = self.gallery_min_items.filter(|least| files < *least);
        let many = self.gallery_max_items.filter(|most| *most > 0 && files > *most);
        few.map(|least| told("least", least)).or_else(|| many.map(|most| told("most", most)))
    }
}

fn text_problems(
    what: &str,
    text: &str,
    (least, most): (Option<usize>, Option<usize>),
    (required, banned): (&[String], &[String]),
) -> Vec<String> {
    let length = text.chars().count();
    let lower = text.to_lowercase();
    let has = |words: &&String| !words.is_empty() && lower.contains(&words.to_lowercase());
    let mut problems = Vec::new();
    if let Some(least) = least.filter(|least| length < *least) {
        problems.push(format!("the {what} is {length} characters long, at least {least}"));
    }
    // A most of 0 is how some say that there is none.
    if let Some(most) = most.filter(|most| *most > 0 && length > *most) {
        problems.push(format!("the {what} is {length} characters long, at most {most}"));
    }
    if !required.is_empty() && !required.iter().any(|words| has(&words)) {
        let told: Vec<&str> = required.iter().take(MOST_TOLD).map(String::as_str).collect();
        problems.push(format!("the {what} has none of \"{}\"", told.join("\", \"")));
    }
    if let Some(words) = banned.iter().find(has) {
        problems.push(format!("the {what} has \"{words}\", which the community refuses"));
    }
    problems
}

/// Whether a host is of a domain: `www.example.com` of `example.com`.
fn belongs(host: &str, domain: &str) -> bool {
    let domain = domain.trim().trim_start_matches("*.").to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    let above = host.strip_suffix(&domain);
    !domain.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use postq_core::content::MediaRef;
    use postq_core::options::PostOptions;

    use super::*;

    fn rules(about: &str, requirements: &str, flairs: &str) -> Rules {
        Rules {
            about: serde_json::from_str(about).expect("about"),
            requirements: serde_json::from_str(requirements).expect("requirements"),
            flairs: serde_json::from_str(flairs).expect("flairs"),
        }
    }

    fn problems(rules: &Rules, options: &str, text: &str, files: usize) -> Vec<String> {
        let options: PostOptions = serde_json::from_str(options).expect("options");
        let file = MediaRef { source: "a.png".into(), alt: None };
        let part = Part { text: text.into(), media: vec![file; files] };
        rules.problems(&Wanted::read(&options), &part)
    }

    const LINK: &str = r#"{"subreddit":"rust","title":"t","url":"https://www.Example.com/a"}"#;
    const OWN: &str = r#"{"subreddit":"rust","title":"A Title"}"#;

    #[test]
    fn a_community_that_says_nothing_takes_everything() {
        let nothing = rules("{}", "{}", "null");
        let odd = rules(
            r#"{"submission_type":null,"allow_images":null}"#,
            r#"{"is_flair_required":null,"title_text_min_length":null,"title_text_max_length":"many",
                "title_required_strings":null,"body_restriction_policy":"none","domain_blacklist":7}"#,
            "[]",
        );
        for rules in [nothing, odd] {
            assert_eq!(problems(&rules, OWN, "text", 0), [""; 0]);
            assert_eq!(problems(&rules, LINK, "", 0), [""; 0]);
            assert_eq!(problems(&rules, OWN, "", 20), [""; 0]);
        }
    }

    #[test]
    fn kinds_that_are_not_taken_are_named() {
        let about = r#"{"submission_type":"link","allow_images":false,"allow_videos":false,"allow_galleries":false}"#;
        let no_text = rules(about, "{}", "null");
        let only_text = rules(r#"{"submission_type":"self"}"#, "{}", "null");
        let kind = |kind: &str| format!(r#"{{"subreddit":"rust","title":"t","kind":"{kind}"}}"#);

        assert_eq!(problems(&no_text, OWN, "text", 0), ["r/rust takes no text posts"]);
        assert_eq!(problems(&no_text, OWN, "", 1), ["r/rust takes no pictures and videos"]);
        assert_eq!(problems(&no_text, OWN, "", 3), ["r/rust takes no galleries"]);
        assert_eq!(problems(&no_text, &kind("image"), "", 1), ["r/rust takes no pictures"]);
        assert_eq!(problems(&no_text, &kind("video"), "", 1), ["r/rust takes no videos"]);
        assert_eq!(problems(&only_text, LINK, "", 0), ["r/rust takes no links"]);
        assert_eq!(problems(&only_text, OWN, "text", 0), [""; 0]);
        let banned = rules(r#"{"user_is_banned":true}"#, "{}", "null");
        assert_eq!(problems(&banned, OWN, "", 0), ["the account is banned from r/rust"]);
    }

    #[test]
    fn requirements_of_the_title_and_the_text_are_told() {
        let strict = rules(
            "{}",
            r#"{"title_text_min_length":8,"title_text_max_length":10,"title_required_strings":["[Q]","[D]"],
                "title_blacklisted_strings":["Title"],"body_text_min_length":3,"body_text_max_length":5,
                "body_required_strings":["yes"],"body_blacklisted_strings":["no"]}"#,
            "null",
        );
        assert_eq!(
            problems(&strict, OWN, "no", 0),
            [
                "the title is 7 characters long, at least 8",
                "the title has none of \"[Q]\", \"[D]\"",
                "the title has \"Title\", which the community refuses",
                "the text is 2 characters long, at least 3",
                "the text has none of \"yes\"",
                "the text has \"no\", which the community refuses",
            ]
        );
        let good = r#"{"subreddit":"rust","title":"[d] é e\u0301👍"}"#;
        assert_eq!(problems(&strict, good, "YES👍👍", 0), [""; 0]);
        let long = r#"{"subreddit":"rust","title":"[d] eleven!"}"#;
        assert_eq!(
            problems(&strict, long, "yes👍👍👍", 0),
            [
                "the title is 11 characters long, at most 10",
                "the text is 6 characters long, at most 5"
            ]
        );
        assert_eq!(problems(&strict, good, "a caption that is long", 1), [""; 0], "no text post");
    }

    #[test]
    fn a_text_may_be_wanted_or_not() {
        let wanted = rules("{}", r#"{"body_restriction_policy":"required"}"#, "null");
        let unwanted = rules("{}", r#"{"body_restriction_policy":"notAllowed"}"#, "null");

        assert_eq!(problems(&wanted, OWN, " ", 0), ["the community wants a text"]);
        assert_eq!(problems(&wanted, LINK, "", 0), [""; 0]);
        assert_eq!(problems(&unwanted, OWN, "text", 0).len(), 1);
        assert_eq!(problems(&unwanted, OWN, "", 0), [""; 0]);
    }

    #[test]
    fn links_are_compared_by_their_domain() {
        let black = r#"{"link_restriction_policy":"blacklist","domain_blacklist":["example.com"]}"#;
        let white =
            r#"{"link_restriction_policy":"whitelist","domain_whitelist":["ample.com","b.org"]}"#;

        let refused = problems(&rules("{}", black, "null"), LINK, "", 0);
        assert_eq!(refused, ["the community takes no links to www.example.com"]);
        let refused = problems(&rules("{}", white, "null"), LINK, "", 0);
        assert_eq!(refused, ["a link to www.example.com, expected one to ample.com, b.org"]);
        let open = black.replace("\"blacklist\"", "\"none\"");
        assert_eq!(problems(&rules("{}", &open, "null"), LINK, "", 0), [""; 0]);
    }

    #[test]
    fn a_flair_must_be_one_that_users_have() {
        let flairs = r#"[{"id":"a1","text":"News","text_editable":false,"mod_only":false},
            {"id":"b2","text":"Mods","mod_only":true},{"id":"c3","text":"Own","text_editable":true}]"#;
        let strict = rules("{}", r#"{"is_flair_required":true}"#, flairs);
        let with = |flair: &str| format!(r#"{{"subreddit":"rust","title":"t",{flair}}}"#);
        let told = |flair: &str| problems(&strict, &with(flair), "", 0);

        assert_eq!(
            problems(&strict, OWN, "", 0),
            ["r/rust wants a flair; set the option \"flair_id\" to \"a1\" (News), \"c3\" (Own)"]
        );
        assert_eq!(told(r#""flair_id":"a1""#), [""; 0]);
        assert_eq!(told(r#""flair_id":"c3","flair_text":"mine""#), [""; 0]);
        assert_eq!(
            told(r#""flair_id":"a1","flair_text":"mine""#),
            ["the text of the flair \"News\" cannot be changed"]
        );
        assert!(told(r#""flair_id":"b2""#)[0].contains("has no flair \"b2\" for users"));
        let unseen = rules("{}", r#"{"is_flair_required":true}"#, "null");
        assert_eq!(problems(&unseen, &with(r#""flair_id":"zz""#), "", 0), [""; 0]);
    }

    #[test]
    fn galleries_have_the_community_s_own_bounds() {
        let strict = rules("{}", r#"{"gallery_min_items":4,"gallery_max_items":5}"#, "null");

        assert_eq!(problems(&strict, OWN, "", 3), ["a gallery of 3 pictures, at least 4"]);
        assert_eq!(problems(&strict, OWN, "", 6), ["a gallery of 6 pictures, at most 5"]);
        assert_eq!(problems(&strict, OWN, "", 2), [""; 0], "it may be a video");
    }
}
