//! What the modules added up to: the host's hooks in their order, its features, its answers.

use std::collections::HashMap;
use std::sync::Arc;

use xmpp_core::Element;

use crate::router::hooks::{AnswerIq, OnAbsent, OnArrived, OnDelivered, OnSent, OnSession};

/// Who may ask for a namespace, and whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A served domain is asked.
    Server,
    /// An account is asked, its own client's IQs without `to` included.
    Account,
    Both,
}

/// A module lists here everything that it adds, in one `install` function.
#[derive(Default)]
pub struct HostBuilder {
    host: Host,
    /// The module being installed, for messages and for the table of legs.
    module: &'static str,
    errors: Vec<String>,
}

#[derive(Default)]
pub struct Host {
    pub sent: Vec<(&'static str, Arc<dyn OnSent>)>,
    pub arrived: Vec<(&'static str, Arc<dyn OnArrived>)>,
    pub delivered: Vec<(&'static str, Arc<dyn OnDelivered>)>,
    pub absent: Vec<(&'static str, Arc<dyn OnAbsent>)>,
    pub session: Vec<(&'static str, Arc<dyn OnSession>)>,
    /// By namespace of the query.
    pub server_iq: HashMap<&'static str, (&'static str, Arc<dyn AnswerIq>)>,
    pub account_iq: HashMap<&'static str, (&'static str, Arc<dyn AnswerIq>)>,
    /// `var` of each disco feature of the domain, and of an account.
    pub server_features: Vec<&'static str>,
    pub account_features: Vec<&'static str>,
    /// Disco extensions of the domain (XEP-0128), each an `x` of `jabber:x:data`.
    pub server_forms: Vec<Element>,
    /// What the stream announces behind authentication.
    pub stream_features: Vec<Element>,
}

/// Something that installs itself into the host.
pub trait Module: Send + Sync {
    /// As in the list of modules, and in the table of legs.
    fn name(&self) -> &'static str;
    fn install(self: Arc<Self>, host: &mut HostBuilder);
}

impl HostBuilder {
    pub fn add(&mut self, module: Arc<dyn Module>) -> &mut HostBuilder {
        self.module = module.name();
        module.install(self);
        self
    }

    /// Adds a module that the configuration can leave out.
    pub fn add_if(&mut self, wanted: bool, module: impl FnOnce() -> Arc<dyn Module>) -> &mut HostBuilder {
        if wanted { self.add(module()) } else { self }
    }

    pub fn on_sent(&mut self, hook: Arc<dyn OnSent>) {
        self.host.sent.push((self.module, hook));
    }

    pub fn on_arrived(&mut self, hook: Arc<dyn OnArrived>) {
        self.host.arrived.push((self.module, hook));
    }

    pub fn on_delivered(&mut self, hook: Arc<dyn OnDelivered>) {
        self.host.delivered.push((self.module, hook));
    }

    pub fn on_absent(&mut self, hook: Arc<dyn OnAbsent>) {
        self.host.absent.push((self.module, hook));
    }

    pub fn on_session(&mut self, hook: Arc<dyn OnSession>) {
        self.host.session.push((self.module, hook));
    }

    /// Two modules that claim one namespace are an error at start-up.
    pub fn answer_iq(&mut self, ns: &'static str, scope: Scope, hook: Arc<dyn AnswerIq>) {
        let Host { server_iq, account_iq, .. } = &mut self.host;
        for (asked, table) in [(Scope::Server, server_iq), (Scope::Account, account_iq)] {
            if scope != asked && scope != Scope::Both {
                continue;
            }
            if let Some((other, _)) = table.insert(ns, (self.module, hook.clone())) {
                self.errors.push(format!("the modules {other} and {} both answer {ns}", self.module));
            }
        }
    }

    /// A disco feature of the domain, of each account, or of both (behaviour 141: clients look for
    /// some of them at the domain and for some at the own bare address).
    pub fn feature(&mut self, var: &'static str, scope: Scope) {
        if scope != Scope::Account {
            self.host.server_features.push(var);
        }
        if scope != Scope::Server {
            self.host.account_features.push(var);
        }
    }

    pub fn server_form(&mut self, form: Element) {
        self.host.server_forms.push(form);
    }

    pub fn stream_feature(&mut self, feature: Element) {
        self.host.stream_features.push(feature);
    }

    pub fn build(self) -> Result<Host, Vec<String>> {
        if self.errors.is_empty() { Ok(self.host) } else { Err(self.errors) }
    }
}
