//! Pictures in files: SVG as it is, and PNG drawn from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use epaint_default_fonts::UBUNTU_LIGHT;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels of a PNG for each of the SVG's: letters are small.
const ZOOM: f32 = 2.0;

/// The path of a picture, for command lines.
///
/// # Errors
/// A name that ends with neither `.svg` nor `.png`.
pub fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match is_svg(&path) || is_png(&path) {
        true => Ok(path),
        false => Err("expected a name that ends with .svg or .png".into()),
    }
}

/// The bytes of a file of that name with the picture `svg`: PNG if it ends with `.png`, else SVG.
///
/// # Errors
/// An SVG that can't be drawn: pictures of this crate can, unless they are too large for memory.
pub fn bytes(path: &Path, svg: &str) -> Result<Vec<u8>, String> {
    if is_png(path) {
        png(svg)
    } else {
        Ok(svg.as_bytes().to_vec())
    }
}

fn is_svg(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("svg"))
}

fn is_png(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("png"))
}

/// The picture in pixels. The letters are Ubuntu's, so that pictures are the same on every machine.
fn png(svg: &str) -> Result<Vec<u8>, String> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(UBUNTU_LIGHT.to_vec());
    let family = fonts.faces().next().and_then(|face| face.families.first());
    if let Some((family, _)) = family.cloned() {
        fonts.set_sans_serif_family(family);
    }
    let options = Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (side * ZOOM).ceil() as u32);
    let mut pixels =
        Pixmap::new(width, height).ok_or_else(|| format!("no picture of {width} x {height} pixels"))?;
    resvg::render(&tree, Transform::from_scale(ZOOM, ZOOM), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Mark, Panel, Series, svg};

    fn drawn(label: &str) -> Pixmap {
        let mark = Mark {
            label: label.into(),
            ..Mark::at(1.0, 2.0)
        };
        let panel = Panel {
            title: "title".into(),
            x: Axis::linear("bytes"),
            y: Axis::linear("recall"),
            series: vec![Series {
                name: "series".into(),
                marks: vec![mark, Mark::at(3.0, 4.0)],
                line: true,
                colour: 1,
            }],
        };
        Pixmap::decode_png(&bytes(Path::new("a.PNG"), &svg(&[panel])).unwrap()).unwrap()
    }

    #[test]
    fn a_png_has_the_marks_and_the_letters() {
        let (with, without) = (drawn("rabitq:4"), drawn(""));
        assert_eq!((with.width(), with.height()), (2 * 760, 2 * 520));
        let inked = |picture: &Pixmap, colour: [u8; 3]| {
            let same = |pixel: &&[u8]| pixel[..3] == colour;
            picture.data().chunks_exact(4).filter(same).count()
        };
        // Marks of eight pixels across, twice as many in the PNG; and one in the legend.
        let mark = [213, 94, 0];
        assert!(inked(&without, mark) > 3 * 150);
        assert!(inked(&with, [255; 3]) + 200 < inked(&without, [255; 3]));
    }

    #[test]
    fn the_name_says_what_is_written() {
        assert_eq!(bytes(Path::new("a.svg"), "<svg/>").unwrap(), b"<svg/>");
        assert!(bytes(Path::new("a.png"), "no picture").is_err());
        assert_eq!(path("a/b.Svg").unwrap(), Path::new("a/b.Svg"));
        for wrong in ["a", "a.pdf", "png", ".png"] {
            assert!(path(wrong).unwrap_err().contains(".svg or .png"));
        }
    }
}
