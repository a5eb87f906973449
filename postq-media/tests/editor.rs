//! What files are, and what is made of them.

use std::io::Cursor;
use std::time::Duration;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use img_parts::{Bytes, ImageEXIF, jpeg::Jpeg};
use postq_core::failure::FailureClass;
use postq_core::media::{
    Fit, KindLimits, MediaEditor, MediaFacts, MediaId, MediaKind, MediaLimits, MediaStore, whole,
};
use postq_core::memory::MemoryMedia;
use postq_media::{Editor, EditorSettings};

const MB: u64 = 1_024 * 1_024;

fn limits(side: Option<u32>, bytes: u64) -> MediaLimits {
    let image = KindLimits {
        width: side,
        height: side,
        ..KindLimits::new([MediaKind::Jpeg, MediaKind::Png], bytes)
    };
    MediaLimits {
        image: Some(image),
        animation: Some(KindLimits::new([MediaKind::Gif], bytes)),
        video: Some(KindLimits::new([MediaKind::Mp4], bytes)),
        most: 4,
        mixed: false,
        alt: 100,
    }
}

async fn keep(store: &MemoryMedia, content: Vec<u8>) -> MediaId {
    store.put(Box::new(Cursor::new(content)), 100 * MB).await.expect("put").id
}

fn editor() -> Editor {
    Editor::new(EditorSettings::default())
}

fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let n =
            x.wrapping_mul(2_654_435_761).wrapping_add(y.wrapping_mul(40_503)).rotate_left(x % 31);
        Rgb([n as u8, (n >> 8) as u8, (n >> 16) as u8])
    })
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).expect("an encoder");
    out.into_inner()
}

/// Exif of little-endian order with an orientation and, perhaps, a block of places.
fn exif(orientation: u16, place: bool) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0".to_vec();
    let mut tags = vec![(0x0112_u16, 3_u16, u32::from(orientation))];
    if place {
        tags.push((0x8825, 4, 40));
    }
    exif.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        exif.extend(tag.to_le_bytes());
        exif.extend(kind.to_le_bytes());
        exif.extend(1_u32.to_le_bytes());
        exif.extend(value.to_le_bytes());
    }
    exif.extend([0; 4]);
    exif.extend(b"\0\0\0\0GPS-52.5-13.4");
    exif
}

fn jpeg_with(picture: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
    let plain = written(&DynamicImage::from(picture.clone()), ImageFormat::Jpeg);
    let mut jpeg = Jpeg::from_bytes(Bytes::from(plain)).expect("a JPEG");
    jpeg.set_exif(Some(Bytes::from(exif)));
    let mut out = Vec::new();
    jpeg.encoder().write_to(&mut out).expect("written");
    out
}

async fn made(store: &MemoryMedia, fit: Fit) -> (Vec<u8>, MediaFacts) {
    match fit {
        Fit::Made(id, bytes, facts) => {
            let content = whole(store, id, None, 100 * MB).await.expect("kept");
            assert_eq!(content.len() as u64, bytes);
            (content, facts)
        }
        Fit::AsItIs => panic!("it was left as it is"),
    }
}

#[tokio::test]
async fn pictures_are_told_by_their_content() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let picture = DynamicImage::from(noise(40, 30));
    for (format, kind) in [
        (ImageFormat::Jpeg, MediaKind::Jpeg),
        (ImageFormat::Png, MediaKind::Png),
        (ImageFormat::WebP, MediaKind::Webp),
    ] {
        let id = keep(&store, written(&picture, format)).await;
        let facts = editor.inspect(&store, id).await.expect("facts");
        assert_eq!(facts, MediaFacts::picture(kind, 40, 30));
    }
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new(&mut gif);
    for shade in [0, 100, 200] {
        let frame = RgbaImage::from_pixel(8, 9, Rgba([shade, 0, 0, 255]));
        encoder.encode_frame(image::Frame::new(frame)).expect("a frame");
    }
    drop(encoder);
    let id = keep(&store, gif).await;
    let facts = editor.inspect(&store, id).await.expect("facts");
    assert_eq!((facts.kind, facts.width, facts.frames), (MediaKind::Gif, 8, Some(3)));
}

