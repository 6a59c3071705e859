//! The reflection service: what the server offers, for clients such as grpcurl that have no `.proto` files.
//!
//! An opt-in: it tells strangers what there is.

use std::io;

use tonic::service::Routes;
use tonic_reflection::server::Builder;

/// Every message and service of this frontend, as the build compiled them.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Adds the service in both of its versions; clients still ask for the older one.
///
/// # Errors
/// The descriptors cannot be read, which is a fault of the build.
pub(crate) fn add_reflection(routes: Routes) -> io::Result<Routes> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().map_err(io::Error::other)?;
    let v1alpha = builder().build_v1alpha().map_err(io::Error::other)?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}
