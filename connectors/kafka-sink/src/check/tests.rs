use super::*;
use crate::Delivery;

fn settings() -> Settings {
    Settings::new("shop", Config::new(vec!["127.0.0.1:1".to_owned()])).unwrap()
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

fn settled(pairs: &[(&str, &str)]) -> Settled {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn brokers_must_verify_transactions() {
    let check = |change: &dyn Fn(&mut Settled), brokers, expected: &[&str]| {
        let mut broker = settled(&[
            ("transaction.partition.verification.enable", "true"),
            ("transaction.max.timeout.ms", "900000"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
            ("message.max.bytes", "1048588"),
        ]);
        change(&mut broker);
        assert_eq!(codes(&judge_broker(&settings(), &broker, brokers)), expected);
    };
    let set = |key: &'static str, value: &'static str| {
        move |broker: &mut Settled| {
            broker.insert(key.to_owned(), value.to_owned());
        }
    };
    let verifies = "transaction.partition.verification.enable";
    check(&|_| {}, 3, &[]);
    check(&set(verifies, "false"), 3, &["verification-off"]);
    check(&|broker| drop(broker.remove(verifies)), 3, &["broker-version"]);
    check(&set("transaction.max.timeout.ms", "30000"), 3, &["transaction-timeout"]);
    check(&set("transaction.state.log.min.isr", "1"), 3, &["few-copies"]);
    check(&set("message.max.bytes", "1000"), 3, &["record-too-large"]);
    check(&|_| {}, 1, &["few-copies"]);
    let mut lax = settings();
    lax.config.delivery = Delivery::AtLeastOnce;
    assert_eq!(judge_broker(&lax, &Settled::new(), 3), vec![]);
}

#[test]
fn topics_must_suit_what_they_hold() {
    let check = |topic: &str, keyed, copies, pairs: &[(&str, &str)], expected: &[&str]| {
        let mut of = settled(&[
            ("min.insync.replicas", "2"),
            ("cleanup.policy", "compact"),
            ("max.message.bytes", "8388608"),
        ]);
        of.extend(settled(pairs));
        let target = Target { topic: topic.to_owned(), keyed };
        let found = [(target, copies, of)];
        assert_eq!(codes(&judge_topics(&settings(), &found)), expected, "{topic} {pairs:?}");
    };
    let (orders, position) = ("shop.public.orders", "__afterimage.shop");
    check(orders, true, 3, &[], &[]);
    check(orders, true, 1, &[], &["few-copies"]);
    check(orders, true, 3, &[("min.insync.replicas", "1")], &["few-copies"]);
    check(orders, false, 3, &[], &["keyless-compacted"]);
    check(orders, false, 3, &[("cleanup.policy", "delete")], &[]);
    check(orders, true, 3, &[("max.message.bytes", "1000")], &["record-too-large"]);
    check(position, true, 3, &[], &[]);
    check(position, true, 3, &[("cleanup.policy", "compact,delete")], &["position-policy"]);
    check(position, true, 3, &[("max.message.bytes", "1048588")], &["record-too-large"]);
}

#[test]
fn many_names_are_cut() {
    let targets: Vec<Target> =
        (1..=7).map(|n| Target { topic: format!("t{n}"), keyed: true }).collect();
    let check = |count: usize, expected: &str| {
        let targets: Vec<&Target> = targets.iter().take(count).collect();
        assert_eq!(some(&targets), expected);
    };
    check(1, "topic t1");
    check(2, "topics t1, t2");
    check(7, "7 topics (t1, t2, t3, t4, t5, ..)");
}