#[tokio::test]
async fn what_is_no_picture_is_refused_with_its_reason() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let mut cut = written(&DynamicImage::from(noise(40, 30)), ImageFormat::Png);
    cut.truncate(20);
    // A header that promises far more than there is.
    let promising = |width: u32, height: u32| {
        let mut bomb = written(&DynamicImage::from(noise(4, 4)), ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[width.to_be_bytes(), height.to_be_bytes()].concat());
        let crc = crc32(&bomb[12..29]).to_be_bytes();
        bomb[29..33].copy_from_slice(&crc);
        bomb
    };
    let deep = |width: u32, height: u32| {
        let mut bomb = promising(width, height);
        bomb[24] = 16;
        let crc = crc32(&bomb[12..29]).to_be_bytes();
        bomb[29..33].copy_from_slice(&crc);
        bomb
    };
    let without = |format, bytes| {
        let mut cut = written(&DynamicImage::from(noise(40, 30)), format);
        cut.truncate(cut.len() - bytes);
        cut
    };
    let mut damaged = written(&DynamicImage::from(noise(200, 200)), ImageFormat::Png);
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(7);
    let mut video_cut = video_with_its_index_first();
    video_cut.truncate(video_cut.len() - 1);
    for (content, problem) in [
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "is text (SVG, HTML or XML); expected jpeg",
        ),
        (Vec::new(), "of no known type"),
        (cut, "cannot be read"),
        (promising(60_000, 60_000), "60000 x 60000 pixels, at most 32768 on a side"),
        (promising(30_000, 30_000), "30000 x 30000 pixels, at most 100000000 in all"),
        (deep(9_000, 9_000), "drawn it is 486000000 bytes, at most 400000000"),
        (without(ImageFormat::Png, 5), "its end is missing"),
        (without(ImageFormat::Jpeg, 2), "its end is missing"),
        (without(ImageFormat::Jpeg, 500), "its end is missing"),
        (without(ImageFormat::WebP, 1), "its end is missing"),
        (without(ImageFormat::Gif, 1), "its end is missing"),
        (damaged, "cannot be read"),
        (b"GIF89a/*<script>alert(1)</script>*/=1;".to_vec(), "10799 x 29500 pixels"),
        (b"GIF89a\x09\0\x09\0<script>alert(1)</script>;".to_vec(), "its end is missing"),
        (b"\xff\xd8\xff<html><script>alert(1)</script>".to_vec(), "cannot be read"),
        (b"\n <!doctype html><img src=x>".to_vec(), "is text (SVG, HTML or XML)"),
        (video_cut, "longer than the file"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2".to_vec(), "no index (moov)"),
        (b"\0\0\0\x08ftypisom\xff\xff\xff\xffmdat".to_vec(), "longer than the file"),
    ] {
        let id = keep(&store, content).await;
        let failure = editor.inspect(&store, id).await.expect_err(problem);
        assert_eq!(failure.class, FailureClass::Content);
        assert!(failure.message.contains(problem), "{}", failure.message);
    }
}

/// The checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[tokio::test]
async fn what_fits_is_left_as_it_is() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let id = keep(&store, jpeg_with(&noise(40, 30), exif(1, false))).await;
    let facts = editor.inspect(&store, id).await.expect("facts");

    let fit = editor.fit(&store, id, &facts, &limits(Some(100), MB)).await.expect("fit");

    assert_eq!(fit, Fit::AsItIs);
}

#[tokio::test]
async fn a_place_is_taken_out_and_no_pixel_changes() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let original = jpeg_with(&noise(40, 30), exif(1, true));
    let id = keep(&store, original.clone()).await;
    let facts = editor.inspect(&store, id).await.expect("facts");
    assert!(facts.located);

    let fit = editor.fit(&store, id, &facts, &limits(None, MB)).await.expect("fit");

    let (content, facts) = made(&store, fit).await;
    assert!(!facts.located && !content.windows(3).any(|bytes| bytes == b"GPS"));
    let pixels = |content: &[u8]| image::load_from_memory(content).expect("a picture").to_rgb8();
    assert!(pixels(&content) == pixels(&original));
    assert!(whole(&store, id, None, MB).await.expect("the original") == original);

    let keeping = Editor::new(EditorSettings { keep_place: true, ..EditorSettings::default() });
    let facts = keeping.inspect(&store, id).await.expect("facts");
    let fit = keeping.fit(&store, id, &facts, &limits(None, MB)).await.expect("fit");
    assert_eq!(fit, Fit::AsItIs);
}

