//! What no crate can test alone, in folders by what the tests run on:
//!
//! | Folder | Runs on | Takes |
//! |---|---|---|
//! | `local_aws` | the real binaries and the real template on a local AWS server | seconds to minutes a test |
//! | `one_worker` | one real worker on the simulated AWS; its messages are delivered by hand | milliseconds |
//! | `simulated_cloud` | enqueuer, queues and a fleet of workers on the simulated AWS | about a second |
//! | `architecture` | the repository's own files | milliseconds |
//!
//! One binary, so that the AWS SDK is linked once.

mod architecture;
mod local_aws;
mod one_worker;
mod simulated_cloud;
