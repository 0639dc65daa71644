# Shortcuts for the parts of `.ci/run`. `just` lists them.

program := "target/release/medserve"

_list:
    @just --list

# Everything that continuous integration runs
all:
    .ci/run

# A server over an invented region, on http://127.0.0.1:8080
demo:
    cargo run --release -- serve --demo

# Formatting and lints
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Licences and sources of the dependencies, versions of images, and which part may use which
deny:
    .ci/deny
    .ci/images
    .ci/boundaries

# The tests, or those whose name holds FILTER
test FILTER="":
    cargo test --locked {{FILTER}}

# Both programs as they are shipped
build:
    cargo build --release --locked

# The release program's answers: as a newcomer, on inputs that once went wrong, to official clients
answers: build
    .ci/smoke {{program}}
    .ci/cases {{program}}
    .ci/oip {{program}}
    .ci/fhir {{program}}
    .ci/dicom {{program}}
    .ci/hl7 {{program}}
    .ci/openapi {{program}}
    .ci/console {{program}}
    .ci/contract {{program}}

# The pictures of the console that the documents show
pictures: build
    .ci/console {{program}} docs/images

# The OpenAPI document, from the code
openapi:
    cargo run --release -- openapi > openapi/openapi.json

# The fuzz targets compile (to run them: fuzz/Cargo.toml)
fuzz-check:
    cd fuzz && RUSTFLAGS="--cfg fuzzing" cargo check
