//! Looking into MP4 and QuickTime files: their index alone is read, never their pictures.

use std::ops::Range;
use std::time::Duration;

use mp4_atom::{Decode, DecodeAtom, FourCC, Hdlr, Header, Mvhd, Tkhd};
use postq_core::error::MediaError;
use postq_core::media::{MediaFacts, MediaId, MediaKind, MediaStore, whole};

/// The largest index that is read: hours of video have less.
const MOST_OF_INDEX: u64 = 32 * 1_024 * 1_024;
/// Boxes in all of the index that are looked at.
const MOST_BOXES: usize = 20_000;
/// Boxes on the top level that are looked at: a video that is made for streaming has thousands, each of which
/// would be asked for by itself.
const MOST_ON_TOP: usize = 2_000;
/// What is read of a box on the top level to know it.
const HEAD: u64 = 24;
/// A box that holds XMP, which may tell a place, has this for a name.
const XMP: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];
/// How deep boxes lie in boxes, where anything is looked for.
const DEEPEST: usize = 6;

/// What was found in a video.
pub(crate) struct Video {
    pub(crate) facts: MediaFacts,
    /// Where in the file it tells what may be a place: kept by cameras beside the pictures.
    pub(crate) places: Vec<Range<u64>>,
}

/// Why a video cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error(transparent)]
    Store(#[from] MediaError),
    #[error("{0}")]
    Broken(&'static str),
}

/// Reads a video's index, wherever in the file it lies.
pub(crate) async fn look(
    store: &dyn MediaStore,
    id: MediaId,
    kind: MediaKind,
) -> Result<Video, Unread> {
    let size = store.size(id).await?.ok_or(Unread::Broken("the file is gone"))?;
    let (mut at, mut video, mut places) = (0, None, Vec::new());
    // To its end: what is cut off lacks its last boxes, or a part of them.
    for _ in 0..MOST_ON_TOP {
        if at + 8 > size {
            break;
        }
        let head = whole(store, id, Some(at..size.min(at + HEAD)), HEAD).await?;
        let (name, length, header) = top_level(&head, size - at)?;
        match &name {
            b"moov" if video.is_none() => {
                if length > MOST_OF_INDEX {
                    return Err(Unread::Broken("its index is larger than 32 MiB"));
                }
                let range = Some(at + header..at + length);
                let index = whole(store, id, range, MOST_OF_INDEX).await?;
                video = Some(read(&index, at + header, kind)?);
            }
            b"udta" | b"meta" => places.push(at + header..at + length),
            b"uuid" if head.get(8..) == Some(&XMP) => places.push(at + 24..at + length),
            _ => {}
        }
        at += length;
    }
    let mut video: Video =
        video.ok_or(Unread::Broken("it has no index (moov); it may be cut off"))?;
    video.facts.located |= !places.is_empty();
    video.places.extend(places);
    Ok(video)
}

/// The name of a box, its whole length and that of its header.
fn top_level(head: &[u8], left: u64) -> Result<([u8; 4], u64, u64), Unread> {
    const CUT: Unread = Unread::Broken("a box is longer than the file; it may be cut off");
    let word = |at: usize| -> Option<[u8; 4]> { head.get(at..at + 4)?.try_into().ok() };
    let (short, name) = (word(0).ok_or(CUT)?, word(4).ok_or(CUT)?);
    let (length, header) = match u32::from_be_bytes(short) {
        0 => (left, 8),
        1 => {
            let long: [u8; 8] = head.get(8..16).and_then(|b| b.try_into().ok()).ok_or(CUT)?;
            (u64::from_be_bytes(long), 16)
        }
        length => (u64::from(length), 8),
    };
    if length < header || length > left {
        return Err(CUT);
    }
    Ok((name, length, header))
}

/// What is found on the way through the index.
#[derive(Default)]
struct Found {
    mvhd: Option<Mvhd>,
    tracks: Vec<Track>,
    places: Vec<Range<u64>>,
    boxes: usize,
}

#[derive(Default)]
struct Track {
    tkhd: Option<Tkhd>,
    handler: Option<FourCC>,
    coding: Option<String>,
}

fn read(index: &[u8], base: u64, kind: MediaKind) -> Result<Video, Unread> {
    let mut found = Found::default();
    walk(index, base, 0, &mut found)?;
    let Found { mvhd, tracks, places, .. } = found;
    let mvhd = mvhd.ok_or(Unread::Broken("its index has no header (mvhd)"))?;
    let of =
        |handler: &[u8; 4]| tracks.iter().find(|track| track.handler == Some(FourCC::new(handler)));
    let video = of(b"vide").ok_or(Unread::Broken("it has no pictures"))?;
    let tkhd = video.tkhd.as_ref().ok_or(Unread::Broken("its pictures have no size"))?;
    let (width, height) = (u32::from(tkhd.width.integer()), u32::from(tkhd.height.integer()));
    // A camera held upright writes wide pictures, and that they are to be turned.
    let turned = tkhd.matrix.a == 0 && tkhd.matrix.d == 0 && tkhd.matrix.b != 0;
    let (width, height) = if turned { (height, width) } else { (width, height) };
    if width == 0 || height == 0 {
        return Err(Unread::Broken("its pictures have no size"));
    }
    let duration = (mvhd.timescale > 0 && mvhd.duration > 0).then(|| {
        let millis = u128::from(mvhd.duration) * 1_000 / u128::from(mvhd.timescale);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    });
    let facts = MediaFacts {
        duration,
        video: video.coding.clone(),
        audio: of(b"soun").and_then(|track| track.coding.clone()),
        located: !places.is_empty(),
        ..MediaFacts::picture(kind, width, height)
    };
    Ok(Video { facts, places })
}

fn walk(mut boxes: &[u8], mut base: u64, depth: usize, found: &mut Found) -> Result<(), Unread> {
    const BROKEN: Unread = Unread::Broken("its index is damaged");
    while boxes.len() >= 8 {
        found.boxes += 1;
        if found.boxes > MOST_BOXES {
            return Err(Unread::Broken("its index has too many boxes"));
        }
        let before = boxes.len();
        // QuickTime ends some lists with four zeros.
        if boxes.starts_with(&[0; 4]) {
            return Ok(());
        }
        let header = Header::decode(&mut boxes).map_err(|_| BROKEN)?;
        let body = header.size.unwrap_or(boxes.len());
        if body > boxes.len() {
            return Err(BROKEN);
        }
        let start = base + (before - boxes.len()) as u64;
        let (mut content, rest) = boxes.split_at(body);
        let inside = content;
        match &<[u8; 4]>::from(header.kind) {
            b"mvhd" => found.mvhd = Mvhd::decode_atom(&header, &mut content).ok(),
            b"trak" if depth < DEEPEST => {
                found.tracks.push(Track::default());
                walk(inside, start, depth + 1, found)?;
            }
            b"mdia" | b"minf" | b"stbl" if depth < DEEPEST => {
                walk(inside, start, depth + 1, found)?;
            }
            b"tkhd" => {
                if let Some(track) = found.tracks.last_mut() {
                    track.tkhd = Tkhd::decode_atom(&header, &mut content).ok();
                }
            }
            // Within `minf` a second one tells of something else.
            b"hdlr" => {
                if let Some(track) = found.tracks.last_mut().filter(|t| t.handler.is_none()) {
                    track.handler =
                        Hdlr::decode_atom(&header, &mut content).ok().map(|h| h.handler);
                }
            }
            b"stsd" => {
                if let Some(track) = found.tracks.last_mut() {
                    track.coding = inside.get(12..16).map(printable);
                }
            }
            b"udta" | b"meta" => found.places.push(start..start + body as u64),
            _ => {}
        }
        base = start + body as u64;
        boxes = rest;
    }
    Ok(())
}

/// The name of a coding: four characters, but whose file is it?
fn printable(name: &[u8]) -> String {
    let safe = |c: &u8| if c.is_ascii_graphic() { char::from(*c) } else { '?' };
    name.iter().map(safe).collect::<String>()
}
