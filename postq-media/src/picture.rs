//! Looking into pictures, and making others of them.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use img_parts::{Bytes, ImageEXIF, jpeg::Jpeg, png::Png, webp::WebP};
use postq_core::media::{KindLimits, MediaFacts, MediaKind};

/// The largest picture that is decoded: its pixels need four bytes each.
pub(crate) const MOST_PIXELS: u64 = 100_000_000;
const MOST_SIDE: u32 = 32_768;
/// What decoding may need besides.
const MOST_MEMORY: u64 = MOST_PIXELS * 4 + 64 * 1_024 * 1_024;
/// Tried one after the other until a picture is small enough.
const QUALITIES: [u8; 4] = [90, 80, 65, 50];
/// Halvings of a picture that is still too large in bytes.
const MOST_HALVINGS: usize = 4;
/// Pictures of an animation that are counted.
const MOST_FRAMES: u32 = 100_000;

/// What is wrong with a picture.
pub(crate) type Wrong = String;

/// What a picture is. Its header is looked at before its pixels are: a small file may tell of a giant picture.
pub(crate) fn look(content: &[u8], kind: MediaKind) -> Result<MediaFacts, Wrong> {
    ensure_size(content, kind)?;
    ensure_whole(content, kind)?;
    let reader = ImageReader::with_format(Cursor::new(content), format(kind)?);
    let mut decoder = limited(reader).into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    let located = located(&mut decoder, content, kind);
    let turned = is_turned(decoder.orientation().unwrap_or(Orientation::NoTransforms));
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let frames = (kind == MediaKind::Gif).then(|| gif_frames(content)).flatten();
    ensure_memory(&decoder)?;
    // Drawn once, and of an animation its first picture alone: what is damaged is told now and not by a platform.
    DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    Ok(MediaFacts { frames, located, ..MediaFacts::picture(kind, width, height) })
}

/// Whether it can be drawn within bounds, by its header alone.
fn ensure_size(content: &[u8], kind: MediaKind) -> Result<(), Wrong> {
    let reader = ImageReader::with_format(Cursor::new(content), format(kind)?);
    let (width, height) = reader.into_dimensions().map_err(|error| unreadable(&error))?;
    if width.max(height) > MOST_SIDE {
        return Err(format!("it is {width} x {height} pixels, at most {MOST_SIDE} on a side"));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("it is {width} x {height} pixels, at most {MOST_PIXELS} in all"));
    }
    Ok(())
}

/// Whether it fits into memory when it is drawn: a picture of 16 bits needs twice as much for each pixel.
fn ensure_memory(decoder: &impl ImageDecoder) -> Result<(), Wrong> {
    let (needs, most) = (decoder.total_bytes(), MOST_PIXELS * 4);
    if needs > most {
        return Err(format!("drawn it is {needs} bytes, at most {most}; fewer pixels are needed"));
    }
    Ok(())
}

/// Whether its end is there. Many a program draws what is cut off as far as it goes; platforms do not take it.
fn ensure_whole(content: &[u8], kind: MediaKind) -> Result<(), Wrong> {
    let is_whole = match kind {
        MediaKind::Jpeg => jpeg_ends(content),
        MediaKind::Png => png_ends(content),
        MediaKind::Gif => gif_frames(content).is_some(),
        MediaKind::Webp => webp_ends(content),
        _ => true,
    };
    match is_whole {
        true => Ok(()),
        false => Err(format!(
            "it is cut off or damaged: after {} bytes its end is missing",
            content.len()
        )),
    }
}

/// Segments up to the pixels, and behind those the end: in a thumbnail before them there is another one.
fn jpeg_ends(content: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let Some([0xff, marker, length @ ..]) = content.get(at..at + 4) else { return false };
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        match marker {
            0xff => at += 1,
            0xda => break,
            _ => at += 2 + length,
        }
    }
    content.get(at..).is_some_and(|rest| rest.windows(2).any(|pair| pair == [0xff, 0xd9]))
}

