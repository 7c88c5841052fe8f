use super::*;
use crate::config::Config;

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn admission(change: impl FnOnce(&mut Config)) -> Admission {
    Admission::new(&config(change))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn account(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@verona.example")).unwrap()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn connections_are_bounded_in_all_and_given_back() {
    let admission = admission(|config| config.limits.connections = 2);
    let first = admission.admit(ip("192.0.2.1")).ok().unwrap();
    let second = admission.admit(ip("192.0.2.2")).ok().unwrap();
    assert_eq!(admission.admit(ip("192.0.2.3")).err(), Some(Bound::Connections));
    assert_eq!(admission.connections(), 2);
    drop(first);
    let third = admission.admit(ip("192.0.2.3")).ok().unwrap();
    drop((second, third));
    assert_eq!(admission.connections(), 0);
    assert!(admission.open.by_source.lock().is_empty());
}

#[test]
fn connections_are_bounded_by_address() {
    let admission = admission(|config| config.limits.connections_per_address = Limit::AtMost(1));
    let romeo = admission.admit(ip("192.0.2.1")).ok().unwrap();
    // The same address as a listener on all addresses sees it.
    for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(admission.admit(ip(same)).err(), Some(Bound::ConnectionsPerAddress));
    }
    // What was refused holds no place.
    assert_eq!(admission.connections(), 1);
    let juliet = admission.admit(ip("192.0.2.2")).ok().unwrap();
    drop(romeo);
    assert!(admission.admit(ip("192.0.2.1")).is_ok());
    drop(juliet);
    assert!(admission.open.by_source.lock().is_empty());
}

#[test]
fn an_ipv6_address_counts_with_its_64() {
    let admission = admission(|config| config.limits.connections_per_address = Limit::AtMost(1));
    let _romeo = admission.admit(ip("2001:db8:1:2::1")).ok().unwrap();
    let neighbour = admission.admit(ip("2001:db8:1:2:ffff::9"));
    assert_eq!(neighbour.err(), Some(Bound::ConnectionsPerAddress));
    assert!(admission.admit(ip("2001:db8:1:3::1")).is_ok());
}

#[test]
fn connections_by_address_can_be_without_a_bound_and_get_one() {
    let admission = admission(|config| config.limits.connections_per_address = Limit::None);
    let open: Vec<Permit> = (0..5_000).map(|_| admission.admit(ip("192.0.2.1")).ok().unwrap()).collect();
    admission.reload(&config(|config| config.limits.connections_per_address = Limit::AtMost(5_000)));
    assert_eq!(admission.admit(ip("192.0.2.1")).err(), Some(Bound::ConnectionsPerAddress));
    drop(open);
    assert!(admission.admit(ip("192.0.2.1")).is_ok());
    assert!(admission.open.by_source.lock().is_empty());
}

#[test]
fn a_listener_has_a_bound_of_its_own() {
    let admission = admission(|_| {});
    let (narrow, wide) = (Port::new(Limit::AtMost(1)), Port::new(Limit::None));
    let first = admission.admit(ip("192.0.2.1")).and_then(|permit| permit.at(&narrow)).ok().unwrap();
    let second = admission.admit(ip("192.0.2.1")).and_then(|permit| permit.at(&narrow));
    assert_eq!(second.err(), Some(Bound::MaxConnections));
    assert!(admission.admit(ip("192.0.2.1")).and_then(|permit| permit.at(&wide)).is_ok());
    assert_eq!((admission.connections(), narrow.connections(), wide.connections()), (1, 1, 0));
    drop(first);
    assert_eq!((admission.connections(), narrow.connections()), (0, 0));
}

#[test]
fn a_connection_can_be_counted_before_its_address_is_known() {
    let admission = admission(|config| {
        config.limits.connections = 2;
        config.limits.connections_per_address = Limit::AtMost(1);
    });
    let permit = admission.enter().and_then(|permit| admission.count_address(permit, ip("192.0.2.1")));
    let _first = permit.ok().unwrap();
    let second = admission.enter().ok().unwrap();
    assert_eq!(admission.enter().err(), Some(Bound::Connections));
    let refused = admission.count_address(second, ip("192.0.2.1"));
    assert_eq!(refused.err(), Some(Bound::ConnectionsPerAddress));
    assert_eq!(admission.connections(), 1);
}

