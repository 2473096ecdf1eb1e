//! The chain by hand: each handler through the harness, the records carried over by the test.

use super::*;
use hacher::harness::{Call, Reply};

const RETINA: &[u8] = include_bytes!("../retina.jpg");
const SIZES: [(&str, u32); 3] = [("small", 160), ("medium", 480), ("large", 960)];

fn size(width: u32) -> Size {
    Size::new(width, thumbnail::DEFAULT_QUALITY).unwrap()
}

fn call_decode(body: &[u8]) -> Reply {
    Call::new().body(body).ports(&["out", "reject"]).run(decode)
}

fn thumbnails_by_hand(photo: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let decoded = call_decode(photo);
    let pixels = decoded.port("out").unwrap();
    assert_eq!(pixels.content_type(), Some(raster::CONTENT_TYPE));
    SIZES
        .into_iter()
        .map(|(name, width)| {
            let resized = Call::new()
                .input("decode", pixels.body())
                .run(resize(size(width)));
            let jpeg = resized.port("out").unwrap();
            assert_eq!(jpeg.content_type(), Some("image/jpeg"));
            (name, jpeg.body().to_vec())
        })
        .collect()
}

#[test]
fn the_chain_gives_the_same_zip_as_the_same_code_without_fabric() {
    let call = thumbnails_by_hand(RETINA)
        .iter()
        .fold(Call::new(), |call, (name, jpeg)| call.input(name, jpeg));
    let packed = call.run(pack);
    let zip = packed.port("out").unwrap();
    assert_eq!(zip.content_type(), Some("application/zip"));
    let sizes = SIZES.map(|(name, width)| (name, size(width)));
    assert!(zip.body() == without_fabric(RETINA, &sizes).unwrap());
}

#[test]
fn the_thumbnails_are_images_of_the_sizes_asked_for() {
    for ((_, jpeg), (_, width)) in thumbnails_by_hand(RETINA).iter().zip(SIZES) {
        let image = photo::decode(jpeg).unwrap();
        assert_eq!(
            (image.dimensions().width(), image.dimensions().height()),
            (width, width)
        );
    }
}

#[test]
fn a_thumbnail_looks_like_its_photograph() {
    let mean = |photo: &[u8]| {
        let raster = photo::decode(photo).unwrap();
        let sum: u64 = raster.rgb().iter().map(|byte| u64::from(*byte)).sum();
        sum / raster.rgb().len() as u64
    };
    for (_, jpeg) in thumbnails_by_hand(RETINA) {
        assert!(mean(&jpeg).abs_diff(mean(RETINA)) <= 1);
    }
}

#[test]
fn the_pixels_leave_as_a_stream_of_segments() {
    let decoded = call_decode(RETINA);
    let pixels = decoded.port("out").unwrap();
    assert_eq!(pixels.body().len(), 12 + 3 * 1411 * 1411);
    assert!(pixels.segments() > 50);
}

#[test]
fn what_is_no_photograph_leaves_by_the_port_reject_and_is_not_quoted() {
    let reply = call_decode(b"my secret diary");
    assert!(reply.port("out").is_none());
    let problem = reply.port("reject").unwrap();
    assert_eq!(problem.content_type(), Some("application/problem+json"));
    assert_eq!(
        core::str::from_utf8(problem.body()).unwrap(),
        "{\"type\":\"urn:problem-type:thumbnails:not-an-image\",\
         \"title\":\"the body is neither a JPEG nor a PNG image\"}\n"
    );
}

#[test]
fn pixels_that_are_none_fail_for_good() {
    for record in [
        &b"no pixels"[..],
        b"RGB8\x02\0\0\0\x02\0\0\0cut",
        b"RGB8\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let reply = Call::new().body(record).run(resize(size(160)));
        assert!(!reply.result().unwrap_err().is_transient());
    }
}