fn png_ends(content: &[u8]) -> bool {
    let mut at = 8;
    while let Some(head) = content.get(at..at + 8) {
        let length = head[..4].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        if &head[4..] == b"IEND" {
            return content.len() >= at + 12;
        }
        at = at.saturating_add(length).saturating_add(12);
    }
    false
}

fn webp_ends(content: &[u8]) -> bool {
    let length = content.get(4..8).map_or(usize::MAX, |length| {
        length.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    });
    length.saturating_add(8) <= content.len()
}

/// Makes what fits of a picture, if it does not: scaled down, converted, without its place.
pub(crate) fn fit(
    content: &[u8],
    facts: &MediaFacts,
    limits: &KindLimits,
    keep_place: bool,
) -> Result<Option<Vec<u8>>, Wrong> {
    let taken = limits.kinds.contains(&facts.kind);
    let scaled = limits.scaled(facts.width, facts.height);
    let small = content.len() as u64 <= limits.bytes;
    if taken && scaled.is_none() && small {
        if keep_place || !facts.located {
            return Ok(None);
        }
        if let Some(stripped) = without_place(content, facts.kind) {
            return Ok(Some(stripped));
        }
    }
    if facts.kind == MediaKind::Gif {
        return Ok(None); // Redrawing would end its movement: the limits tell what is wrong with it.
    }
    let mut picture = decode(content, facts.kind)?;
    if let Some((width, height)) = scaled {
        picture = picture.resize(width, height, image::imageops::FilterType::Lanczos3);
    }
    let png = limits.kinds.contains(&MediaKind::Png);
    encode(picture, png && facts.kind != MediaKind::Jpeg, limits.bytes).map(Some)
}

/// Draws it as people see it: turned as its camera was held.
fn decode(content: &[u8], kind: MediaKind) -> Result<DynamicImage, Wrong> {
    let reader = ImageReader::with_format(Cursor::new(content), format(kind)?);
    let mut decoder = limited(reader).into_decoder().map_err(|error| unreadable(&error))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    ensure_memory(&decoder)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// PNG where it is small enough and may show what is behind it, else JPEG.
fn encode(mut picture: DynamicImage, png: bool, most: u64) -> Result<Vec<u8>, Wrong> {
    for _ in 0..=MOST_HALVINGS {
        if png && picture.color().has_alpha() {
            let mut out = Cursor::new(Vec::new());
            picture.write_to(&mut out, ImageFormat::Png).map_err(|error| unreadable(&error))?;
            if out.get_ref().len() as u64 <= most {
                return Ok(out.into_inner());
            }
        }
        let flat = DynamicImage::from(picture.to_rgb8());
        for quality in QUALITIES {
            let mut out = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut out, quality);
            flat.write_with_encoder(encoder).map_err(|error| unreadable(&error))?;
            if out.len() as u64 <= most {
                return Ok(out);
            }
        }
        let (width, height) = ((flat.width() / 2).max(1), (flat.height() / 2).max(1));
        picture = picture.resize(width, height, image::imageops::FilterType::Triangle);
    }
    Err(format!("it cannot be made smaller than {most} bytes"))
}

/// The same file without what tells where it was taken: no pixel changes. None where that cannot be
/// done without drawing it anew.
fn without_place(content: &[u8], kind: MediaKind) -> Option<Vec<u8>> {
    let bytes = Bytes::copy_from_slice(content);
    let mut out = Vec::with_capacity(content.len());
    let written = match kind {
        MediaKind::Jpeg => {
            let mut jpeg = Jpeg::from_bytes(bytes).ok()?;
            if is_turned_at_all(content) {
                return None; // What tells how to turn it goes with the rest.
            }
            // Exif and XMP share this marker; both may tell a place.
            jpeg.remove_segments_by_marker(img_parts::jpeg::markers::APP1);
            jpeg.remove_segments_by_marker(img_parts::jpeg::markers::APP13);
            jpeg.encoder().write_to(&mut out)
        }
        MediaKind::Png => {
            let mut png = Png::from_bytes(bytes).ok()?;
            for chunk in [*b"eXIf", *b"iTXt", *b"tEXt", *b"zTXt"] {
                png.remove_chunks_by_type(chunk);
            }
            png.encoder().write_to(&mut out)
        }
        MediaKind::Webp => {
            let mut webp = WebP::from_bytes(bytes).ok()?;
            webp.set_exif(None);
            webp.remove_chunks_by_id(*b"XMP ");
            webp.encoder().write_to(&mut out)
        }
        _ => return None,
    };
    written.is_ok().then_some(out)
}