#[tokio::test]
async fn a_picture_that_was_to_be_turned_stays_upright() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let mut picture = RgbImage::from_pixel(64, 32, Rgb([0, 0, 255]));
    for y in 0..32 {
        for x in 0..16 {
            picture.put_pixel(x, y, Rgb([255, 0, 0])); // red on the left: on top when turned right
        }
    }
    let id = keep(&store, jpeg_with(&picture, exif(6, true))).await;
    let facts = editor.inspect(&store, id).await.expect("facts");
    assert_eq!((facts.width, facts.height), (32, 64), "as people see it");

    let fit = editor.fit(&store, id, &facts, &limits(None, MB)).await.expect("fit");

    let (content, facts) = made(&store, fit).await;
    assert_eq!((facts.width, facts.height), (32, 64));
    let shown = image::load_from_memory(&content).expect("a picture").to_rgb8();
    assert!(shown.get_pixel(16, 4).0[0] > 200, "red on top: {:?}", shown.get_pixel(16, 4));
    assert!(shown.get_pixel(16, 50).0[2] > 200, "blue below");
}

#[tokio::test]
async fn what_is_too_large_is_scaled_down_and_converted() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let large = written(&DynamicImage::from(noise(900, 600)), ImageFormat::Png);
    let webp = written(&DynamicImage::from(noise(90, 60)), ImageFormat::WebP);
    let clear = DynamicImage::from(RgbaImage::from_pixel(300, 300, Rgba([9, 9, 9, 100])));

    let fitted = async |content: Vec<u8>, limits: MediaLimits| {
        let id = keep(&store, content).await;
        let facts = editor.inspect(&store, id).await.expect("facts");
        let fit = editor.fit(&store, id, &facts, &limits).await.expect("fit");
        made(&store, fit).await
    };
    let (_, scaled) = fitted(large.clone(), limits(Some(300), MB)).await;
    assert_eq!((scaled.width, scaled.height), (300, 200));
    let (small, _) = fitted(large, limits(None, 60_000)).await;
    assert!(small.len() <= 60_000, "{} bytes", small.len());
    let (_, converted) = fitted(webp, limits(None, MB)).await;
    assert_eq!((converted.kind, converted.width), (MediaKind::Jpeg, 90));
    let clear = written(&clear, ImageFormat::WebP);
    let (_, converted) = fitted(clear, limits(None, MB)).await;
    assert_eq!(converted.kind, MediaKind::Png, "what is behind it still shows");
}

fn atom(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut atom = u32::try_from(content.len() + 8).expect("small").to_be_bytes().to_vec();
    atom.extend(name);
    atom.extend(content);
    atom
}

fn track(
    handler: &[u8; 4],
    coding: &[u8; 4],
    (width, height): (u16, u16),
    turned: bool,
) -> Vec<u8> {
    let mut tkhd = vec![0; 84];
    tkhd[3] = 3;
    tkhd[15] = 1;
    let one = 0x0001_0000_u32.to_be_bytes();
    let minus = (-0x0001_0000_i32).to_be_bytes();
    let matrix: [[u8; 4]; 9] = match turned {
        false => [one, [0; 4], [0; 4], [0; 4], one, [0; 4], [0; 4], [0; 4], [0x40, 0, 0, 0]],
        true => [[0; 4], one, [0; 4], minus, [0; 4], [0; 4], [0; 4], [0; 4], [0x40, 0, 0, 0]],
    };
    tkhd[40..76].copy_from_slice(&matrix.concat());
    tkhd[76..78].copy_from_slice(&width.to_be_bytes());
    tkhd[80..82].copy_from_slice(&height.to_be_bytes());
    let mut hdlr = vec![0; 24];
    hdlr[8..12].copy_from_slice(handler);
    hdlr.push(0);
    let mut stsd = vec![0, 0, 0, 0, 0, 0, 0, 1];
    stsd.extend(atom(coding, &[0; 78]));
    let stbl = atom(b"stbl", &atom(b"stsd", &stsd));
    let mdia = [atom(b"hdlr", &hdlr), atom(b"minf", &stbl)].concat();
    atom(b"trak", &[atom(b"tkhd", &tkhd), atom(b"mdia", &mdia)].concat())
}

