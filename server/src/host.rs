//! What the modules added up to: the host's hooks in their order, its features, its answers.

use std::collections::HashMap;
use std::sync::Arc;

use xmpp_core::{Element, ns};

use crate::router::hooks::{AnswerIq, OnAbsent, OnArrived, OnDelivered, OnSent, OnSession, RegisterAccount};

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
    /// Who makes accounts for clients that have none, if that is allowed.
    pub register: Option<(&'static str, Arc<dyn RegisterAccount>)>,
    /// Accounts have archives: what is in them carries its id.
    pub has_archives: bool,
    /// What the domain is, and what each account is.
    pub server_identities: Vec<Identity>,
    pub account_identities: Vec<Identity>,
    /// `var` of each disco feature of the domain, and of an account. Sorted, each once.
    pub server_features: Vec<&'static str>,
    pub account_features: Vec<&'static str>,
    /// What stands beside the domain, at an address of its own; by the first label of that.
    pub services: HashMap<&'static str, Service>,
    server_forms: Vec<Form>,
    server_nodes: Vec<Node>,
    features_after_login: Vec<StreamFeature>,
}

/// What an entity is, in the words of the registry of disco categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub category: &'static str,
    pub type_: &'static str,
    pub name: Option<&'static str>,
}

/// A service of each served domain, at `LABEL.DOMAIN`. It is routed to inside: no DNS need know of it.
pub struct Service {
    /// As disco shows it.
    pub name: &'static str,
    /// By namespace of the query, disco's included.
    pub iq: HashMap<&'static str, Arc<dyn AnswerIq>>,
}

/// A disco extension of the domain (XEP-0128), an `x` of `jabber:x:data`; nothing where there is
/// nothing to say. Made each time, since a reload may change what it says.
type Form = Box<dyn Fn() -> Option<Element> + Send + Sync>;
/// The disco information under a node of the domain; nothing where the node is not known.
type Node = Box<dyn Fn(&Host, &str) -> Option<Element> + Send + Sync>;
type StreamFeature = Box<dyn Fn(&Host) -> Element + Send + Sync>;

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

    pub fn archives(&mut self) {
        self.host.has_archives = true;
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

    /// What the domain, each account, or both are.
    pub fn identity(&mut self, identity: Identity, scope: Scope) {
        if scope != Scope::Account {
            self.host.server_identities.push(identity);
        }
        if scope != Scope::Server {
            self.host.account_identities.push(identity);
        }
    }

    pub fn server_form(&mut self, form: impl Fn() -> Option<Element> + Send + Sync + 'static) {
        self.host.server_forms.push(Box::new(form));
    }

    pub fn server_node(&mut self, node: impl Fn(&Host, &str) -> Option<Element> + Send + Sync + 'static) {
        self.host.server_nodes.push(Box::new(node));
    }

    /// A service at `label.DOMAIN` of each domain, which answers what is listed.
    pub fn service(
        &mut self,
        label: &'static str,
        name: &'static str,
        iq: impl IntoIterator<Item = (&'static str, Arc<dyn AnswerIq>)>,
    ) {
        let service = Service { name, iq: iq.into_iter().collect() };
        if self.host.services.insert(label, service).is_some() {
            self.errors.push(format!("two modules serve {label}.DOMAIN; one is {}", self.module));
        }
    }

    /// What the stream announces behind authentication.
    pub fn stream_feature(&mut self, feature: Element) {
        self.stream_feature_with(move |_| feature.clone());
    }

    /// The same, where it depends on what else there is. It is asked for at each login.
    pub fn stream_feature_with(&mut self, feature: impl Fn(&Host) -> Element + Send + Sync + 'static) {
        self.host.features_after_login.push(Box::new(feature));
    }

    /// Makes accounts for clients that have none; the stream announces it to them.
    pub fn register(&mut self, hook: Arc<dyn RegisterAccount>) {
        if let Some((other, _)) = self.host.register.replace((self.module, hook)) {
            self.errors.push(format!("the modules {other} and {} both register accounts", self.module));
        }
    }

    pub fn build(mut self) -> Result<Host, Vec<String>> {
        for features in [&mut self.host.server_features, &mut self.host.account_features] {
            // XEP-0115 section 5.4: a feature that is there twice spoils the whole answer.
            features.sort_unstable();
            features.dedup();
        }
        if self.errors.is_empty() { Ok(self.host) } else { Err(self.errors) }
    }
}

impl Host {
    /// The disco information of a served domain (XEP-0030 section 3), its extensions included.
    pub fn server_info(&self) -> Element {
        let forms = self.server_forms.iter().filter_map(|form| form());
        info(&self.server_identities, &self.server_features).children(forms)
    }

    /// The disco information under a node of the domain.
    pub fn server_node(&self, node: &str) -> Option<Element> {
        self.server_nodes.iter().find_map(|known| known(self, node))
    }

    pub fn account_info(&self) -> Element {
        info(&self.account_identities, &self.account_features)
    }

    /// What the stream announces behind authentication, besides what belongs to the stream itself.
    pub fn features_after_login(&self) -> Vec<Element> {
        self.features_after_login.iter().map(|feature| feature(self)).collect()
    }
}

/// The disco information of an entity.
pub fn info(identities: &[Identity], features: &[&str]) -> Element {
    let identities = identities.iter().map(|identity| {
        Element::new("identity", ns::DISCO_INFO)
            .attr("category", identity.category)
            .attr("type", identity.type_)
            .attr_opt("name", identity.name)
    });
    let features = features.iter().map(|var| Element::new("feature", ns::DISCO_INFO).attr("var", var));
    Element::new("query", ns::DISCO_INFO).children(identities).children(features)
}