/// Whether it may tell where it was taken: Exif that names a place, or any XMP or text beside it.
fn located(decoder: &mut impl ImageDecoder, content: &[u8], kind: MediaKind) -> bool {
    let exif = decoder.exif_metadata().ok().flatten();
    let xmp = decoder.xmp_metadata().ok().flatten().is_some();
    let text = kind == MediaKind::Png && {
        let png = Png::from_bytes(Bytes::copy_from_slice(content));
        png.is_ok_and(|png| {
            png.chunks().iter().any(|c| matches!(&c.kind(), b"iTXt" | b"tEXt" | b"zTXt" | b"eXIf"))
        })
    };
    exif.is_some_and(|exif| names_place(&exif)) || xmp || text
}

/// Whether Exif has a block of places: its first list of tags has tag 0x8825. What cannot be read may.
fn names_place(exif: &[u8]) -> bool {
    let Some(order) = exif.get(..2) else { return false };
    let little = order == b"II";
    let short = |at: usize| -> Option<u16> {
        let bytes = exif.get(at..at + 2)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = exif.get(at..at + 4)?.try_into().ok()?;
        let long = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(long).ok()
    };
    let Some((first, count)) = long(4).and_then(|at| Some((at, short(at)?))) else { return true };
    (0..usize::from(count)).any(|n| short(first + 2 + n * 12).is_none_or(|tag| tag == 0x8825))
}

fn is_turned_at_all(content: &[u8]) -> bool {
    let reader = ImageReader::with_format(Cursor::new(content), ImageFormat::Jpeg);
    let decoder = limited(reader).into_decoder();
    decoder.is_ok_and(|mut it| it.orientation().is_ok_and(|o| o != Orientation::NoTransforms))
}

fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Counts the pictures of a GIF by its blocks, without drawing any; none if its end is missing.
fn gif_frames(content: &[u8]) -> Option<u32> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3usize << ((flags & 7) + 1) };
    let mut at = 13 + colours(*content.get(10)?);
    let mut frames = 0;
    let blocks = |mut at: usize| -> Option<usize> {
        loop {
            let length = usize::from(*content.get(at)?);
            at += 1 + length;
            if length == 0 {
                return Some(at);
            }
        }
    };
    loop {
        match content.get(at)? {
            0x21 => at = blocks(at + 2)?,
            0x2c => {
                frames += 1;
                at = blocks(at + 11 + colours(*content.get(at + 9)?))?;
            }
            0x3b => return Some(frames),
            _ => return None,
        }
        if frames >= MOST_FRAMES {
            return Some(frames);
        }
    }
}

fn limited(mut reader: ImageReader<Cursor<&[u8]>>) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    reader
}

fn format(kind: MediaKind) -> Result<ImageFormat, Wrong> {
    match kind {
        MediaKind::Jpeg => Ok(ImageFormat::Jpeg),
        MediaKind::Png => Ok(ImageFormat::Png),
        MediaKind::Gif => Ok(ImageFormat::Gif),
        MediaKind::Webp => Ok(ImageFormat::WebP),
        other => Err(format!("{other} is no picture")),
    }
}

fn unreadable(error: &image::ImageError) -> Wrong {
    format!("it cannot be read: {error}")
}
