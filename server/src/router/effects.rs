//! What a change of a roster sets off. (Presence modules fill it in.)

use std::sync::Arc;
impl super::Router { pub async fn apply_effects(self: &Arc<Self>, _e: Vec<crate::storage::subscription::Effect>) {} }
