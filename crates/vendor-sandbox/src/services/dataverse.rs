//! Dataverse's Web API (OData V4): rows of any table, by id or alternate key, upserts, conditions, actions
//! on several rows and the `$batch` of JSON.

mod call;
mod error;
mod reads;
mod several;
mod table;

use std::collections::BTreeSet;

use self::{
    call::{AlternateKey, Call},
    error::no_such_place,
};
use crate::{
    asked::Asked,
    records::Records,
    service::{At, Said, Service},
};

/// The service. Columns by which a row was asked for are an alternate key of its table from then on.
#[derive(Debug, Default)]
pub(super) struct Dataverse {
    keys: BTreeSet<AlternateKey>,
}

impl Service for Dataverse {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let is_its = asked.path.len() > 2 && asked.path[..2] == ["api", "data"];
        let Some((service, path)) = is_its.then(|| asked.path.split_at(3)) else {
            return no_such_place();
        };
        let root = format!("{}/{}", at.base_url, service.join("/"));
        Call { asked, path, root: &root }.answer(&mut self.keys, records)
    }
}
