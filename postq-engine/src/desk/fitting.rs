//! Making a post fit: parts of their own for the platforms that its text is too long for.
//!
//! It is done when the post comes in, and what comes of it is kept as a variant: what was previewed is
//! what goes out. With another text it is done again.

use std::collections::{BTreeMap, BTreeSet};

use postq_core::account::Account;
use postq_core::content::{Content, Part};
use postq_core::fit::{Fitting, Unfit, shorten, thread};
use postq_core::platform::{Measure, Platform, PlatformName};

use super::{Desk, Problem};

/// What was done to a post for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The platform.
    pub platform: PlatformName,
    /// What was done, in words.
    pub message: String,
}

/// A content with a variant for each platform that it was too long for.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    pub(crate) content: Content,
    /// What was done.
    pub(crate) notices: Vec<Notice>,
    /// What could not be made to fit.
    pub(crate) unfit: Vec<Problem>,
}

impl Desk {
    /// The content as the platforms of these accounts take it.
    pub(crate) fn fitted(
        &self,
        content: &Content,
        fitting: Option<Fitting>,
        accounts: &[Account],
    ) -> Fitted {
        let fittings = accounts.iter().filter_map(|one| Some((one.platform.clone(), fitting?)));
        self.fitted_by(content.clone(), &fittings.collect())
    }

    /// The same for a post that was fitted before, with another content: what was made for a platform is made
    /// again, of the new text; as `fitting` says, or as it was.
    pub(crate) fn refitted(
        &self,
        old: &Content,
        mut new: Content,
        fitting: Option<Fitting>,
        accounts: &[Account],
    ) -> Fitted {
        let made = self.made_to_fit(old);
        new.variants.retain(|name, _| !made.contains_key(name));
        let mut fittings = made;
        for account in accounts {
            if let Some(fitting) = fitting {
                fittings.insert(account.platform.clone(), fitting);
            }
        }
        self.fitted_by(new, &fittings)
    }

    /// Says, where a text is too long, what can be done about it.
    pub(super) fn offer_to_fit(
        &self,
        content: &Content,
        accounts: &[Account],
        problems: &mut Vec<Problem>,
    ) {
        let is_long = |account: &&Account| {
            let platform = self.platforms.get(&account.platform)?;
            let parts = content.parts_for(&account.platform);
            Some(parts.iter().any(|part| is_long(platform.measure(), part)))
        };
        let long = accounts.iter().filter(|account| is_long(account) == Some(true));
        let long: BTreeSet<&str> = long.map(|account| account.platform.as_str()).collect();
        if long.is_empty() {
            return;
        }
        let own = if long.len() == 1 { "it" } else { "each" };
        let names = long.into_iter().collect::<Vec<_>>().join(" and ");
        let message =
            format!("shorten or thread makes the text fit {names}, or give {own} its own text");
        problems.push(Problem::new("fit", message));
    }

    /// How the text of a content was made to fit, by platform: told from its variants.
    pub fn made_to_fit(&self, content: &Content) -> BTreeMap<PlatformName, Fitting> {
        let made = content.variants.iter().filter_map(|(name, variant)| {
            let platform = self.platforms.get(name)?;
            let is_made = |how: &Fitting| match fit(&**platform, &content.parts, *how) {
                Ok(Some((parts, _))) => parts == *variant,
                _ => false,
            };
            let how = [Fitting::Shorten, Fitting::Thread].into_iter().find(is_made)?;
            Some((name.clone(), how))
        });
        made.collect()
    }

    fn fitted_by(&self, content: Content, fittings: &BTreeMap<PlatformName, Fitting>) -> Fitted {
        let mut fitted = Fitted { content, notices: Vec::new(), unfit: Vec::new() };
        for (name, fitting) in fittings {
            let Some(platform) = self.platforms.get(name) else { continue };
            match fit(&**platform, fitted.content.parts_for(name), *fitting) {
                Ok(None) => {}
                Ok(Some((parts, message))) => {
                    fitted.content.variants.insert(name.clone(), parts);
                    fitted.notices.push(Notice { platform: name.clone(), message });
                }
                Err(why) => {
                    let message = format!("{name}: {why}; shorten it, or give {name} its own text");
                    fitted.unfit.push(Problem::new("fit", message));
                }
            }
        }
        fitted
    }
}

/// Whether a text is longer than a platform takes.
fn is_long(measure: Option<&dyn Measure>, part: &Part) -> bool {
    let told = measure.map(|measure| measure.measure(&part.text));
    told.is_some_and(|told| told.length > told.limit)
}

/// Parts that a platform takes instead, and what was done; none if nothing has to be.
fn fit(
    platform: &dyn Platform,
    parts: &[Part],
    fitting: Fitting,
) -> Result<Option<(Vec<Part>, String)>, Unfit> {
    let Some(measure) = platform.measure() else { return Ok(None) };
    if !parts.iter().any(|part| is_long(Some(measure), part)) {
        return Ok(None);
    }
    let most = platform.most_parts();
    if fitting == Fitting::Thread && most > 1 {
        let split = split(parts, measure, most)?;
        let message = format!("split to a thread of {} parts", split.len());
        return Ok(Some((split, message)));
    }
    let cut = parts.iter().map(|part| {
        let text = shorten(&part.text, measure)?.unwrap_or_else(|| part.text.clone());
        Ok(Part { text, ..part.clone() })
    });
    let cut: Vec<Part> = cut.collect::<Result<_, Unfit>>()?;
    let left_out = |(before, after): (&Part, &Part)| {
        let length = |text: &str| measure.measure(text).length;
        length(&before.text).saturating_sub(length(&after.text))
    };
    let left_out: usize = parts.iter().zip(&cut).map(left_out).sum();
    let why = match fitting {
        Fitting::Thread => format!(": {} has no threads", platform.name()),
        Fitting::Shorten => String::new(),
    };
    Ok(Some((cut, format!("shortened by {left_out} characters{why}"))))
}

/// Each part that is too long becomes several; its media stay with the first.
fn split(parts: &[Part], measure: &dyn Measure, most: usize) -> Result<Vec<Part>, Unfit> {
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        let texts = thread(&part.text, measure, most)?;
        let mut media = part.media.clone();
        if texts.is_empty() {
            all.push(part.clone()); // media alone
        }
        all.extend(texts.into_iter().map(|text| Part { text, media: std::mem::take(&mut media) }));
    }
    if all.len() > most { Err(Unfit::Parts(most)) } else { Ok(all) }
}
