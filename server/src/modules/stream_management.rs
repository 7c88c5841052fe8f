//! Stream management (XEP-0198): announced here. Its elements are no stanzas, so that all the rest of
//! it is `xmpp-core`'s and `c2s`'s.

use std::sync::Arc;

use xmpp_core::{Element, ns};

use crate::host::{HostBuilder, Module};

pub struct StreamManagement;

impl Module for StreamManagement {
    fn name(&self) -> &'static str {
        "stream management"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.stream_feature(Element::new("sm", ns::SM));
    }
}