#[test]
fn many_threads_lose_no_count() {
    let admission = admission(|config| config.limits.connections = 50);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let admission = &admission;
            scope.spawn(move || {
                for round in 0..2_000u32 {
                    let permit = admission.admit(IpAddr::from((thread * 3 + round % 3).to_be_bytes()));
                    assert!(admission.connections() <= 50);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!(admission.connections(), 0);
    assert!(admission.open.by_source.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_accounts_failures_refuse_it_from_their_address_for_the_window() {
    let admission = admission(|config| {
        config.auth.failed_logins_per_address = Limit::AtMost(3);
        config.auth.failed_logins_per_address_seconds = 80;
        config.auth.failed_logins_per_account = Limit::None;
    });
    let (here, elsewhere, romeo) = (ip("192.0.2.1"), ip("192.0.2.2"), account("romeo"));
    for _ in 0..3 {
        assert_eq!(admission.check_here(here, &romeo), Ok(()));
        admission.failed_here(here, Some(&romeo));
        seconds(5).await;
    }
    assert_eq!(admission.check_here(here, &romeo), Err(Bound::FailedLoginsPerAddress));
    assert_eq!(admission.check_here(elsewhere, &romeo), Ok(()));
    seconds(50).await;
    assert_eq!(admission.check_here(here, &romeo), Err(Bound::FailedLoginsPerAddress));
    seconds(16).await;
    assert_eq!(admission.check_here(here, &romeo), Ok(()));
}

/// Behaviour 138.
#[tokio::test(start_paused = true)]
async fn failures_of_one_account_never_refuse_anothers_login_from_the_same_address() {
    for most in [1, 2, 3, 100] {
        let admission = admission(|config| {
            config.auth.failed_logins_per_address = Limit::AtMost(most);
            config.auth.failed_logins_per_account = Limit::AtMost(1);
        });
        let here = ip("192.0.2.1");
        for _ in 0..1_000 {
            admission.failed_here(here, Some(&account("romeo")));
            assert_eq!(admission.check_here(here, &account("juliet")), Ok(()));
        }
        assert!(admission.check_here(here, &account("romeo")).is_err());
        // Nor does a slip of her own and his thousand.
        if most > 1 {
            admission.reload(&config(|config| {
                config.auth.failed_logins_per_address = Limit::AtMost(most);
                config.auth.failed_logins_per_account = Limit::AtMost(100);
            }));
            admission.failed_here(here, Some(&account("juliet")));
            (0..1_000).for_each(|_| admission.failed_here(here, Some(&account("romeo"))));
            assert_eq!(admission.check_here(here, &account("juliet")), Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_tries_many_names_is_stopped_and_stays_so_while_he_goes_on() {
    let admission = admission(|config| {
        config.auth.failed_logins_per_address = Limit::AtMost(100);
        config.auth.failed_logins_per_address_seconds = 80;
        config.auth.failed_logins_per_account = Limit::None;
    });
    let here = ip("2001:db8::1");
    let guess = |name: u32| {
        let victim = account(&format!("victim{name}"));
        let allowed = admission.check_here(here, &victim).is_ok();
        if allowed {
            admission.failed_here(here, Some(&victim));
        }
        u32::from(allowed)
    };
    // One guess at each of many, again and again: some 100 in each window.
    let spread: u32 = (0..1_000).map(guess).sum();
    assert!((100..=101).contains(&spread), "{spread}");
    let mut tried = 0;
    for round in 0..8_000 {
        tried += guess(round % 400);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((900..=1_200).contains(&tried), "{tried}");
    seconds(80).await;
    // Many guesses at each of some: no more than ten times the bound.
    let concentrated: u32 = (0..100_000).map(|round| guess(round / 1_000)).sum();
    assert!((100..=1_100).contains(&concentrated), "{concentrated}");
    assert_eq!(admission.check_here(ip("2001:db8:0:1::1"), &account("juliet")), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_account_is_refused_to_addresses_that_failed_and_to_no_other() {
    let admission = admission(|config| {
        config.auth.failed_logins_per_address = Limit::None;
        config.auth.failed_logins_per_account = Limit::AtMost(5);
        config.auth.failed_logins_per_account_seconds = 80;
    });
    let romeo = account("romeo");
    let attacker = |host: u8| IpAddr::from([198, 51, 100, host]);
    for host in 0..5 {
        assert_eq!(admission.check_here(attacker(host), &romeo), Ok(()));
        admission.failed_here(attacker(host), Some(&romeo));
    }
    for host in 0..5 {
        let attempt = admission.check_here(attacker(host), &romeo);
        assert_eq!(attempt, Err(Bound::FailedLoginsPerAccount));
        assert_eq!(admission.check_here(attacker(host), &account("juliet")), Ok(()));
    }
    // The owner at home.
    assert_eq!(admission.check_here(ip("192.0.2.1"), &romeo), Ok(()));
    admission.succeeded_here(ip("192.0.2.1"), &romeo);
    assert!(admission.check_here(attacker(0), &romeo).is_err());
    seconds(81).await;
    assert_eq!(admission.check_here(attacker(0), &romeo), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_right_password_makes_slips_forgotten() {
    let admission = admission(|config| {
        config.auth.failed_logins_per_address = Limit::AtMost(3);
        config.auth.failed_logins_per_account = Limit::AtMost(3);
    });
    let here = ip("192.0.2.1");
    for _ in 0..20 {
        for name in ["romeo", "juliet", "nurse", "mercutio"] {
            for _ in 0..2 {
                assert_eq!(admission.check_here(here, &account(name)), Ok(()));
                admission.failed_here(here, Some(&account(name)));
            }
            assert!(admission.check_here(here, &account(name)).is_ok());
            admission.succeeded_here(here, &account(name));
        }
    }
}

#[test]
fn each_bound_can_be_off() {
    let admission = admission(|config| {
        config.auth.failed_logins_per_address = Limit::None;
        config.auth.failed_logins_per_account = Limit::None;
    });
    for name in 0..1_000 {
        admission.failed_here(ip("192.0.2.1"), Some(&account("romeo")));
        admission.failed_here(ip("192.0.2.1"), Some(&account(&name.to_string())));
        assert_eq!(admission.check_here(ip("192.0.2.1"), &account("romeo")), Ok(()));
    }
}

#[test]
fn a_flood_of_names_and_addresses_is_kept_in_bounded_memory() {
    let admission = admission(|_| {});
    for host in 0..35_000u32 {
        let address = IpAddr::from(host.to_be_bytes());
        admission.failed_here(address, Some(&account(&format!("nobody{host}"))));
    }
    assert_eq!(admission.logins.lock().remembered(), 5 * window::KEYS_MAX);
}
