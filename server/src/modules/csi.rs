//! Client state indication (XEP-0352): announced here. A client's `<active/>` and `<inactive/>` are no
//! stanzas, so that they and what is held because of them are `c2s`'s.

use std::sync::Arc;

use xmpp_core::{Element, ns};

use crate::host::{HostBuilder, Module};

pub struct Csi;

impl Module for Csi {
    fn name(&self) -> &'static str {
        "csi"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.stream_feature(Element::new("csi", ns::CSI));
    }
}
