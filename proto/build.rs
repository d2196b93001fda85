//! Compiles the `.proto` files in pure Rust, so that no `protoc` has to be on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=landfall");
    let descriptors =
        protox::compile(["landfall/v1/envelope.proto", "landfall/v1/event.proto"], ["."])?;
    prost_build::Config::new()
        .btree_map(["."])
        .bytes([".landfall.v1.Envelope.inline"])
        .compile_fds(descriptors)?;
    Ok(())
}