/// A video of 12.5 s, with its index behind its pictures as cameras write it.
fn video(brand: &[u8; 4], turned: bool) -> Vec<u8> {
    boxes(brand, turned).concat()
}

/// The same as it is made for the web.
fn video_with_its_index_first() -> Vec<u8> {
    let [kind, pictures, index] = boxes(b"isom", false);
    [kind, index, pictures].concat()
}

fn boxes(brand: &[u8; 4], turned: bool) -> [Vec<u8>; 3] {
    let mut mvhd = vec![0; 100];
    mvhd[12..16].copy_from_slice(&600_u32.to_be_bytes());
    mvhd[16..20].copy_from_slice(&7_500_u32.to_be_bytes());
    let place = atom(b"udta", &atom(b"\xa9xyz", b"\0\x12\x15\xc7+52.5200+013.4050/"));
    let index = [
        atom(b"mvhd", &mvhd),
        track(b"vide", b"avc1", (1_920, 1_080), turned),
        track(b"soun", b"mp4a", (0, 0), false),
        place,
    ];
    let pictures = vec![42; 100_000];
    [
        atom(b"ftyp", &[&brand[..], b"\0\0\0\0isom"].concat()),
        atom(b"mdat", &pictures),
        atom(b"moov", &index.concat()),
    ]
}

#[tokio::test]
async fn a_videos_index_tells_what_it_is() {
    let (store, editor) = (MemoryMedia::default(), editor());
    for (brand, kind) in [(b"isom", MediaKind::Mp4), (b"qt  ", MediaKind::Quicktime)] {
        let id = keep(&store, video(brand, false)).await;
        let facts = editor.inspect(&store, id).await.expect("facts");
        let expected = MediaFacts {
            duration: Some(Duration::from_millis(12_500)),
            video: Some("avc1".to_owned()),
            audio: Some("mp4a".to_owned()),
            located: true,
            ..MediaFacts::picture(kind, 1_920, 1_080)
        };
        assert_eq!(facts, expected);
    }
    let id = keep(&store, video(b"isom", true)).await;
    let facts = editor.inspect(&store, id).await.expect("facts");
    assert_eq!((facts.width, facts.height), (1_080, 1_920), "held upright");
}

#[tokio::test]
async fn a_videos_place_is_blanked_and_nothing_else_changes() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let mut original = video_with_its_index_first();
    let xmp = b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac+52.5200";
    original.extend(atom(b"uuid", xmp));
    let id = keep(&store, original.clone()).await;
    let facts = editor.inspect(&store, id).await.expect("facts");

    let fit = editor.fit(&store, id, &facts, &limits(None, MB)).await.expect("fit");

    let (content, _) = made(&store, fit).await;
    assert_eq!(content.len(), original.len());
    assert!(!content.windows(6).any(|bytes| bytes == b"+52.52"));
    let changed = content.iter().zip(&original).filter(|(one, other)| one != other).count();
    assert!(changed < 40, "{changed} bytes changed");
    let again = editor.inspect(&store, keep(&store, content).await).await.expect("still a video");
    assert_eq!(again.duration, facts.duration);
}

#[tokio::test]
async fn damaged_videos_end_in_an_error_and_never_in_a_panic() {
    let (store, editor) = (MemoryMedia::default(), editor());
    let good = video(b"isom", false);
    for at in (100_000..good.len()).step_by(7) {
        for value in [0, 1, 255] {
            let mut bad = good.clone();
            bad[at] = value;
            let id = keep(&store, bad).await;
            drop(editor.inspect(&store, id).await);
            store.remove(id).await.map(drop).expect("remove");
        }
    }
}
