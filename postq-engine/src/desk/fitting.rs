//! Making a post fit: parts of their own for the platforms that its text is too long for.
//!
//! It is done when the post comes in, and what comes of it is kept as a variant: what was previewed is
//! what goes out.

use postq_core::account::Account;
use postq_core::content::{Content, Part};
use postq_core::fit::{Fitting, Unfit, shorten, thread};
use postq_core::platform::{Measure, Platform, PlatformName};

use super::Desk;

/// What was done to a post for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The platform.
    pub platform: PlatformName,
    /// What was done, in words.
    pub message: String,
}

impl Desk {
    /// The content with a variant for each platform of these accounts that it was too long for, and what
    /// was done. What cannot be made to fit stays, and is a violation.
    pub(crate) fn fitted(
        &self,
        content: &Content,
        fitting: Option<Fitting>,
        accounts: &[Account],
    ) -> (Content, Vec<Notice>) {
        let (mut content, mut notices) = (content.clone(), Vec::new());
        let Some(fitting) = fitting else { return (content, notices) };
        let mut names: Vec<&PlatformName> = accounts.iter().map(|one| &one.platform).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let Some(platform) = self.platforms.get(name) else { continue };
            let parts = content.parts_for(name);
            let Some((parts, message)) = fit(&**platform, parts, fitting) else { continue };
            content.variants.insert(name.clone(), parts);
            notices.push(Notice { platform: name.clone(), message });
        }
        (content, notices)
    }
}

/// Parts that a platform takes instead, and what was done; none if nothing has to be, or can be, done.
fn fit(platform: &dyn Platform, parts: &[Part], fitting: Fitting) -> Option<(Vec<Part>, String)> {
    let measure = platform.measure()?;
    let most = platform.most_parts();
    let is_long = |part: &&Part| {
        let told = measure.measure(&part.text);
        told.length > told.limit
    };
    let long = parts.iter().filter(is_long).count();
    if long == 0 {
        return None;
    }
    if fitting == Fitting::Thread && most > 1 {
        let room = most.saturating_sub(parts.len() - long);
        if let Ok(split) = split(parts, measure, room) {
            let message = format!("split to a thread of {} parts", split.len());
            return Some((split, message));
        }
    }
    let cut = parts.iter().map(|part| {
        let text = shorten(&part.text, measure)?.unwrap_or_else(|| part.text.clone());
        Ok(Part { text, ..part.clone() })
    });
    let cut: Vec<Part> = cut.collect::<Result<_, Unfit>>().ok()?;
    let left_out = |(before, after): (&Part, &Part)| {
        let length = |text: &str| measure.measure(text).length;
        length(&before.text).saturating_sub(length(&after.text))
    };
    let left_out: usize = parts.iter().zip(&cut).map(left_out).sum();
    Some((cut, format!("shortened by {left_out} characters")))
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
    if all.len() > most.max(parts.len()) { Err(Unfit::Parts(most)) } else { Ok(all) }
}
