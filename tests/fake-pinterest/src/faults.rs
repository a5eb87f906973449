//! What goes wrong.

use std::collections::VecDeque;
use std::time::Duration;

/// What may happen to one request to create a Pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is accepted and answered.
    Ok,
    /// The connection is cut, nothing is accepted.
    CutBefore,
    /// It is accepted, then the connection is cut.
    CutAfter,
    /// It is accepted; the answer comes after [`Faults::hang`].
    HangAfter,
    /// 503, nothing is accepted.
    UnavailableBefore,
    /// It is accepted, then answered with 503.
    UnavailableAfter,
    /// It is accepted, then answered with 201 and no id.
    NoId,
    /// 429.
    Limited,
    /// The connection is cut at once; it is accepted after [`Faults::late`].
    Late,
}

/// What may happen to one request of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFault {
    /// Registering is answered with 503.
    Unavailable,
    /// The connection to the storage is cut, nothing is taken.
    CutSending,
    /// The storage says that what was signed has ended.
    Expired,
    /// The storage says that the file is too large.
    TooLarge,
    /// The upload is not known any more when it is asked for.
    Forget,
    /// Working on the video fails.
    ProcessingFails,
}

/// The order of a board's Pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// What goes wrong. Nothing, by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// What happens to the next requests to create, one each.
    pub script: VecDeque<Fault>,
    /// How long [`Fault::HangAfter`] hangs. Defaults to 60 s.
    pub hang: Duration,
    /// How long after its request a [`Fault::Late`] one is accepted. Defaults to 300 ms.
    pub late: Duration,
    /// How long lists do not show a new Pin. Defaults to none.
    pub hide: Duration,
    /// What happens to the next requests of uploads: each waits for one that it can happen to.
    pub media: VecDeque<MediaFault>,
    /// So many questions are answered before a video can be used. Defaults to 2.
    pub polls: u32,
    /// The order of lists. Defaults to the newest first.
    pub order: Order,
    /// Whether times are told with their zone. Defaults to no.
    pub zone: bool,
    /// Whether signs in texts are escaped when they are shown. Defaults to no.
    pub escape: bool,
    /// Whether creating is answered with 200, as the documentation allows too. Defaults to no: 201.
    pub ok_for_created: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            hang: Duration::from_secs(60),
            late: Duration::from_millis(300),
            hide: Duration::ZERO,
            media: VecDeque::new(),
            polls: 2,
            order: Order::default(),
            zone: false,
            escape: false,
            ok_for_created: false,
        }
    }
}

impl Faults {
    /// These faults for the next requests to create, then none.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { script: faults.into_iter().collect(), ..Self::default() }
    }

    /// These for the next requests of uploads, then none.
    pub fn media(faults: impl IntoIterator<Item = MediaFault>) -> Self {
        Self { media: faults.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn next(&mut self) -> Fault {
        self.script.pop_front().unwrap_or(Fault::Ok)
    }

    /// What happens to this request of an upload, of what can.
    pub(crate) fn next_media(&mut self, can: &[MediaFault]) -> Option<MediaFault> {
        let next = self.media.front().copied().filter(|fault| can.contains(fault))?;
        self.media.pop_front();
        Some(next)
    }
}
