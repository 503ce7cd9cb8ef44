//! The image of a process that comes home, as it arrives in parts.

use image::Image;
use image::schema::{IMAGE_BYTES_MAX, PAGES_BYTES_MAX};

/// Most bytes for which room is made beforehand.
const RESERVED_BYTES_MAX: u64 = 1 << 30;

/// What has arrived so far.
#[derive(Default)]
pub(crate) struct Coming {
    /// Lengths that were announced: of the image, of its pages; in bytes.
    lengths: Option<[u64; 2]>,
    encoded: Vec<u8>,
    pages: Vec<u8>,
}

impl Coming {
    /// One more part. Returns image and pages with the last one; then another
    /// process may come.
    ///
    /// # Errors
    /// What is wrong with it: the lane is to be closed.
    pub(crate) fn add(&mut self, part: &[u8]) -> Result<Option<(Image, Vec<u8>)>, &'static str> {
        let Some([image_bytes, page_bytes]) = self.lengths else {
            let ([image_bytes, page_bytes], []) = part.as_chunks::<8>() else {
                return Err("an image without its lengths");
            };
            let lengths = [image_bytes, page_bytes].map(|bytes| u64::from_le_bytes(*bytes));
            if lengths[0] > IMAGE_BYTES_MAX as u64 || lengths[1] > PAGES_BYTES_MAX {
                return Err("an image larger than allowed");
            }
            self.lengths = Some(lengths);
            // Only address space, until it is filled.
            self.pages
                .reserve(lengths[1].min(RESERVED_BYTES_MAX) as usize);
            return Ok(None);
        };
        let missing = (image_bytes - self.encoded.len() as u64) as usize;
        let (image_part, page_part) = part.split_at(part.len().min(missing));
        self.encoded.extend_from_slice(image_part);
        self.pages.extend_from_slice(page_part);
        let got = self.pages.len() as u64;
        if part.is_empty() || got > page_bytes {
            return Err("an image of another length than announced");
        }
        if (self.encoded.len() as u64) < image_bytes || got < page_bytes {
            return Ok(None);
        }
        let Coming { encoded, pages, .. } = std::mem::take(self);
        let image = Image::decode(&encoded).map_err(|_| "a malformed image")?;
        if image.page_bytes() != page_bytes {
            return Err("an image with other pages than announced");
        }
        Ok(Some((image, pages)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(image: u64, pages: u64) -> Vec<u8> {
        [image, pages].map(u64::to_le_bytes).as_flattened().to_vec()
    }

    #[test]
    fn nonsense_is_refused() {
        let add = |parts: &[&[u8]]| {
            let mut coming = Coming::default();
            let results: Vec<_> = parts.iter().map(|part| coming.add(part).is_ok()).collect();
            results
        };
        assert_eq!(add(&[b""]), [false]);
        assert_eq!(add(&[b"short"]), [false]);
        assert_eq!(add(&[&lengths(u64::MAX, 0)]), [false]);
        assert_eq!(add(&[&lengths(1, u64::MAX)]), [false]);
        assert_eq!(add(&[&lengths(4, 0), b""]), [true, false]);
        assert_eq!(add(&[&lengths(4, 0), b"ab", b"cde"]), [true, true, false]);
        assert_eq!(add(&[&lengths(4, 0), b"abcd"]), [true, false]);
    }
}
