//! The web that posts take their files from: a picture and a video.

use std::io::Cursor;

use async_trait::async_trait;
use postq::core::content::MediaRef;
use postq::core::failure::{Failure, FailureClass};
use postq::core::media::{MediaReader, MediaSource};

pub(crate) const PICTURE: &str = "https://files.example/cat.jpg";
pub(crate) const ANOTHER: &str = "https://files.example/dog.jpg";
pub(crate) const VIDEO: &str = "https://files.example/cat.mp4";

/// As a post names it.
pub(crate) fn file(source: &str) -> MediaRef {
    MediaRef { source: source.to_owned(), alt: None }
}

/// The web.
#[derive(Debug)]
pub(crate) struct Web;

#[async_trait]
impl MediaSource for Web {
    async fn open(&self, source: &str) -> Result<MediaReader, Failure> {
        let content = match source {
            PICTURE => picture([200, 120, 40]),
            ANOTHER => picture([40, 120, 200]),
            VIDEO => video(),
            other => {
                let message = format!("\"{other}\" is nothing that is read here");
                return Err(Failure::not_published(FailureClass::Content, message));
            }
        };
        Ok(Box::new(Cursor::new(content)))
    }
}

fn picture(color: [u8; 3]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let drawn = image::RgbImage::from_pixel(400, 400, image::Rgb(color));
    drawn.write_to(&mut out, image::ImageFormat::Jpeg).expect("an encoder");
    out.into_inner()
}

/// An MP4 of ten seconds: its index, and nothing to see.
fn video() -> Vec<u8> {
    let atom = |name: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len() + 8).expect("small").to_be_bytes();
        [&length[..], name, content].concat()
    };
    let mut mvhd = vec![0; 100];
    mvhd[12..16].copy_from_slice(&600_u32.to_be_bytes());
    mvhd[16..20].copy_from_slice(&6_000_u32.to_be_bytes());
    let mut tkhd = vec![0; 84];
    tkhd[3] = 3;
    tkhd[76..78].copy_from_slice(&640_u16.to_be_bytes());
    tkhd[80..82].copy_from_slice(&480_u16.to_be_bytes());
    let mut hdlr = vec![0; 25];
    hdlr[8..12].copy_from_slice(b"vide");
    let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &atom(b"avc1", &[0; 78])].concat();
    let minf = atom(b"minf", &atom(b"stbl", &atom(b"stsd", &stsd)));
    let mdia = atom(b"mdia", &[atom(b"hdlr", &hdlr), minf].concat());
    let trak = atom(b"trak", &[atom(b"tkhd", &tkhd), mdia].concat());
    let moov = atom(b"moov", &[atom(b"mvhd", &mvhd), trak].concat());
    [atom(b"ftyp", b"isom\0\0\0\0isom"), moov, atom(b"mdat", &[7; 10_000])].concat()
}
