//! A program on bollard: lists containers and inspects one, as a program of its users would.
//!
//! `consumer-bollard SOCKET CONTAINER`

use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), bollard::errors::Error> {
    let [socket, container] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().expect("SOCKET CONTAINER");
    let docker = Docker::connect_with_unix(&socket, 30, API_DEFAULT_VERSION)?.negotiate_version().await?;
    let listed = docker.list_containers(None::<ListContainersOptions>).await?;
    let mut names: Vec<String> = listed.into_iter().flat_map(|one| one.names.unwrap_or_default()).collect();
    names.sort();
    println!("{}", names.join(" "));
    let inspected = docker.inspect_container(&container, None::<InspectContainerOptions>).await?;
    println!("{}", inspected.name.unwrap_or_default());
    Ok(())
}
