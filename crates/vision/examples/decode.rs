//! Decodes an image file and writes its samples, for comparison with other decoders: a line of
//! width, height, channels and bits, then the samples, 16 bits in little endian.

use std::io::Write;
use std::process::ExitCode;

use vision::{DecodeOptions, Format, Samples, decode};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: decode FILE");
        return ExitCode::from(2);
    };
    let image = std::fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| {
        let format = Format::sniff(&bytes).ok_or("no known format")?;
        decode(format, &bytes, &DecodeOptions::default()).map_err(|error| error.to_string())
    });
    let image = match image {
        Ok(image) => image,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (bits, bytes) = match image.samples() {
        Samples::Gray8(values) | Samples::Rgb8(values) => (8, values.clone()),
        Samples::Gray16(values) | Samples::Rgb16(values) => {
            (16, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    };
    let head = format!("{} {} {} {bits}\n", image.width(), image.height(), image.channels());
    let mut out = std::io::stdout().lock();
    match out.write_all(head.as_bytes()).and_then(|()| out.write_all(&bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
