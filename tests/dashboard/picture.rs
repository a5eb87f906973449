//! A small picture, made here: no file of somebody else's.

const WIDTH: u32 = 320;
const HEIGHT: u32 = 200;

/// A PNG of 320 x 200 pixels that begins with this colour and fades.
pub(crate) fn picture(colour: [u8; 3]) -> Vec<u8> {
    let mut raw = Vec::new();
    for y in 0..HEIGHT {
        raw.push(0);
        for x in 0..WIDTH {
            let shade =
                |channel: u8, by: u32| channel.wrapping_add(u8::try_from(by / 4).unwrap_or(0));
            raw.extend([shade(colour[0], x), shade(colour[1], y), colour[2]]);
        }
    }
    let mut head = Vec::new();
    head.extend(WIDTH.to_be_bytes());
    head.extend(HEIGHT.to_be_bytes());
    head.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", head), (b"IDAT", stored(&raw)), (b"IEND", Vec::new())] {
        png.extend(u32::try_from(data.len()).expect("it is small").to_be_bytes());
        let from = png.len();
        png.extend(kind);
        png.extend(data);
        let sum = crc(&png[from..]);
        png.extend(sum.to_be_bytes());
    }
    png
}

/// As zlib has it, and nothing made smaller.
fn stored(raw: &[u8]) -> Vec<u8> {
    const MOST: usize = 65_535;
    let mut out = vec![0x78, 0x01];
    let blocks = raw.chunks(MOST);
    let last = blocks.len() - 1;
    for (n, block) in blocks.enumerate() {
        let size = u16::try_from(block.len()).expect("no more than that");
        out.push(u8::from(n == last));
        out.extend(size.to_le_bytes());
        out.extend((!size).to_le_bytes());
        out.extend(block);
    }
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
        })
    })
}
